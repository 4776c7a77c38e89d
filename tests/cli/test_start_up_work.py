"""What a quick command leaves out, beside the heavy libraries of ``tests/house/test_start_up.py``."""

import json
import os
import subprocess
import sys

import pytest
from measured import without_coverage

pytestmark = without_coverage

PROBE = """
import gc, json, sys
from pvefw.cli import main
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
try:
    main()
finally:
    json.dump([sorted(sys.modules), len(looks), gc.get_freeze_count()], open(sys.argv.pop(), "w"))
"""
RARE = {"difflib", "html", "socket", "tempfile", "shutil", "subprocess"}


def work(tmp_path, *arguments, **environment):
    """The modules of a command line, the looks for cycles, and the objects left out of the last one."""
    report = tmp_path / "report"
    script = PROBE.replace("sys.argv.pop()", repr(str(report)))
    subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PVEFW_ROOT": str(tmp_path), **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(report.read_text())


@pytest.mark.parametrize(
    "line", ["plugin list", "acme plugin config ", "config set -key-type ", "guest show "]
)
def test_a_quick_command_does_without_what_is_rarely_needed(line, tmp_path):
    if line.endswith(" "):
        modules, looks, kept = work(tmp_path, f"pvefw {line}", _PVEFW_COMPLETE="bash")
    else:
        modules, looks, kept = work(tmp_path, *line.split())
    assert RARE & set(modules) == set()
    assert looks == 0, "Python looks for cycles while modules are imported"
    assert kept > 0, "Python looks at everything once more as it ends"
