"""Commands that set and add say whether something changed, and can be tried without changing anything."""

import json

import pytest
from boot.conftest import HostTree
from certificates import self_signed

from pvefw.cli.run import run

COMMANDS = [
    "config set --renew-before 30",
    "cert add web --acmedomain0 www.example.com --or-set",
    "observer add tell --api exec --data DATA --or-set",
    "guest backend add kvm --api libvirt --or-set",
    "acme plugin add standalone alone --or-set",
    "acme plugin set standalone --disable",
    "boot cmdline set root=/dev/sda9",
    "boot kernel add 6.5.13-6-pve",
]


@pytest.fixture
def call(node_root, tmp_path, capsys):
    HostTree(node_root)
    (tmp_path / "data").write_text("program=/bin/true\n")

    def do(line, *more):
        words = [str(tmp_path / "data") if word == "DATA" else word for word in line.split()]
        capsys.readouterr()
        status = run(["--root", str(node_root), "--node", "pve1", *words, *more])
        return status, capsys.readouterr()

    return do


def contents(root):
    return {path: path.read_bytes() for path in (root / "etc").rglob("*") if path.is_file()}


@pytest.mark.parametrize("line", COMMANDS)
def test_first_it_would_change_then_it_does_then_nothing_is_left(call, node_root, line):
    def said(*more):
        status, captured = call(line, "--output-format", "json", *more)
        assert status == 0, captured.err
        return json.loads(captured.out)

    before = contents(node_root)
    assert said("--dry-run") == {"changed": True, "dry-run": True}
    assert contents(node_root) == before
    assert said() == {"changed": True, "dry-run": False}
    after = contents(node_root)
    assert after != before
    assert said("--dry-run") == {"changed": False, "dry-run": True}
    assert said() == {"changed": False, "dry-run": False}
    assert contents(node_root) == after


def test_for_people(call):
    assert "would change" in call(COMMANDS[0], "--dry-run")[1].err
    assert call(COMMANDS[0])[1].err == ""
    assert "unchanged" in call(COMMANDS[0])[1].err


def test_or_set_changes_what_exists(call, node_root):
    call("observer add tell --api exec --data DATA")
    assert call("observer add tell --api exec --data DATA")[0] == 2
    assert call("observer add tell --api exec --data DATA --or-set --nodes pve1")[0] == 0
    assert "nodes pve1" in (node_root / "etc/pve/pvefw.cfg").read_text()


def test_a_pair_that_somebody_brings(call, node_root, tmp_path):
    for name, data in zip(("c.pem", "k.pem"), self_signed("own.example"), strict=True):
        (tmp_path / name).write_bytes(data)
    line = f"cert set {tmp_path}/c.pem {tmp_path}/k.pem --output-format json"

    def said(*more):
        status, captured = call(line, *more)
        assert status == 0, captured.err
        return json.loads(captured.out)

    target = node_root / "etc/pve/nodes/pve1/pveproxy-ssl.pem"
    assert said("--dry-run") == {"changed": True, "dry-run": True}
    assert not target.exists()
    assert said() == {"changed": True, "dry-run": False}
    assert target.read_bytes() == (tmp_path / "c.pem").read_bytes()
    assert call(line)[0] == 2
    assert said("--force", "--dry-run") == {"changed": False, "dry-run": True}
    assert said("--force") == {"changed": False, "dry-run": False}
    (tmp_path / "k.pem").write_bytes(self_signed("other.example")[1])
    status, captured = call(line, "--force", "--dry-run")
    assert status == 1 and "does not belong" in captured.err


def test_what_is_wanted_of_a_certificate(call):
    call("cert add web --acmedomain0 www.example.com")
    for words, changed in (("--dry-run", True), ("", True), ("--dry-run", False), ("", False)):
        status, captured = call(f"cert set web --key-type ec384 --output-format json {words}")
        assert status == 0, captured.err
        assert json.loads(captured.out)["changed"] is changed
