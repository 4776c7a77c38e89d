"""What `make dist` builds, once for all tests of packages: they are one group."""

import hashlib
import os
import subprocess
import sys

import pytest
from environments import ROOT
from resources import uses


def copy_of_the_sources(target, mask):
    """What git has, in another place, with other times and modes."""
    target.mkdir()
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if not source.is_file():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        copy.chmod((source.stat().st_mode | 0o644) & ~mask)
        os.utime(copy, (mask, mask))
    return target


def build(sources, target, **env):
    subprocess.run(
        [sys.executable, str(sources / "tools/dist.py"), str(target)],
        env={**os.environ, **env},
        check=True,
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}


@pytest.fixture(scope="session")
@uses("build")
def dist(tmp_path_factory):
    """The directory with all sdists and wheels."""
    folder = tmp_path_factory.mktemp("dist")
    build(copy_of_the_sources(folder / "sources", 0o022), folder / "dist")
    return folder / "dist"
