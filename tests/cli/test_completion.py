"""The Tab key, in the shells themselves and word by word."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pexpect
import pytest

from pvefw.cli.complete import answer
from pvefw.cli.completion import SCRIPTS
from pvefw.cli.run import run
from pvefw.store import guest_notes, node_settings
from pvefw.store.paths import Paths

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B{}:vzdump:10{}:root@pam:"


@pytest.fixture
def paths(node_root, monkeypatch):
    """A node about which there is something to know."""
    found = Paths(node_root, "pve1")
    monkeypatch.setenv("PVEFW_ROOT", str(found.root))
    monkeypatch.setenv("PVEFW_NODE", "pve1")
    for node in ("pve1", "pve2", "pve3"):
        found.node_dir(node).mkdir(parents=True)
    found.acme_dir.mkdir(parents=True)
    (found.acme_dir / "default").write_text("{}")
    (found.acme_dir / "corp").write_text("{}")
    found.plugins_cfg.write_text("dns: ovh1\n\tapi ovh\n\nstandalone: standalone\n\n")
    node_settings.change(
        found, {"acmedomain0": "gui.example,plugin=ovh1", "acmedomain1": "*.wild.example"}
    )
    certificate = "certificate: web\n\tacmedomain0 www.example\n"
    found.cluster_pvefw_cfg.write_text(f"observer: tell-admin\n\tapi exec\n\n{certificate}")
    guest_notes.write(found, {"100": "web", "101": "db"})
    found.task_dir.mkdir(parents=True)
    lines = [f"{UPID.format(n, n)} 6124E1C0 {'OK' if n else 'failed'}\n" for n in range(3)]
    (found.task_dir / "index").write_text("".join(lines))
    (found.task_dir / "active").write_text(f"{UPID.format(3, 3)} 0\n")
    boot = found.below("boot")
    boot.mkdir(parents=True)
    for version in ("6.8.4-2-pve", "6.8.12-1-pve", "5.15.30-1-pve"):
        (boot / f"vmlinuz-{version}").touch()
    return found


def offered(line, shell="zsh", **options):
    """What is offered where a line ends."""
    return [row.split("\t")[1] for row in answer(shell, line, **options).splitlines()]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("pvefw wakeonlan ", ["pve2", "pve3"]),
        ("pvefw --node ", ["pve1", "pve2", "pve3"]),
        ("pvefw wakeonlan -node pve", ["pve1", "pve2", "pve3"]),
        ("pvefw --node pve2 wakeonlan ", ["pve1", "pve3"]),
        ("pvefw migrateall ", ["pve2", "pve3"]),
        ("pvefw migrateall --spread pve2,", ["pve2,pve3"]),
        ("pvefw acme plugin config ", ["ovh1", "standalone"]),
        ("pvefw acme plugin config o", ["ovh1"]),
        ("pvefw dns test ", ["ovh1", "standalone"]),
        ("pvefw dns test ovh1 ", ["gui.example", "*.wild.example", "www.example"]),
        ("pvefw acme cert order ", ["pveproxy", "web"]),
        ("pvefw cert check w", ["web"]),
        ("pvefw cert remove ", ["web"]),
        ("pvefw cert set web --targets ", ["tell-admin"]),
        ("pvefw config set --fallback-account d", ["default"]),
        ("pvefw acme account info ", ["corp", "default"]),
        ("pvefw observer config ", ["tell-admin"]),
        ("pvefw startall --vms ", ["100", "101"]),
        ("pvefw startall -vms 100,", ["100,101"]),
        ("pvefw startall --vms=1", ["--vms=100", "--vms=101"]),
        ("pvefw startall -vms=1", ["-vms=100", "-vms=101"]),
        ("pvefw guest show 10", ["100", "101"]),
        ("pvefw boot kernel pin ", ["6.8.12-1-pve", "6.8.4-2-pve", "5.15.30-1-pve"]),
        ("pvefw task log ", [UPID.format(n, n) for n in (3, 2, 1, 0)]),
        ("pvefw task status UPID:pve1:00010D94:001CA6EA:6124E1B2", [UPID.format(2, 2)]),
        ("pvefw task log '", [UPID.format(n, n) for n in (3, 2, 1, 0)]),
        ("pvefw config get --property acmed", ["acmedomain0", "acmedomain1"]),
        ("pvefw config set --delete acmedomain0,", ["acmedomain0,acmedomain1"]),
        ("pvefw config set -key-type r", ["rsa2048", "rsa4096"]),
        ("pvefw config set -acmedomain9 x.example,", ["x.example,domain=", "x.example,plugin=",
            "x.example,alias=", "x.example,challenge="]),
        ("pvefw config set -acmedomain9 x.example,challenge=tls", ["x.example,challenge=tls-alpn-01"]),
        ("pvefw config set -location l", ["latitude=", "longitude="]),
        ("pvefw config set -acmedomain9 x.example,plugin=o", ["x.example,plugin=ovh1"]),
        ("pvefw config set -acme account=", ["account=corp", "account=default"]),
        ("pvefw config get --output-format js", ["json", "json-pretty"]),
        ("pvefw ksm dis", ["disable"]),
        ("pvefw ksm disable -un", ["-unmerge"]),
        ("pvefw ksm disable --un", ["--unmerge"]),
        ("pvefw completion ", ["bash", "zsh", "fish"]),
        ("pvefw acme account register --eab-hmac-key-file /e", ["/e"]),
        ("pvefw config set --acmedomain1000 x --wake", []),
        ("pvefw wakeonlan pve9 --wait x ", []),
    ],
)  # fmt: skip
def test_what_is_offered(paths, line, values):
    assert offered(line) == values


def test_interfaces_and_authorities_are_offered(paths):
    (paths.below("sys/class/net") / "vmbr0").mkdir(parents=True)
    line = "pvefw config set -wakeonlan 00:11:22:33:44:55,bind-interface="
    assert offered(line) == ["00:11:22:33:44:55,bind-interface=vmbr0"]
    assert "letsencrypt" in offered("pvefw acme account register a b@c.example --directory ")


@pytest.mark.parametrize(
    "line",
    ["pvefw config set -wakeonlan bind-interface=", "pvefw acme plugin config "],
)
def test_what_cannot_be_read_is_not_offered(paths, line):
    paths.plugins_cfg.unlink()
    paths.plugins_cfg.mkdir()
    assert offered(line) == []


def test_commands_come_with_a_word_about_each(paths):
    rows = [row.split("\t") for row in answer("fish", "pvefw ").splitlines()]
    assert ["plain", "ksm", "Kernel samepage merging: equal pages, kept once."] in rows
    assert ["plain", UPID.format(0, 0), "vzdump 100"] in [
        row.split("\t") for row in answer("fish", "pvefw task log ").splitlines()
    ]


@pytest.mark.parametrize("name", ["a\x1b]0;title\x07", "b\nfile", "c\tdir", "d\u202ee", "f\x9b2J"])
def test_names_that_nobody_can_type_are_not_offered(paths, name):
    """Another node may have called a directory so, for the terminal of whoever presses the Tab key."""
    (paths.nodes / name).mkdir(parents=True)
    (paths.nodes / "pve7").mkdir()
    for shell in ("bash", "zsh", "fish"):
        said = answer(shell, "pvefw wakeonlan ")
        assert "plain\tpve7" in said.splitlines()
        assert all(map(str.isprintable, said.replace("\t", " ").split("\n")))
        assert "file" not in said.split()


def test_files_are_the_shells_own(paths):
    assert answer("zsh", "pvefw cert set ").splitlines() == ["file"]
    assert answer("bash", "pvefw cert set x").splitlines() == ["file\tx"]


def test_bash_gets_what_comes_after_its_last_break_and_quoted(paths):
    breaks = " \t\n\"'@><=;|&(:"
    line = "pvefw task log UPID:pve1:00010D94:001CA6EA:6124E1B2:vz"
    assert offered(line, "bash", word_breaks=breaks) == ["vzdump:102:root@pam:"]
    assert offered("pvefw startall --vms=1", "bash", word_breaks=breaks) == ["100", "101"]
    assert offered("pvefw dns test ovh1 *", "bash", word_breaks=breaks) == ["\\*.wild.example"]


def test_the_lists_are_as_fresh_as_what_they_are_read_from(paths):
    guest_notes.write(paths, {"105": "new"})
    assert offered("pvefw guest show ") == ["105"]
    paths.vmlist.write_text(
        json.dumps({"ids": {"200": {"node": "pve1", "type": "lxc"}, "201": {"node": "pve2"}}})
    )
    assert offered("pvefw guest show ") == ["105", "200"]


def test_what_is_damaged_offers_nothing_and_says_nothing(paths, capsys):
    paths.plugins_cfg.write_text("rubbish\n")
    paths.guest_notes.write_text("rubbish")
    paths.vmlist.write_text("[]")
    (paths.task_dir / "index").write_bytes(b"\xff\xfe\nUPID\n")
    paths.node_config().write_text("rubbish\n")
    assert offered("pvefw acme plugin config ") == ["standalone"]
    assert offered("pvefw guest show ") == []
    assert offered("pvefw dns test x ") == ["*.wild.example", "www.example"]
    assert offered("pvefw config get --property ") == ["acmedomain1"]
    assert offered("pvefw task log ") == [UPID.format(3, 3)]
    assert capsys.readouterr() == ("", "")


def test_of_a_long_history_the_latest_are_offered(paths):
    with (paths.task_dir / "index").open("a") as index:
        index.writelines(f"{UPID.format(n % 10, n)} 6124E1C0 OK\n" for n in range(5000))
    found = offered("pvefw task log ")
    assert found[:2] == [UPID.format(3, 3), UPID.format(9, 4999)]
    assert len(found) == 50


# --- the shells -------------------------------------------------------------------------------------


class Shell:
    """A shell on a terminal of its own, with pvefw's completion loaded."""

    def __init__(self, argv, setup, home):
        self.child = pexpect.spawn(
            argv[0],
            argv[1:],
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(home),
                "TERM": "dumb" if "fish" not in argv[0] else "xterm",
                "LANG": "C.UTF-8",
                "PVEFW_ROOT": os.environ["PVEFW_ROOT"],
                "PVEFW_NODE": "pve1",
            },
            cwd=str(home),
            encoding="utf-8",
            dimensions=(50, 240),
            timeout=60,
        )
        for line in setup:
            self.child.sendline(line)
        self.child.sendline("echo set-''up")  # not what is echoed while it is typed
        self.child.expect(r"set-up")

    def completed(self, typed, wanted):
        """Type, press the key, and see what it adds."""
        self.child.send(f"{typed}\t")
        self.child.expect(wanted)


