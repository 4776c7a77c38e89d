"""Programs that pvefw runs and that fail have failed, whatever started pvefw."""

import subprocess
import sys

IGNORES_CHILDREN = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as daemons do that do not wait for what they start
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_failure_is_no_success_where_sigchld_is_ignored(paths, tmp_path):
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    (tmp_path / "data").write_text(f"program={hook}\n")
    command = ["-m", "pvefw", "--root", str(paths.root), "--node", "pve1"]
    ready = ["observer", "add", "lb", "--api", "exec", "--data", str(tmp_path / "data")]
    subprocess.run([sys.executable, *command, *ready], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", IGNORES_CHILDREN, *command, "observer", "test", "lb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed with status 3" in done.stdout + done.stderr
