"""The shim's table against the published one, and every row of that as scripts may write it."""

import copy
import json
from functools import partial
from pathlib import Path

import click
import pytest

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW
from pvefw.core.errors import UsageError
from pvefw.store import properties
from pvefw_shims import arguments, pvenode
from pvefw_shims.arguments import LISTING, Given
from pvefw_shims.pvenode import DIFFERENCES, Difference
from pvefw_shims.pvenode_commands import COMMANDS

PUBLISHED = json.loads((Path(__file__).parent / "data/pvenode-commands.json").read_text())[
    "commands"
]
OPTIONS = [
    pytest.param(command, name, id=f"{command} --{name}")
    for command, row in PUBLISHED.items()
    for name in [*row["opts"], *row.get("std", [])]
]
VALUES = {
    "api": "ovh",
    "id": "example",
    "upid": "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:",
    "statusfilter": "ok",
}


def described(row):
    """A row of the published table in the words of the shim's."""
    required = {name for name, option in row["opts"].items() if option.get("required")}
    booleans = {name for name, option in row["opts"].items() if option["type"] == "boolean"}
    std = set(row.get("std", []))
    return {
        "arguments": [
            argument if argument in required else f"[{argument}]" for argument in row["args"]
        ],
        "booleans": booleans | (std & {*LISTING}),
        "options": (set(row["opts"]) - booleans - set(row["args"])) | (std - {*LISTING}),
    }


def differences(published):
    """What the shim's table has otherwise."""
    ours = {
        name: {
            "arguments": list(command.arguments),
            "booleans": set(command.booleans),
            "options": set(command.options),
        }
        for name, command in COMMANDS.items()
    }
    theirs = {name: described(row) for name, row in published.items()}
    return {name: theirs.get(name) for name in ours | theirs if ours.get(name) != theirs.get(name)}


def test_the_table_is_the_published_one():
    assert differences(PUBLISHED) == {}
    assert {*DIFFERENCES} <= {*COMMANDS}


def test_what_the_reference_adds_or_changes_is_noticed():
    changed = copy.deepcopy(PUBLISHED)
    changed["wakeonlan"]["opts"]["wait"] = {"type": "boolean"}
    changed["acme cert order"]["opts"]["force"]["type"] = "string"
    changed["task log"]["args"] = ["upid", "start"]
    changed["cert info"]["std"].append("columns")
    changed["acme account info"]["opts"]["name"]["required"] = 1
    changed["resumeall"] = {"args": [], "opts": {}}
    del changed["stopall"]
    assert {*differences(changed)} == {
        *("wakeonlan", "acme cert order", "task log", "cert info", "acme account info"),
        *("resumeall", "stopall"),
    }


def pvefw(command):
    found = pvenode._pvefw(command.split())
    assert isinstance(found, click.Command)
    return found


def as_pvefw(command, *words):
    """The command line that pvefw gets; it is parsed as pvefw would, and nothing is run."""
    own, expected, app = pvefw(command), COMMANDS[command], App()
    given = pvenode._printed(app, arguments.read(words, expected, own))
    changed = DIFFERENCES.get(command, Difference()).change(given)
    line = arguments.for_pvefw(changed, expected, own)
    own.make_context(command, list(line), parent=click.Context(PVEFW, obj=app))
    return given, line, app


def value(tmp_path, command, name):
    """A value that the published table allows."""
    row = PUBLISHED[command]["opts"].get(name, {})
    if "enum" in row and name not in VALUES:
        return row["enum"].split("|")[0]
    if row.get("type") == "integer":
        return str(row.get("min", 1))
    if name in ("certificates", "key", "data"):
        path = tmp_path / name
        path.write_text("KEY=value\n")
        return str(path)
    return VALUES.get(name, "json" if name == "output-format" else "pve2")


def needed(tmp_path, command, but):
    """What cannot be left out."""
    row = PUBLISHED[command]["opts"]
    names = [name for name in row if row[name].get("required") and name != but]
    return [f"--{name}={value(tmp_path, command, name)}" for name in names]


def outcome(command, *words):
    """All that an option can change."""
    given, line, app = as_pvefw(command, *words)
    return given, line, app.printing, app.output_format


@pytest.mark.parametrize(("command", "name"), OPTIONS)
def test_every_option_in_every_form(tmp_path, command, name):
    others = needed(tmp_path, command, name)
    is_boolean = name in COMMANDS[command].booleans
    if is_boolean:
        forms = [[f"--{name}"], [f"-{name}"], [f"--{name}", "1"], [f"-{name}=1"], [f"--{name}=on"]]
    else:
        text = value(tmp_path, command, name)
        forms = [[f"--{name}", text], [f"-{name}", text], [f"--{name}={text}"], [f"-{name}={text}"]]
    first, *more = [outcome(command, *others, *words) for words in forms]
    assert all(result == first for result in more)
    if not is_boolean:
        assert first[0].values.get(name, text) == text
        return
    off = [[f"--{name}", "0"], [f"-{name}", "0"], [f"--{name}=0"], [f"-{name}=off"]]
    first_off, *more = [outcome(command, *others, *words) for words in off]
    assert all(result == first_off for result in more)
    assert first != first_off
    with pytest.raises(UsageError, match="neither yes nor no"):
        outcome(command, *others, f"--{name}=maybe")


@pytest.mark.parametrize(("command", "name"), OPTIONS)
def test_every_prefix_that_is_unique(tmp_path, command, name):
    known = {*PUBLISHED[command]["opts"], *PUBLISHED[command].get("std", [])}
    is_boolean = name in COMMANDS[command].booleans
    text = "1" if is_boolean else value(tmp_path, command, name)
    others = needed(tmp_path, command, name)
    whole = as_pvefw(command, *others, f"--{name}", text)[1]
    for length in range(1, len(name)):
        prefix = name[:length]
        meant = {option for option in known if option.startswith(prefix)}
        if prefix in known:
            continue
        if meant == {name}:
            assert as_pvefw(command, *others, f"-{prefix}", text)[1] == whole
        else:
            with pytest.raises(UsageError, match="ambiguous"):
                as_pvefw(command, *others, f"-{prefix}", text)


@pytest.mark.parametrize("command", PUBLISHED)
def test_every_prefix_of_a_command(command):
    words = command.split()
    for place, word in enumerate(words):
        start = words[:place]
        names = {
            published.split()[place]
            for published in PUBLISHED
            if published.split()[:place] == start
        }
        for length in range(1, len(word)):
            typed = [*start, word[:length], *words[place + 1 :]]
            if sum(name.startswith(word[:length]) for name in names) == 1:
                assert pvenode._resolved([*typed, "x"]) == (words, ["x"])
            else:
                with pytest.raises(UsageError, match="ambiguous"):
                    pvenode._resolved(typed)


BOUNDS = [
    (command, name, row[key], row[key] + outside)
    for command, table in PUBLISHED.items()
    for name, row in table["opts"].items()
    for key, outside in (("min", -1), ("max", 1))
    if key in row and name != "vmid"  # a filter: no task is of a guest that cannot be
]


@pytest.mark.parametrize(("command", "name", "last", "outside"), BOUNDS)
def test_the_bounds_are_the_same(command, name, last, outside):
    if command == "config set":
        check = properties.find(name).check
    else:
        change = DIFFERENCES.get(command, Difference()).change
        (option,) = change(Given({name: ""})).values
        param = arguments._options(pvefw(command))[f"--{option}"]
        check = partial(param.type.convert, param=param, ctx=None)
    check(str(last))
    with pytest.raises((ValueError, click.BadParameter)):
        check(str(outside))
