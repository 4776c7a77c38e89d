"""``plugin search``: a word in names and titles, in catalogues, too."""

import json
import sys

import pytest

from pvefw.cli.run import run
from pvefw.core import finding
from pvefw.instances import instance_binding
from pvefw.store.node import Node
from pvefw.store.paths import Paths

CATALOGUE = """
from dataclasses import dataclass
from pvefw.api import CatalogEntry, ProviderError, hookimpl

@dataclass
class Shelf:
    @hookimpl
    def catalog_names(self):
        return ["acmecorp", "broken", "route53"]
    @hookimpl
    def catalog_entry(self, name):
        if name == "broken":
            raise ProviderError("its library is missing")
        return CatalogEntry(name, {"route53": "Amazon Route 53"}.get(name, "Corp of Acme"), [])
    @hookimpl
    def catalog_make(self, name, values):
        return None

class Unusable:
    pass
"""


@pytest.fixture
def paths(tmp_path, monkeypatch):
    info = tmp_path / "site/dist_shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-shelf\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    (info / "entry_points.txt").write_text(
        "[pvefw.dns_catalog]\nshelf = dist_shelf:Shelf\nunusable = dist_shelf:Unusable\n"
        "[pvefw.observer]\nacmewatch = dist_shelf:Unusable\n"
    )
    (info.parent / "dist_shelf.py").write_text(CATALOGUE)
    monkeypatch.syspath_prepend(str(info.parent))
    installed = finding.installed

    def ours(family):
        """Asking every catalogue of this environment for its titles takes seconds."""
        return [plugin for plugin in installed(family) if plugin.distribution == "dist-shelf"]

    monkeypatch.setattr(finding, "installed", ours)
    (tmp_path / "root").mkdir()
    yield Paths(tmp_path / "root", "pve1")
    sys.modules.pop("dist_shelf", None)


def found(paths, word):
    return [
        f"{row['family']}/{row['name']}" for row in instance_binding.search(Node.open(paths), word)
    ]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("route53", ["dns/route53"]),
        ("AMAZON", ["dns/route53"]),
        ("acme", ["dns/acmecorp", "observer/acmewatch"]),
        ("broken", []),
        ("shelf", ["dns_catalog/shelf", "dns_catalog/unusable", "observer/acmewatch"]),
        ("no such thing", []),
    ],
)
def test_a_word_in_names_and_titles(word, names, paths):
    """The observer's distribution has the word, too; nothing is imported for that."""
    assert found(paths, word) == names


def test_the_command_says_where_a_provider_comes_from(paths, capsys):
    root = ["--root", str(paths.root), "--node", "pve1"]
    assert run([*root, "plugin", "search", "amazon", "--output-format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row == {
        "family": "dns",
        "name": "route53",
        "title": "Amazon Route 53",
        "source": "dns_catalog/shelf",
    }
