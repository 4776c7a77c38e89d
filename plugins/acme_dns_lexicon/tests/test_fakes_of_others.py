"""lexicon's providers are content with the fakes that other plugins are tested against."""

import importlib.util
import sys
from pathlib import Path

import pytest
from lexicon._private.providers import ovh as lexicon_ovh

from pvefw.testing.dns import DnsConformance
from pvefw.testing.dns_zone import dns_zone
from pvefw.testing.http_api import http_api
from pvefw_acme_dns_lexicon import Lexicon

ROOT = Path(__file__).parents[3]


def load(path):
    """A module of another distribution's tests."""
    spec = importlib.util.spec_from_file_location(f"lexicon_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


class TestOvh(DnsConformance):
    """A provider that publishes in a step of its own."""

    @pytest.fixture
    def ovh(self, tmp_path, monkeypatch):
        fake = load(ROOT / "plugins/acme_dns_ovh/tests/fake_ovh.py")
        with fake.fake_ovh(tmp_path) as started:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", started.ca_file)
            monkeypatch.setitem(lexicon_ovh.ENDPOINTS, "ovh-eu", started.base)
            started.grant(
                "ck",
                [
                    {"method": method, "path": "/domain/zone/*"}
                    for method in ("GET", "POST", "DELETE")
                ],
            )
            yield started

    @pytest.fixture
    def make(self, ovh):
        key, secret = ovh.application

        def do(consumer="ck"):
            names = ("entrypoint", "application_key", "application_secret", "consumer_key")
            values = ("ovh-eu", key, secret, consumer)
            given = {f"auth_{name}": value for name, value in zip(names, values, strict=True)}
            return Lexicon().catalog_make("ovh", given)

        return do

    @pytest.fixture
    def plugin(self, make):
        return make()

    @pytest.fixture
    def fresh_plugin(self, make):
        return make

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, ovh):
        return lambda name: set(ovh.values(name))

    @pytest.fixture
    def fail_publishing(self, ovh):
        return lambda: ovh.refreshing.append(503)

    @pytest.fixture
    def broken_plugin(self, make):
        return make("unknown")


class TestDesec(DnsConformance):
    """A provider whose least TTL is an hour."""

    @pytest.fixture
    def surroundings(self):
        """No bad day: it is the form of values and TTLs that is held here."""

    @pytest.fixture
    def desec(self):
        fake = load(ROOT / "examples/dns_desec/tests/fake_desec.py")
        with dns_zone("example.com.") as zone:
            yield fake.FakeDesec(zone)

    @pytest.fixture
    def make(self, desec, led_to):
        with http_api(desec.answer) as base:
            led_to("https://desec.io/api/v1", base)
            yield lambda token=desec.token: Lexicon().catalog_make("desec", {"auth_token": token})

    @pytest.fixture
    def plugin(self, make):
        return make()

    @pytest.fixture
    def fresh_plugin(self, make):
        return make

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, desec):
        return desec.zone.txt

    @pytest.fixture
    def broken_plugin(self, make):
        return make("wrong")
