"""Against a stand-in for deSEC's API, and from there to a certificate."""

import pytest
from fake_desec import FakeDesec
from pvefw_acme_dns_desec import Desec

from pvefw.api import ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.testing.acme_server import acme_server
from pvefw.testing.dns import DnsConformance
from pvefw.testing.dns_zone import dns_zone
from pvefw.testing.http_api import http_api
from pvefw.testing.node import Node


@pytest.fixture
def desec():
    with dns_zone("example.test.") as zone:
        yield FakeDesec(zone)


@pytest.fixture
def url(desec):
    with http_api(desec.answer) as base:
        yield base


class TestDesec(DnsConformance):
    @pytest.fixture
    def plugin(self, url):
        return Desec(token=FakeDesec.token, url=url)

    @pytest.fixture
    def zone(self, desec):
        return desec.zone.name

    @pytest.fixture
    def records(self, desec):
        return desec.zone.txt

    @pytest.fixture
    def broken_plugin(self, url):
        return Desec(token="wrong-token", url=url)


def add(url, zone="example.test.", count=1):
    records = [TxtRecord(f"_acme-challenge.{n}.{zone}", f"value-{n}") for n in range(count)]
    Desec(token=FakeDesec.token, url=url).dns_add(zone=zone, records=records)


def test_one_request_changes_everything(desec, url):
    add(url, count=5)
    assert [request for request in desec.requests if request.startswith("PATCH")] == [
        "PATCH /domains/example.test/rrsets/"
    ]


def test_the_ttl_of_others_values_stays(desec, url):
    """A record set has one TTL, and somebody else may have values in this one."""
    desec.zone.add("_acme-challenge.0.example.test.", "of others")
    desec.ttls["_acme-challenge.0"] = 86400
    add(url)
    assert desec.ttls["_acme-challenge.0"] == 86400
    assert desec.zone.txt("_acme-challenge.0.example.test.") == {"of others", "value-0"}


def test_errors_are_those_that_core_understands(desec, url):
    desec.busy = 1
    with pytest.raises(RateLimited, match="throttled") as caught:
        add(url)
    assert caught.value.retry_after == 7
    with pytest.raises(ProviderError, match="404"):
        add(url, "other.test.")
    with pytest.raises(Unavailable):
        add("http://127.0.0.1:9")


def test_a_certificate_for_a_name_and_a_wildcard(tmp_path, desec, url):
    node = Node(tmp_path)
    with acme_server(tmp_path, resolver=desec.zone.server) as acme:
        node.register(acme)
        node.resolve(desec.zone)
        node.add("dns", "desec", api="desec", token=FakeDesec.token, url=url)
        node.run("config", "set", "--acmedomain0", "example.test,plugin=desec")
        node.run("config", "set", "--acmedomain1", "*.example.test,plugin=desec")
        said = node.run("acme", "cert", "order")
    assert node.certificate.exists(), said
    assert desec.zone.records == []
