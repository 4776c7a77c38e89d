"""``acme plugin login``: what a plugin is asked for, and what becomes of its answer."""

from typing import ClassVar

import pytest

from pvefw import instances
from pvefw.api import hookimpl
from pvefw.certs import acme_plugin
from pvefw.core import binding
from pvefw.core.errors import ConfigError, UsageError
from pvefw.core.families import DNS
from pvefw.dns import instances as dns_instances
from pvefw.store.node import Node
from pvefw.testing.fakes import FakeTask


class Plain:
    """A plugin of the first release: it does not know of zones."""

    answer: ClassVar = {"OVH_CK": "made", "OVH_CK_EXPIRES": ""}

    @hookimpl
    def dns_add(self): ...

    @hookimpl
    def dns_remove(self): ...

    @hookimpl
    def dns_login(self, task):
        return self.answer


class Limits(Plain):
    @hookimpl
    def dns_login(self, task, zones):
        self.zones = zones
        return self.answer


@pytest.fixture
def log_in(paths, monkeypatch):
    """Logs in with a plugin; what is stored then."""
    data = {"OVH_AK": "a", "OVH_AS": "b", "OVH_CK_EXPIRES": "2026-01-01T00:00:00Z"}
    instances.add(paths, instances.Instance("dns", "mine", "ovh", data))

    def do(plugin, zones=()):
        bound = binding.bind_object(DNS, plugin, "mine")
        monkeypatch.setattr(dns_instances, "bind", lambda *_: bound)
        acme_plugin.login(paths, "mine", zones, FakeTask())
        return dict(instances.load(Node.open(paths), "dns", "mine").settings)

    return do


def test_what_is_new_is_stored_and_what_is_empty_removed(log_in):
    assert log_in(Plain()) == {"OVH_AK": "a", "OVH_AS": "b", "OVH_CK": "made"}


def test_zones_are_made_absolute(log_in):
    plugin = Limits()
    log_in(plugin, ["Example.com", "bücher.example."])
    assert plugin.zones == ["example.com.", "xn--bcher-kva.example."]
    log_in(plugin)
    assert plugin.zones == []


def test_a_plugin_that_cannot_limit_itself_is_not_asked(log_in, paths):
    with pytest.raises(UsageError, match="cannot limit its credentials to zones"):
        log_in(Plain(), ["example.com"])
    assert "OVH_CK" not in dict(instances.load(Node.open(paths), "dns", "mine").settings)


def test_a_zone_that_is_no_name(log_in):
    with pytest.raises(ConfigError):
        log_in(Limits(), ["not a name"])


class Without:
    @hookimpl
    def dns_add(self): ...

    @hookimpl
    def dns_remove(self): ...


@pytest.mark.parametrize("zones", [[], ["example.com"]])
def test_a_plugin_without_a_login_needs_none_whatever_the_zones(log_in, zones):
    with pytest.raises(UsageError, match="the plugin of mine needs no login"):
        log_in(Without(), zones)
