"""Ansible's programs, with the collection of this repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from environments import ROOT
from resources import uses


@pytest.fixture
@uses("server")
def ansible(tmp_path):
    """Runs one of Ansible's programs with the collection of this repository."""
    place = tmp_path / "collections/ansible_collections/pvefw"
    place.mkdir(parents=True)
    (place / "node").symlink_to(ROOT / "ansible")
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PVEFW")},
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "LC_ALL": "C.UTF-8",
        "HOME": str(tmp_path),
    }

    def run(program, *arguments, status=0, **more):
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            env={**env, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run