BASH = ["--norc", "--noprofile", "-i"]


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request, paths, tmp_path):
    name = request.param
    program = shutil.which(name)
    assert program, f"{name} is not installed; see tools/debian-packages.txt"
    home = tmp_path / "home"
    (home / ".config/fish").mkdir(parents=True)
    (home / "certificate.pem").touch()
    script = home / f"pvefw.{name}"
    script.write_text(SCRIPTS[name])
    setup = {
        "bash": ["bind 'set enable-bracketed-paste off'", f"source {script}"],
        "zsh": [
            "unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u",
            f"source {script}",
        ],
        "fish": [f"source {script}"],
    }[name]
    argv = {
        "bash": [program, *BASH],
        "zsh": [program, "-f", "-i"],
        "fish": [program, "--no-config", "-i"],
    }[name]
    started = Shell(argv, setup, home)
    yield started
    started.child.close(force=True)


def test_a_command_and_an_option_with_one_dash(shell):
    shell.completed("pvefw ksm dis", r"able")
    shell.completed("-unm", r"erge")


def test_a_upid_with_its_colons(shell):
    upid = UPID.format(2, 2)
    start = "pvefw task log UPID:pve1:00010D94:001CA6EA:6124E1B2"
    shell.completed(start, re.escape(upid.removeprefix(start[len("pvefw task log ") :])))


def test_guests_with_a_comma_and_a_file(shell):
    shell.completed("pvefw startall --vms 100,", r"101")
    shell.child.sendcontrol("u")
    shell.completed("pvefw cert set certif", r"icate\.pem")


def test_every_shell_is_printed_its_script(capsys):
    for name, script in SCRIPTS.items():
        assert run(["completion", name]) == 0
        assert capsys.readouterr().out == script
    assert run(["completion", "tcsh"]) == 2
