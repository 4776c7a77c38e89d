"""A DNS provider's name that another catalogue could answer to is stored with its catalogue."""

import json
from types import SimpleNamespace

import pytest

from pvefw import instances
from pvefw.cli.complete import answer
from pvefw.cli.run import run
from pvefw.core import finding
from pvefw.core.errors import PluginMissing
from pvefw.instances import Instance, instance_binding
from pvefw.store import files, notes
from pvefw.store.node import Node


class Hooks:
    def __init__(self, names):
        self._names = names

    def catalog_names(self, **_):
        return self._names

    def catalog_entry(self, name, **_):
        from pvefw.core.model import CatalogEntry

        return CatalogEntry(name, name.title(), [])


@pytest.fixture
def catalogues(monkeypatch):
    """Catalogues by name, with what each offers."""
    offered = {}

    def installed(family):
        names = offered if family.name == "dns_catalog" else {}
        return [
            SimpleNamespace(name=name, distribution=f"dist-{name}", family=family) for name in names
        ]

    class Bound:
        def __init__(self, name):
            self.name = name
            self.hooks = Hooks(offered[name])

    monkeypatch.setattr(finding, "installed", installed)
    monkeypatch.setattr(instance_binding, "_catalog", lambda _node, name: Bound(name))
    return offered


def stored(paths, plugin):
    instances.add(paths, Instance("dns", "one", plugin))
    return instances.load(Node.open(paths), "dns", "one")


@pytest.mark.parametrize(
    ("offered", "plugin", "expected"),
    [
        ({"lexicon": ["hetzner"]}, "hetzner", "hetzner"),
        ({"acmesh": [], "lexicon": ["hetzner"]}, "hetzner", "lexicon/hetzner"),
        ({"acmesh": ["cf"], "lexicon": []}, "cf", "cf"),
        ({"acmesh": ["aws"], "lexicon": ["aws"]}, "aws", "acmesh/aws"),
        ({"acmesh": ["aws"], "lexicon": ["aws"]}, "lexicon/aws", "lexicon/aws"),
    ],
)
def test_what_is_stored(paths, catalogues, offered, plugin, expected):
    catalogues.update(offered)
    assert stored(paths, plugin).plugin == expected
    assert ("/" in expected) == (not files.exists(paths.plugins_cfg))


def test_proxmox_ve_keeps_the_plain_name_of_a_script_that_it_ships(paths, catalogues):
    catalogues.update({"acmesh": ["aws"], "lexicon": ["aws", "gandi"]})
    files.replace(paths.pve_dns_apis, json.dumps({"aws": {}, "gandi": {}}).encode())
    assert stored(paths, "aws").plugin == "aws"
    assert b"api aws" in paths.plugins_cfg.read_bytes()
    instances.add(paths, Instance("dns", "two", "gandi"))
    assert b"gandi" not in paths.plugins_cfg.read_bytes()
    assert b"api lexicon/gandi" in paths.own_plugins_cfg.read_bytes()


def test_it_still_works_when_another_catalogue_comes(paths, catalogues):
    catalogues.update({"acmesh": [], "lexicon": ["hetzner"]})
    found = stored(paths, "hetzner")
    catalogues["acmesh"] = ["hetzner"]
    assert instance_binding._locate(Node.open(paths), "dns", found.plugin).catalog.name == "lexicon"
    with pytest.raises(PluginMissing):
        instance_binding._locate(Node.open(paths), "dns", "nobody")


def test_all_names_are_listed_and_noted_for_the_tab_key(paths, catalogues, capsys, monkeypatch):
    catalogues.update({"acmesh": ["aws", "cf"], "lexicon": ["aws"]})
    host = ["--root", str(paths.root), "--node", paths.node, "plugin", "list", "--providers"]
    assert run([*host, "--output-format", "json"]) == 0
    rows = {row["api"]: row["source"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {
        "acmesh/aws": "dns_catalog/acmesh",
        "cf": "dns_catalog/acmesh",
        "lexicon/aws": "dns_catalog/lexicon",
    }
    assert notes.read(paths.provider_notes).keys() == set(rows)
    assert run([*host, "CF"]) == 0
    assert capsys.readouterr().out.split()[3:] == ["cf", "Cf", "dns_catalog/acmesh"]
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    offered = answer("fish", "pvefw acme plugin add dns one --api ac")
    assert [line.split("\t")[1] for line in offered.splitlines()] == ["acmesh/", "acmesh/aws"]
