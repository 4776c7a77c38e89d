"""Every command's JSON is documented, and is what the documentation says."""

import json
import shutil

import click
import documented
import full_node
import pytest
from jsonschema import Draft202012Validator
from privileges import only_root

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW
from pvefw.cli.run import run
from pvefw.cli.schemas import SCHEMAS
from pvefw.store.paths import Paths

UPID = full_node.UPID


def with_output(command, ctx):
    """The paths of all commands that have --output-format."""
    if isinstance(command, click.Group):
        foreign = {name for name, value in command._found.items() if not value.ours}
        for name in sorted({*command.list_commands(ctx)} - foreign):
            inner = command.get_command(ctx, name)
            yield from with_output(inner, click.Context(inner, parent=ctx, info_name=name))
    if any("--output-format" in param.opts for param in command.get_params(ctx)):
        yield ctx.command_path.partition(" ")[2]


def test_every_command_that_prints_json_is_documented_and_no_other():
    context = click.Context(PVEFW, info_name="pvefw", obj=App())
    assert sorted(with_output(PVEFW, context)) == sorted(SCHEMAS)


@pytest.mark.parametrize("command", sorted(SCHEMAS))
def test_every_schema_is_one(command):
    Draft202012Validator.check_schema(dict(SCHEMAS[command]))


def test_what_is_not_documented_is_found():
    good = {"cmdline": "root=/dev/sda1"}
    assert documented.faults("boot cmdline get", good) == []
    assert documented.faults("boot cmdline get", {**good, "new": 1})
    assert documented.faults("boot cmdline get", {"cmdline": 1})
    assert documented.faults("boot cmdline get", {})


@pytest.fixture
def node(tmp_path):
    """A node that has one of everything that needs no server."""
    paths = Paths(tmp_path / "root", "pve1")
    full_node.fill(paths)
    (paths.task_dir / "active").write_text(f"{UPID.replace('B9', 'BA')} 0\n")
    paths.pinned_kernel.write_text("6.8.4-2-pve\n")
    paths.manual_kernels.write_text("6.8.4-2-pve\n")
    paths.esp_uuids.write_text("1234-ABCD\n")
    return paths


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["acme", "account", "info"], 0),
        (["acme", "account", "list"], 0),
        (["acme", "plugin", "config", "mine"], 0),
        (["acme", "plugin", "list"], 0),
        (["boot", "cmdline", "get"], 0),
        (["boot", "kernel", "list"], 0),
        (["cert", "info"], 0),
        (["config", "get"], 0),
        (["ksm", "status"], 0),
        (["observer", "config", "tell"], 0),
        (["observer", "list"], 0),
        (["plugin", "list"], 0),
        (["plugin", "show", "challenge", "standalone"], 0),
        (["plugin", "show", "challenge", "standalone", "--json-schema"], 0),
        (["status"], 1),
        (["task", "list"], 0),
        (["task", "list", "--source", "all"], 0),
        (["task", "log", UPID], 0),
        (["task", "status", UPID], 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_commands_print_is_as_documented(node, capsys, arguments, status):
    """The shared fixture holds it against the schema; here we see that there was something to hold."""
    where = ["--root", str(node.root), "--node", "pve1"]
    assert run([*where, *arguments, "--output-format", "json"]) == status
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed
    command = " ".join(arguments[:3]) if " ".join(arguments[:3]) in SCHEMAS else ""
    command = command or next(
        schema for schema in SCHEMAS if " ".join(arguments).startswith(schema)
    )
    assert documented.faults(command, printed) == []


@pytest.mark.skipif(shutil.which("lsblk") is None, reason="lsblk is not installed")
@only_root("mounts file systems")
@pytest.mark.parametrize("arguments", [["boot", "status"], ["boot", "loader"]], ids=" ".join)
def test_what_boot_says_of_an_esp_that_is_not_there(node, capsys, arguments):
    run(["--root", str(node.root), "--node", "pve1", *arguments, "--output-format", "json"])
    assert json.loads(capsys.readouterr().out)
