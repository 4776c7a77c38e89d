"""Ids and names that stand twice: what counts can be changed and removed, and nothing else is touched."""

import json

import pytest
from instances.test_every_family import (
    ACME,
    OURS,
    config_file,
    every_family,
    pvefw,
)

from pvefw import instances
from pvefw.certs import acme_plugin
from pvefw.core.errors import NotFound, UsageError
from pvefw.store import files, oddities
from pvefw.store.node import Node
from pvefw.store.paths import Paths

__all__ = ["pvefw"]


@pytest.fixture
def twice(paths):
    """Writes an instance with another one of its id, of a family or the same one, above or below it."""

    def write(family, other, *, above):
        mine = f"{family}: every\n\tplace mine\n\n"
        theirs = f"{other}: every\n\tplace theirs\n\n"
        text = theirs + mine if above else mine + theirs
        files.replace(config_file(paths, family), text.encode())
        return text

    return write


@every_family
def test_one_that_stands_twice_in_a_file(paths, twice, pvefw, family):
    text = twice(family, family, above=True)
    pvefw(family, "set", "every", "--disable")
    assert instances.load(Node.open(paths), family, "every").disabled
    assert config_file(paths, family).read_text() == text[:-1] + "\tdisable 1\n\n"
    pvefw(family, "remove", "every")
    with pytest.raises(NotFound):
        instances.load(Node.open(paths), family, "every")


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("family", OURS)
def test_one_of_another_family_in_the_same_file_is_another_one(paths, twice, pvefw, family, above):
    other = next(name for name in OURS if name != family)
    twice(family, other, above=above)
    heard = []
    with oddities.listening(heard.append):
        found = instances.load(Node.open(paths), family, "every")
    assert (found.settings, heard) == ({"place": "mine"}, [])
    pvefw(family, "set", "every", "--disable")
    assert instances.load(Node.open(paths), family, "every").disabled
    theirs = instances.load(Node.open(paths), other, "every")
    assert (theirs.settings, theirs.disabled) == ({"place": "theirs"}, False)
    pvefw(family, "remove", "every")
    with pytest.raises(NotFound):
        instances.load(Node.open(paths), family, "every")
    assert instances.load(Node.open(paths), other, "every").settings == {"place": "theirs"}


NAMES = [
    {"config": "acmedomain0: a.example.com\nacmedomain1: a.example.com\n"},
    {"config": "acme: domains=a.example.com\nacmedomain0: a.example.com\n"},
    {"config": "acme: domains=a.example.com;a.example.com\n"},
    {"config": "acmedomain0: a.example.com\n", "pvefw.cfg": "acmedomain0: b.example.com\n"},
    {"config": "acmedomain0: a.example.com,plugin=\nacmedomain1: plugin=every\n<<<<<<<\n"},
]


def write_names(paths, there):
    for name, text in there.items():
        files.replace(paths.node_dir() / name, text.encode())


@pytest.mark.parametrize("there", NAMES)
@pytest.mark.parametrize("family", ACME)
def test_names_that_stand_twice_are_in_no_instances_way(paths, pvefw, family, there):
    files.replace(config_file(paths, family), f"{family}: every\n\tapi nowhere\n".encode())
    write_names(paths, {name: text.replace("=every", "=web") for name, text in there.items()})
    assert json.loads(pvefw(family, "config", "every", "--output-format", "json"))
    pvefw(family, "set", "every", "--disable", "--nodes", "pve2")
    assert instances.load(Node.open(paths), family, "every").disabled
    pvefw(family, "remove", "every")
    with pytest.raises(NotFound):
        instances.load(Node.open(paths), family, "every")


@pytest.mark.parametrize(
    ("name", "text", "who"),
    [
        ("config", "acmedomain0: a.example.com,plugin=every\n", "a.example.com"),
        ("config", "acmedomain0: a.example.com,plugin=every\n" * 2, "a.example.com"),
        (
            "config",
            "acmedomain0: a.example.com\nacmedomain1: a.example.com,plugin=every\n",
            "a.example.com",
        ),
        ("pvefw.cfg", "acmedomain7: *.example.com,plugin=every\n", r"\*.example.com"),
    ],
)
@pytest.mark.parametrize("node", ["pve1", "pve2"])
def test_an_instance_that_a_name_of_any_node_uses_stays(paths, name, text, who, node):
    files.replace(paths.plugins_cfg, b"dns: every\n\tapi ovh\n")
    write_names(Paths(paths.root, node), {name: text})
    where = "" if node == paths.node else rf" \(node {node}\)"
    with pytest.raises(UsageError, match=f"every validates {who}{where}$"):
        acme_plugin.remove(paths, "every")
    assert instances.load(Node.open(paths), "dns", "every")


def test_a_node_that_cannot_be_read_keeps_no_instance(paths):
    files.replace(paths.plugins_cfg, b"dns: every\n\tapi ovh\n")
    Paths(paths.root, "pve2").node_config().mkdir(parents=True)
    (paths.nodes / "not a node").mkdir()
    acme_plugin.remove(paths, "every")
