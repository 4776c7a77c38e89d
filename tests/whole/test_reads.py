"""How often an order reads the configuration: before the lock, within it, and when it has ended."""

import collections
import os
import sys

import pytest

from pvefw.cli.run import run
from pvefw.store.node import Node

_counters = []
"""Those that count just now; an audit hook stays for good."""


def _heard(event, arguments):
    if _counters and event == "open" and isinstance(arguments[0], str | os.PathLike):
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR):
            _counters[-1][os.fspath(path)] += 1


sys.addaudithook(_heard)


@pytest.fixture
def counted():
    """Counts the files that are read for as long as a test runs."""
    _counters.append(collections.Counter())
    yield _counters[-1]
    _counters.clear()


@pytest.mark.parametrize("names", [["a.example"], [f"n{number}.example" for number in range(5)]])
def test_an_order_looks_once_before_the_lock_once_within_and_once_at_its_end(
    host, pebble, monkeypatch, names, counted
):
    host.register(pebble)
    host.run("config", "set", "--acme", f"domains={';'.join(names)}", "--key-type", "ec384")
    for key, value in {**host.env, "PVEFW_ROOT": str(host.root), "PVEFW_NODE": host.node}.items():
        monkeypatch.setenv(key, value)
    counted.clear()
    assert run(["acme", "cert", "order"]) == 0
    reads = dict(counted)
    configuration = [str(path) for path in Node.open(host.paths).contents]
    assert {path: reads.get(path, 0) for path in configuration} == dict.fromkeys(configuration, 3)
