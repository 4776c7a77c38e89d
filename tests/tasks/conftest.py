"""A node in a tree of its own, and programs that run tasks."""

import subprocess
import sys
import textwrap

import pytest

HEAD = """
import sys, threading
from pathlib import Path
from pvefw.core.errors import *
from pvefw.store.paths import Paths
from pvefw.tasks.task import run_task
paths = Paths(Path(sys.argv[1]), "pve1")
echo = lambda line: print(line, flush=True)
"""


@pytest.fixture
def command(paths):
    """What runs a program that has ``paths``, ``echo`` and ``run_task``: its name and arguments."""

    def make(body):
        code = HEAD + textwrap.dedent(body)
        return sys.executable, ["-c", code, str(paths.root)]

    return make


@pytest.fixture
def program(command):
    """Starts such a program, and ends it with the test."""
    started = []

    def start(body, **options):
        name, arguments = command(body)
        process = subprocess.Popen(
            [name, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
