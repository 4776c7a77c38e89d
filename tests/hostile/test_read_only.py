"""Everything is read-only, as after a fault of the disk: each command says so, and guests are stopped.

A real read-only mount, in a mount namespace of its own. This file is also the program that runs there.
"""

import contextlib
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from privileges import only_root
from resources import uses

from pvefw.cli import suggestions
from pvefw.host import foreign
from pvefw.tasks.task import run_task

UPID = "UPID:pve1:00000001:00000001:60000000:x::root@pam:"
COMMANDS = [
    *("acme account deactivate", "acme account list", "acme account rollover"),
    *("acme account register", "acme catalog list", "acme catalog set acmesh --nodes pve1"),
    *("acme cert order --force", "acme cert renew --force", "acme cert revoke"),
    *("acme persist remove a.example.com", "acme plugin add dns new --api ovh --data FILE"),
    *("acme plugin list", "acme plugin remove web", "acme plugin set web --disable"),
    *("api get /nodes/pve1/config", "api ls /nodes", "boot clean", "boot cmdline get"),
    *("boot cmdline set root=/dev/sda1", "boot init /dev/none1", "boot install-hooks"),
    *("boot kernel add 6.8.0", "boot kernel list", "boot kernel remove 6.8.0", "boot refresh"),
    *("boot kernel unpin", "boot loader list", "boot loader set grub --nodes pve1"),
    *("boot reinit", "boot status", "boot-guests", "cert ca init", "cert ca rollover"),
    *("cert delete", "cert deploy", "cert info", "cert node refresh", "cert recover"),
    *("config get", "config set --ballooning-target 71", "dns cleanup", "dns test web a.test"),
    *("guest backend list", "guest backend remove mine", "guest list", "install-units"),
    *(
        "ksm enable",
        "migrateall pve2",
        "node drain --to pve2",
        "node return",
        "observer add new --api exec --data FILE",
    ),
    *("observer list", "observer test told", "plugin list", "renew", "renew install-timer"),
    *("resumeall", "shutdown-guests", "startall", "status", "stopall", "suspendall"),
    *("task index", "task list", "task prune", "wakeonlan pve2"),
    *(
        "acme account import x",
        "acme account info",
        "acme account update",
        "acme catalog config acmesh",
    ),
    *("acme catalog remove acmesh", "acme catalog test acmesh", "acme directory list"),
    *("acme persist check a.example.com", "acme persist publish a.example.com --plugin web"),
    *("acme persist show a.example.com", "acme plugin config web", "acme plugin login web"),
    *("acme plugin test web", "api create /cluster/acme/plugins --id new --type dns --api ovh"),
    *("api delete /cluster/acme/plugins/web", "api set /nodes/pve1/config --description x"),
    *(
        "api install-service",
        "api token add a@pam x",
        "api token remove a@pam x",
        "api totp add a@pam",
        "api totp remove a@pam",
        "api usage /nodes",
    ),
    *(
        "api user list",
        "api user remove a@pam",
        "api user set a@pam --grant /=Sys.Audit",
        "apply WANTED",
    ),
    *("boot format /dev/none1", "boot kernel pin 6.8.0", "boot loader config grub"),
    *(
        "boot loader remove grub",
        "boot loader test grub",
        "boot partition /dev/none",
        "cert add new",
    ),
    *(
        "cert check",
        "cert import a.example.com",
        "cert list",
        "cert remove web",
        "cert set web --profile x",
    ),
    *("completion bash", "guest backend add new --api libvirt", "guest backend config mine"),
    *("guest backend set mine --disable", "guest backend test mine", "guest set 100 --order 1"),
    *("guest show 100", "ksm disable", "ksm status", "ksm unmerge", "metrics install-timer"),
    *(
        "node maintain --hosts pve2 -- true",
        "node status",
        "observer config told",
        "observer remove told",
    ),
    *("observer set told --disable", "plugin new dns x", "plugin search ovh"),
    *("store join", "store watch"),
    *("plugin show dns ovh", f"task log {UPID}", f"task status {UPID}", f"task stop {UPID}"),
]

LEFT_OUT = {"api serve", "api helper", "plugin doctor"}
"""Two that do not end, and do what commands do; and one that writes nothing, but runs for each plugin."""


def test_every_command_is_tried():
    names = {
        " ".join(path)
        for path, command, _ in suggestions.walk()
        if not hasattr(command, "commands")
    }
    tried = {name for name in names for row in COMMANDS if f"{row} ".startswith(f"{name} ")}
    assert names - tried == LEFT_OUT


@uses("program")
@only_root("mounts something read-only")
def test_every_command_ends_with_a_sentence(paths, tmp_path):
    (paths.root / "etc/pve/priv/acme").mkdir(parents=True)
    paths.plugins_cfg.write_text("dns: web\n\tapi ovh\n")
    paths.cluster_pvefw_cfg.write_text("observer: told\n\tapi exec\n\tdata Y29tbWFuZD10cnVl\n")
    paths.esp_uuids.parent.mkdir()
    paths.esp_uuids.write_text("AAAA-BBBB\n")
    (tmp_path / "FILE").write_text("command=true\n")
    (tmp_path / "WANTED").write_text("properties: {renew-before: 9}\n")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, __file__, str(paths.root)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PVEFW_ROOT": str(paths.root),
            "PVEFW_NODE": paths.node,
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"{len(COMMANDS)} commands", done.stdout
    assert done.stdout.count("\n") == 1, done.stdout


def main(root):
    """Run every command where nothing can be written; what is wrong is printed."""
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
    from pvefw.cli.run import run

    for row in COMMANDS:
        words = row.split()
        if row == "acme account register":
            words += ["x", "a@example.com", "--directory", "https://127.0.0.1:9/", "--accept-tos"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = run(words)
        wrong = status not in (0, 1) or "internal error" in said.getvalue()
        if wrong or (status and len(said.getvalue()) < 10):
            print(row, status, said.getvalue())
    print(f"{len(COMMANDS)} commands")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC])
def test_a_disk_that_takes_no_log_keeps_no_work_from_being_done(paths, monkeypatch, number):
    """At a shutdown, guests are to be stopped."""

    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    heard, done = [], []
    monkeypatch.setattr(foreign, "open_file", refuse)
    with run_task(paths, "stopall", echo=heard.append) as task:
        task.log("stopping 100")
        done.append(100)
    assert done == [100]
    assert any(line.startswith("WARN: ") for line in heard)
    assert "stopping 100" in heard


if __name__ == "__main__":
    main(sys.argv[1])
