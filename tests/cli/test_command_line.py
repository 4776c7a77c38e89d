"""The command line itself: options, output, exit statuses, and a quick start."""

import json
import os
import re
import shutil
import subprocess
import sys

import click
import pytest
import yaml

from pvefw.cli import tree
from pvefw.cli.framework import App, _two_dashes
from pvefw.cli.groups import PVEFW
from pvefw.cli.run import run


@pytest.fixture
def pvefw(node_root, capsys):
    """Runs a command line in this process; exit status, output, errors."""

    def do(*arguments):
        status = run(["--root", str(node_root), "--node", "pve1", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return do


def all_commands(command, ctx):
    yield command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            yield from all_commands(inner, click.Context(inner, parent=ctx, info_name=name))


COMMANDS = list(all_commands(PVEFW, click.Context(PVEFW, info_name="pvefw", obj=App())))


def test_the_first_page_is_what_click_would_print(capsys):
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == tree.first_page() + "\n"


@pytest.mark.parametrize(
    ("command", "ctx"), COMMANDS, ids=[ctx.command_path.replace(" ", "-") for _, ctx in COMMANDS]
)
def test_every_command_explains_itself(command, ctx):
    assert command.help, f"{ctx.command_path} has no help"
    for param in command.get_params(ctx):
        if isinstance(param, click.Option):
            assert param.help, f"{ctx.command_path} {param.opts[0]} has no help"
            assert param.help.endswith((".", ")")), f"{ctx.command_path} {param.opts[0]}"
    opts = {name for param in command.get_params(ctx) for name in param.opts}
    assert {"--root", "--node", "--debug"} <= opts


def test_every_list_may_come_in_several_pieces():
    """Whoever types ``--delete a --delete b``, as pvenode takes it, must not lose the first one."""
    lists = {
        f"{ctx.command_path} {param.opts[0]}": param
        for command, ctx in COMMANDS
        for param in command.get_params(ctx)
        if isinstance(param, click.Option) and re.search(r",(…|[A-Z])", param.metavar or "")
    }
    assert "pvefw config set --delete" in lists
    assert [name for name, param in lists.items() if not param.multiple] == []


def test_the_pieces_of_a_list_are_one_list(pvefw):
    pvefw("config", "set", "--description", "x", "--wakeonlan", "02:00:00:00:00:01")
    assert pvefw("config", "set", "--delete", "description", "--delete", "wakeonlan")[0] == 0
    shown = json.loads(pvefw("config", "get", "--output-format", "json")[1])
    assert not {"description", "wakeonlan"} & {*shown}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("-force", "--force"),
        ("-acmedomain0=x", "--acmedomain0=x"),
        ("--force", "--force"),
        ("-x", "-x"),
        ("-1", "-1"),
        ("force", "force"),
    ],
)
def test_one_dash_is_enough(given, read):
    assert _two_dashes(given, {"--force", "--acmedomain0"}) == read


