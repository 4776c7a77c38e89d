"""Plans that do nothing, and what ends a drain, in this process."""

import json

import pytest
from guests.conftest import farm
from wanted.conftest import Node

from pvefw.store import drained
from pvefw.store.drained import Drained
from pvefw.store.paths import Paths

__all__ = ["farm"]


@pytest.fixture
def node(farm, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(farm.site))
    for vmid, state in ((100, "paused"), (101, "running"), (102, "stopped")):
        farm.guest(vmid, state=state, order=vmid)
    return Node(farm.paths, capsys)


def rows(node, *arguments):
    status, out, err = node.call(*arguments, "--dry-run", "--output-format", "json")
    assert (status, err) == (0, "")
    return [(row["id"], row["action"]) for row in json.loads(out)]


def test_what_would_be_resumed_and_moved(farm, node):
    assert rows(node, "resumeall") == [("100", "resume")]
    assert [id_ for id_, _ in rows(node, "node", "drain", "--to", "pve2")] == ["100", "101"]
    assert farm.events() == []
    assert json.loads(node.call("task", "list", "--output-format", "json")[1]) == []


def test_only_one_node_is_drained_also_in_a_plan(farm, node):
    other = Paths(farm.root, "pve3")
    other.node_dir().mkdir(parents=True)
    drained.write(other, Drained("2026-11-27T00:00:00+00:00"))
    status, _, err = node.call("node", "drain", "--to", "pve2", "--dry-run")
    assert status == 1 and "pve3 is drained; only one node at a time may be" in err
    status, _, err = node.call("node", "drain", "--to", "pve1")
    assert status == 2 and "node drain: pve1 is this node\n  Name another one." in err


def test_a_drain_is_ended_without_its_guests(farm, node):
    drained.write(farm.paths, Drained("2026-11-27T00:00:00+00:00"))
    status, out, _ = node.call("node", "return", "--leave")
    assert (status, out) == (
        0,
        "pve1 is no longer drained; its guests stay where they are.\n",
    )
    assert farm.events() == []
    assert "pve1 is not drained" in node.call("node", "return")[1]


def test_monitoring_gets_the_number_of_guests_in_each_state(node):
    _, out, _ = node.call("status", "guests", "--check")
    figures = out.splitlines()[0].partition(" | ")[2]
    assert figures.endswith("'guests paused'=1;;;0 'guests running'=1;;;0 'guests stopped'=1;;;0")


def test_one_backend_that_fails_costs_the_list_of_the_others_nothing(farm, node):
    text = farm.paths.cluster_pvefw_cfg.read_text()
    farm.configure(f"{text}\nguest: nothing\n\tapi nothing\n")
    status, out, err = node.call("guest", "list")
    assert status == 1 and "vm100" in out
    assert "there is no guest plugin named nothing" in err
    status, out, err = node.call("resumeall", "--dry-run")
    assert status == 1 and "100" in out
    assert "WARN: " in err and "there is no guest plugin named nothing" in err
