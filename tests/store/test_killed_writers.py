"""What a writer left that was killed goes with the next write to its directory."""

import os
import signal
import subprocess
import sys

import pytest

from pvefw.host import processes
from pvefw.store import files, node_settings

KILLED = """
import os, signal
from pathlib import Path
from pvefw.host import foreign
from pvefw.store import files, node_settings
from pvefw.store.paths import Paths

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

paths = Paths(Path({root!r}), "pve1")
foreign.Directory.rename = foreign.Directory.remove = die
{work}
"""
WORK = [
    "node_settings.change(paths, {'ballooning-target': '70'})",
    "files.replace(paths.proxy_key, b'secret', private=True)",
    "files.check_writable(paths.node_dir())",
]


def left_in(directory):
    return [path for path in directory.iterdir() if ".tmp." in path.name]


@pytest.mark.parametrize("work", WORK)
def test_what_a_kill_left_goes_with_the_next_write(paths, work):
    files.replace(paths.node_config(), b"startall-onboot-delay: 5\n")
    script = KILLED.format(root=str(paths.root), work=work)
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(left_in(paths.node_dir())) == 1
    node_settings.change(paths, {"ballooning-target": "71"})
    assert left_in(paths.node_dir()) == []
    assert b"ballooning-target: 71" in paths.node_config().read_bytes()


@pytest.mark.parametrize(
    ("name", "age", "stays"),
    [
        (".file.tmp.ALIVE-00000000", 3600.0, True),  # a thread of this process's
        (".other.tmp.00000000-1-1-00000000", 0.0, True),
        (".other.tmp.00000000-1-1-00000000", 3600.0, False),
        (".other.tmp.DEAD-00000000", 0.0, False),
        (".file.tmp.00000000", 0.0, True),  # as 1.0 called them
        (".file.tmp.00000000", 3600.0, False),
        (".other.tmp.00000000", 3600.0, True),
        ("file.tmp.4711", 3600.0, True),  # Proxmox VE's
    ],
)
def test_what_somebody_may_still_be_writing_stays(tmp_path, name, age, stays):
    alive = processes.mark()
    dead = f"{alive.rpartition('-')[0]}-1"
    path = tmp_path / name.replace("ALIVE", alive).replace("DEAD", dead)
    path.touch()
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    files.replace(tmp_path / "file", b"new")
    assert path.exists() == stays