def test_help_and_version_import_no_command_line_library():
    for option in ("--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "pvefw", option],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "pvefw" in done.stdout
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not imported & {
            "click",
            "importlib.metadata",
            "requests",
            "cryptography",
            "stevedore",
        }


def test_wrong_use_is_2_and_says_where_the_help_is(pvefw):
    for arguments in (["nonsense"], ["config", "get", "--nonsense"], ["task", "log"]):
        status, _, said = pvefw(*arguments)
        assert status == 2
        assert "--help" in said
        assert len(said.splitlines()) <= 3


def test_failed_work_is_1(pvefw):
    status, out, said = pvefw("task", "log", "UPID:pve1:00000001:00000001:00000001:x::root@pam:")
    assert (status, out) == (1, "")
    assert said.startswith("pvefw: ")


def test_set_and_get_in_every_format(pvefw):
    assert pvefw("config", "set", "-acmedomain0", "a.example", "--description", "☎")[0] == 0
    _, text, _ = pvefw("config", "get")
    assert "acmedomain0  a.example" in text
    for form in ("json", "json-pretty"):
        shown = json.loads(pvefw("config", "get", "--output-format", form)[1])
        assert shown["acmedomain0"] == "a.example"
    assert yaml.safe_load(pvefw("config", "get", "--output-format", "yaml")[1]) == shown
    assert pvefw("config", "get", "--property", "acmedomain0", "--output-format", "json")[1] == (
        '{"acmedomain0": "a.example"}\n'
    )


def test_more_than_six_domains_are_options_too(pvefw):
    assert pvefw("config", "set", "-acmedomain17=a.example", "-acmedomain999", "b.example")[0] == 0
    assert "acmedomain999" in pvefw("config", "get")[1]
    status, _, said = pvefw("config", "set", "--acmedomain1000", "c.example")
    assert status == 2
    assert "acmedomain1000" in said


def test_deleting_and_digests(pvefw):
    pvefw("config", "set", "-acmedomain0", "a.example")
    digest = json.loads(pvefw("config", "get", "--output-format", "json")[1])["digest"]
    assert pvefw("config", "set", "--delete", "acmedomain0", "--digest", digest)[0] == 0
    status, _, said = pvefw("config", "set", "-acmedomain0", "b.example", "--digest", digest)
    assert status == 1
    assert "digest mismatch" in said


def test_plugin_instances(pvefw, tmp_path):
    data = tmp_path / "data"
    data.write_text("port=8080\nlisten=127.0.0.1\n")
    assert pvefw("acme", "plugin", "add", "standalone", "mine", "--data", str(data))[0] == 0
    shown = json.loads(pvefw("acme", "plugin", "config", "mine", "--output-format", "json")[1])
    assert shown["data"] == {"port": "8080", "listen": "127.0.0.1"}
    assert shown["type"] == "standalone"
    rows = json.loads(pvefw("acme", "plugin", "list", "--output-format", "json")[1])
    assert [row["plugin"] for row in rows] == ["mine", "standalone"]
    pvefw("acme", "plugin", "set", "mine", "--nodes", "pve1,pve2", "--disable")
    shown = json.loads(pvefw("acme", "plugin", "config", "mine", "--output-format", "json")[1])
    assert (shown["nodes"], shown["disable"]) == ("pve1,pve2", True)
    assert pvefw("acme", "plugin", "set", "mine", "--delete", "nodes,disable,data")[0] == 0
    shown = json.loads(pvefw("acme", "plugin", "config", "mine", "--output-format", "json")[1])
    assert "nodes" not in shown
    assert shown["data"] == {}
    assert pvefw("acme", "plugin", "remove", "mine")[0] == 0


def test_wrong_settings_are_refused_at_add(pvefw, tmp_path):
    data = tmp_path / "data"
    data.write_text("prot=8080\n")
    status, _, said = pvefw("acme", "plugin", "add", "standalone", "mine", "--data", str(data))
    assert status == 2
    assert "prot is not a setting (did you mean port?)" in said
    assert "Known keys: port, listen, webroot" in said
    status, _, said = pvefw("acme", "plugin", "add", "dns", "mine", "--api", "no-such-provider")
    assert status == 1
    assert "no-such-provider" in said
    status, _, said = pvefw("acme", "plugin", "add", "dns", "mine")
    assert status == 2
    assert "--api is missing" in said


def test_an_instance_in_use_is_not_removed(pvefw):
    pvefw("acme", "plugin", "add", "standalone", "mine")
    pvefw("config", "set", "-acmedomain0", "a.example,plugin=mine")
    status, _, said = pvefw("acme", "plugin", "remove", "mine")
    assert status == 2
    assert "validates a.example" in said


def test_the_instance_that_always_exists_is_not_removed(pvefw):
    status, _, said = pvefw("acme", "plugin", "remove", "standalone")
    assert status == 2
    assert "standalone always exists" in said


@pytest.mark.parametrize("command", ["renew", "revoke"])
def test_without_a_certificate_there_is_nothing_to_renew_or_revoke(pvefw, command):
    status, _, said = pvefw("acme", "cert", command)
    assert status == 1
    assert "node pve1 has no certificate of its own" in said
    assert "pvefw acme cert order" in said


def test_an_error_of_our_own_is_no_traceback(pvefw, monkeypatch):
    from pvefw.store.node import Node

    def fail(_paths):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Node, "open", fail)
    status, _, said = pvefw("config", "get")
    assert status == 1
    assert said.startswith("pvefw: internal error: ZeroDivisionError: oops")
    assert "Traceback" not in said
    assert "Traceback" in pvefw("--debug", "config", "get")[2]


def test_a_reader_that_leaves_is_no_error(tmp_path):
    command = [sys.executable, "-m", "pvefw", "--root", str(tmp_path), "task", "list", "--help"]
    shell = " ".join(command) + " | head -c 1"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "", None])
def test_roots_programs_are_found_whoever_became_root(monkeypatch, capsys, path):
    """``su`` without ``-`` keeps the path of the user that one was."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    assert run(["--version"]) == 0
    assert shutil.which("mkfs.vfat")
    assert "" not in os.environ["PATH"].split(":")
