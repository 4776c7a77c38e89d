"""No key gets into a core file, and no other process of the same user reads it out of the memory."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from resources import uses

COMMANDS = [
    "import sys; sys.argv = ['pvefw', 'x']; from pvefw import cli as program",
    "import sys; sys.argv = ['pvenode', 'x']; from pvefw_shims import pvenode as program",
    "import sys; sys.argv = ['x', 'x']; from pvefw_shims import proxmox_boot_tool as program",
    "import sys; sys.argv = ['pvesh', 'x']; from pvefw_shims import pvesh as program",
]
STOP = """
import os, signal
import pvefw.cli.run
def crash(*_arguments):
    key = b"-----BEGIN PRIVATE KEY-----" * 1000
    print(os.getpid(), flush=True)
    signal.raise_signal(signal.SIGSTOP)
    os.abort()
pvefw.cli.run.run = program.run = crash
program.main()
"""


@uses("program")
@pytest.mark.parametrize("start", COMMANDS, ids=["pvefw", "pvenode", "proxmox-boot-tool", "pvesh"])
def test_a_process_that_holds_keys_leaves_no_core_file(tmp_path, start):
    """As core(5) and prctl(2) have it: the limit for files, the mark for programs that get the core."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    most = "unlimited" if hard == resource.RLIM_INFINITY else hard
    with subprocess.Popen(
        ["prlimit", f"--core={most}", sys.executable, "-c", start + STOP],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as process:
        pid = int(process.stdout.readline())
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        limits = Path(f"/proc/{pid}/limits").read_text()
        owner = Path(f"/proc/{pid}/mem").stat().st_uid
        process.send_signal(signal.SIGCONT)
        process.wait()
    [line] = [text for text in limits.splitlines() if text.startswith("Max core file size")]
    assert line.split()[4] == "0"
    assert owner == 0  # proc(5): of a process that is not dumpable, they are root's
    assert process.returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


def test_the_mark_itself_is_set():
    code = (
        "import ctypes; from pvefw.host import memory; memory.keep_private();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "0\n"
