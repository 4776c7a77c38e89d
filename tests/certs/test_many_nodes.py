"""Certificates that end in the same second do not press their authority, on a simulated clock."""

import importlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("many_nodes")


def test_nodes_with_one_certificate_each_are_spread_over_the_window(tool):
    fleet = tool.lived(400, "one each, by their windows")
    assert len(fleet.authority.orders) == len(fleet.done) == 400
    assert fleet.authority.refused == 0
    assert fleet.most() < 400 / 8, "of 16 spans of three hours in two days"


def test_nodes_that_share_a_certificate_place_one_order(tool):
    for case in ("one shared, by its window", "one shared, revoked"):
        fleet = tool.lived(400, case)
        assert (len(fleet.authority.orders), len(fleet.done)) == (1, 400)
        assert max(fleet.done) - min(fleet.authority.orders) <= tool._TICK


def test_what_is_refused_is_ordered_later_and_within_the_limit(tool):
    fleet = tool.Fleet.made(400, shared=False, revoked=tool.REVOKED)
    fleet.authority.limit = 60
    fleet.live()
    assert fleet.authority.refused > 0, "nobody met the limit: the simulation shows nothing"
    assert fleet.most() <= 60
    assert len(fleet.authority.orders) == 400


def test_the_simulation_finds_a_rule_without_jitter(tool, monkeypatch):
    monkeypatch.setattr("pvefw.certs.renewal_rule._share", lambda _info, _node: 0.0)
    fleet = tool.lived(400, "one each, by their windows")
    assert fleet.most() > 400 / 4


def test_a_store_is_hardly_asked_while_nothing_happens(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    found = importlib.import_module("store_traffic").counted()
    quiet, watch, installs, wanted, others = found.values()
    for counts in (quiet, watch, others):
        assert counts["changes"] == counts["locks"] == 0
    assert quiet["reads"] == watch["reads"] == 0
    assert installs["changes"] == wanted["changes"] == wanted["reads"] == others["reads"] == 2
