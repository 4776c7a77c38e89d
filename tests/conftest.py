"""Fixtures that several areas share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from environments import ROOT, wheel

from pvefw.cli import output
from pvefw.store.paths import Paths

if TYPE_CHECKING:
    from servers.pebble import Pebble

    from pvefw.cli.framework import App


@pytest.fixture(autouse=True)
def _json_is_as_documented(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever JSON a command prints in a test's own process is checked against its schema."""
    wrong: list[str] = []
    print_data = output.show_data

    def checked(app: "App", value: Any) -> None:
        import click
        import documented

        context = click.get_current_context(silent=True)
        command = context.command_path.partition(" ")[2] if context is not None else ""
        if command in documented.SCHEMAS:  # test_json.py sees to it that all of ours are there
            wrong.extend(documented.faults(command, value))
        print_data(app, value)

    monkeypatch.setattr(output, "show_data", checked)
    yield
    assert wrong == []


@pytest.fixture
def node_root(tmp_path: Path) -> Path:
    """An empty tree for a node."""
    found = tmp_path / "root"
    found.mkdir()
    return found


@pytest.fixture
def paths(node_root: Path) -> Paths:
    """A node in a tree of its own."""
    return Paths(node_root, "pve1")


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Pebble]":
    """A Pebble with its defaults, one for each worker."""
    from servers.pebble import pebble as run_pebble

    with run_pebble(tmp_path_factory.mktemp("pebble")) as server:
        yield server


@pytest.fixture(scope="session")
def pvefw_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of pvefw, for clean environments."""
    return wheel(ROOT, tmp_path_factory.mktemp("wheels"))
