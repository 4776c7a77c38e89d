"""Every command that sets or adds something says whether it changed anything, and can be tried out."""

import click
import pytest

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW

OTHER = {
    "api set": "a verb of Proxmox VE's API: it answers what that answers",
    "api totp add": "each time it makes another secret; the one in use is removed first",
    "boot kernel add": "adding twice is no error, so that it needs no --or-set",
}
"""Commands that have these names and another meaning, or need less, with the reason."""


def walk(command, ctx):
    """Each command below a group, as its words and its options."""
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            yield from walk(inner, click.Context(inner, parent=ctx, info_name=name))
        return
    options = {option for param in command.get_params(ctx) for option in param.opts}
    yield ctx.command_path.partition(" ")[2], options


def lacks(words, options):
    """What a command that sets or adds should have, and has not."""
    verb = words.rpartition(" ")[2]
    if verb not in ("set", "add"):
        return set()
    wanted = {"--dry-run", "--output-format"} | ({"--or-set"} if verb == "add" else set())
    return wanted - options


@pytest.fixture(scope="module")
def commands():
    return dict(walk(PVEFW, click.Context(PVEFW, info_name="pvefw", obj=App())))


def test_every_set_and_add_has_what_scripts_need(commands):
    assert {"cert set", "guest set", "api token add"} <= commands.keys()
    missing = {key: found for key, options in commands.items() if (found := lacks(key, options))}
    assert {words: names for words, names in missing.items() if words not in OTHER} == {}


def test_no_exception_is_needless(commands):
    assert [words for words in OTHER if not lacks(words, commands[words])] == []
    assert lacks("boot kernel add", commands["boot kernel add"]) == {"--or-set"}
