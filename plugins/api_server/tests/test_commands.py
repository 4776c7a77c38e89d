"""The commands of the service, and where it refuses to be."""

import json
import shutil
import subprocess
import sys

import pytest
from privileges import only_root

from pvefw.cli.run import run
from pvefw.core.errors import ProgramError
from pvefw_api_server import swap, units, users


@pytest.fixture
def pvefw(paths, capsys):
    def call(*words, status=0):
        assert run(["--root", str(paths.root), "--node", "pve1", *words]) == status
        return capsys.readouterr()

    return call


def test_a_user_and_a_token_from_their_making_to_their_end(pvefw, paths):
    pvefw(
        "api",
        "user",
        "set",
        "ann@pam",
        "--grant",
        "/=Sys.Audit",
        "--grant",
        "/vms/100=VM.PowerMgmt",
    )
    words = pvefw("api", "token", "add", "ann@pam", "ci", "--grant", "/=Sys.Audit").out.strip()
    assert users.by_token(users.load(paths), words, 0).name == "ann@pam!ci"
    listed = json.loads(pvefw("api", "user", "list", "--output-format", "json").out)
    assert [(row["user"], row["token"]) for row in listed] == [
        ("root@pam", ""),
        ("ann@pam", ""),
        ("ann@pam", "ci"),
    ]
    pvefw("api", "user", "set", "ann@pam", "--disable")
    found = users.load(paths)
    assert found["ann@pam"].grants["/vms/100"] == ("VM.PowerMgmt",), "what is not named stays"
    assert users.by_token(found, words, 0) is None
    assert "already" in pvefw("api", "token", "add", "ann@pam", "ci", status=2).err
    pvefw("api", "token", "remove", "ann@pam", "ci")
    pvefw("api", "user", "remove", "ann@pam")
    assert list(users.load(paths)) == ["root@pam"]


def test_users_and_tokens_say_what_changed(pvefw, paths):
    def said(*words):
        return json.loads(pvefw("api", *words, "--output-format", "json").out)

    user = ("user", "set", "ann@pam", "--grant", "/=Sys.Audit")
    token = ("token", "add", "ann@pam", "ci", "--grant", "/=Sys.Audit", "--or-set")
    assert said(*user, "--dry-run") == {"changed": True, "dry-run": True}
    assert "ann@pam" not in users.load(paths)
    assert [said(*user)["changed"] for _ in range(2)] == [True, False]
    assert said(*token, "--dry-run") == {"changed": True, "dry-run": True}
    first = said(*token)
    assert users.by_token(users.load(paths), first["token"], 0).name == "ann@pam!ci"
    assert said(*token) == {"changed": False, "dry-run": False}
    assert said(*token, "--expires", "2030-01-01") == {"changed": True, "dry-run": False}
    again = users.load(paths)["ann@pam"].tokens["ci"]
    assert again.expires and again.grants == {"/": ("Sys.Audit",)}, "what is not named stays"
    assert users.by_token(users.load(paths), first["token"], 0), "its secret stays"


def test_where_proxmox_ves_api_is_there_is_none_of_ours(pvefw, paths):
    theirs = paths.below("usr/bin/pveproxy")
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    for command in ("serve", "helper", "install-service"):
        assert "pveproxy" in pvefw("api", command, status=2).err
    assert not paths.below("etc/systemd").exists()


@only_root("is root")
def test_the_front_does_not_run_as_root(pvefw):
    assert "must not run as root" in pvefw("api", "serve", status=2).err


def test_the_units_are_written_and_please_systemd(pvefw, paths):
    said = pvefw("api", "install-service").out
    for name in (units.FRONT, units.HELPER):
        assert str(paths.below("etc/systemd/system") / name) in said
    assert f"u {units.USER} " in paths.below("etc/sysusers.d/pvefw-api.conf").read_text()
    front = paths.below("etc/systemd/system") / units.FRONT
    assert f"User={units.USER}\n" in front.read_text()
    assert "CapabilityBoundingSet=\n" in front.read_text()
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", front],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert float(done.stdout.rpartition(": ")[2].split()[0]) < 2.5, done.stdout


def test_without_a_helper_the_front_says_what_to_start(tmp_path):
    with pytest.raises(ProgramError, match="the helper does not answer") as missing:
        swap.Swap(tmp_path / "nobody")
    assert "pvefw-api-helper" in missing.value.hint


def test_what_a_first_handshake_waits_for_loads_no_model():
    """Both processes are there within half a second; the values of plugins alone take a tenth of that."""
    modules = "pvefw.cli.run, pvefw.core.loading, pvefw_api_server.commands"
    for ours in ("serving", "helper"):
        load = f"import {modules}, pvefw_api_server.{ours}"
        code = f"import sys; there = {{*sys.modules}}; {load}; print(*{{*sys.modules}} - there)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        late = {
            "pvefw.core.model",
            "pvefw_api.table",
            "pvefw_api_server.answering",
            "pluggy",
            "sqlite3",
        }
        assert late.isdisjoint(done.stdout.split()), ours
