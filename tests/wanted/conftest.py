"""A node and a document for it."""

import json

import pytest
from guests.conftest import farm

from pvefw.cli.run import run
from pvefw.store.paths import Paths

__all__ = ["farm"]


class Node:
    """A node in a tree of its own, and ``pvefw apply`` on it."""

    def __init__(self, paths, capsys):
        self.paths = paths
        self.capsys = capsys

    def call(self, *arguments):
        """Status, output and errors of a command."""
        where = ["--root", str(self.paths.root), "--node", self.paths.node]
        self.capsys.readouterr()
        status = run([*where, *map(str, arguments)])
        said = self.capsys.readouterr()
        return status, said.out, said.err

    def apply(self, text, *options):
        """Apply a document."""
        file = self.paths.root.with_name("document.yaml")
        file.write_text(text)
        return self.call("apply", file, *options)

    def changes(self, text, *options):
        """What a document changes, as pairs of action and subject; it must be possible."""
        status, out, err = self.apply(text, "--output-format", "json", *options)
        assert status in (0, 1) and not err, err
        found = json.loads(out)
        assert found["changed"] == bool(found["changes"])
        return [
            (change["action"], f"{change['part']}.{change['name']}".rstrip("."))
            for change in found["changes"]
        ]

    def export(self):
        """The node's state."""
        status, out, err = self.call("apply", "--export", "--output-format", "json")
        assert status == 0, err
        return json.loads(out)

    def files(self):
        """Every file of the tree and what is in it."""
        found = self.paths.root.rglob("*")
        return {path: path.read_bytes() for path in found if path.is_file()}


@pytest.fixture
def node(paths, capsys):
    return Node(paths, capsys)


@pytest.fixture
def elsewhere(tmp_path, capsys):
    root = tmp_path / "elsewhere"
    root.mkdir()
    return Node(Paths(root, "pve1"), capsys)
