"""Let's Encrypt's announced steps, with bad days between, on a simulated clock."""

import importlib.util
import sys
from datetime import timedelta
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/two_years.py"


@pytest.fixture(scope="module")
def two_years():
    spec = importlib.util.spec_from_file_location("two_years", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.HOSTS = 6
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def hosts(two_years):
    return two_years.lived(two_years.Pvefw(), 6)


def test_there_is_no_gap(hosts):
    assert [host.gap for host in hosts] == [timedelta(0)] * len(hosts)
    assert min(host.least for host in hosts) > timedelta(days=3)


def test_no_more_is_ordered_than_is_needed(two_years, hosts):
    for host in hosts:
        least = two_years.needed(host)
        assert least > 15
        assert (
            least <= len(host.orders) <= least + 2
        )  # orders early, and once more for the revocation


def test_an_authority_that_is_down_or_limits_is_not_pressed(hosts):
    refused = [host.refused for host in hosts]
    assert max(refused) > 0, "nobody met a bad day: the simulation shows nothing"
    assert max(refused) <= 8  # in days of it, with a look every six hours


def test_the_simulation_finds_a_rule_that_is_wrong(two_years):
    hosts = two_years.lived(two_years.FixedDays(), 1)
    assert max(host.gap for host in hosts) > timedelta(days=20)
    assert all(len(host.orders) > two_years.needed(host) + 5 for host in hosts)
