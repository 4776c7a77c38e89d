"""Members that want client certificates: who has the right one gets in, and who has not learns why."""

import os
import socket
from contextlib import suppress

import pytest
import trustme
from servers.etcd import Etcds, free_ports
from waiting import wait_until

import pvefw_store_etcd
from pvefw.core import binding
from pvefw.core.errors import ConfigError, ProviderError, Unavailable
from pvefw.core.families import STORE

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Trusts others, as it does on hosts of companies; and nobody is asked twice."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setattr(pvefw_store_etcd, "_PAUSES", (0.0,))


def written(place, name, certificate):
    """The paths of a certificate and its key."""
    paths = place / f"{name}.pem", place / f"{name}.key"
    certificate.cert_chain_pems[0].write_to_path(paths[0])
    with open(paths[1], "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(certificate.private_key_pem.bytes())
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(place / "ca.pem")
    written(place, "member", authority.issue_cert("127.0.0.1"))
    written(place, "client", authority.issue_cert("pve1.example"))
    written(place, "stranger", trustme.CA().issue_cert("pve1.example"))
    return place


@pytest.fixture(scope="module")
def member(files):
    options = {
        "client-cert-auth": "true",
        "trusted-ca-file": files / "ca.pem",
        "cert-file": files / "member.pem",
        "key-file": files / "member.key",
    }
    port, peer = free_ports(2)
    urls = [f"https://127.0.0.1:{port}"], [f"http://127.0.0.1:{peer}"]
    with Etcds(files, *urls, options=options) as started:
        wait_until(lambda: accepts(port), "etcd listens", 120)
        yield started


def accepts(port):
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 60):
        return True
    return False


@pytest.fixture
def settings(member, files):
    """Makes what ``store.cfg`` has."""

    def make(name="client"):
        made = {"endpoints": member.endpoints[0], "ca-file": str(files / "ca.pem")}
        pair = {"certificate-file": f"{files}/{name}.pem", "key-file": f"{files}/{name}.key"}
        return made | (pair if name else {})

    return make


def hooks(settings):
    return binding.bind(STORE, "etcd", settings, instance="etcd").hooks


def test_who_has_the_right_certificate_gets_in(settings):
    there = hooks(settings())

    def takes():
        with suppress(Unavailable):
            return there.store_swap(key="a", data=b"1", revision="", locks=[])

    wait_until(takes, "etcd takes a key", 120)
    listing = there.store_list(prefix="")
    there.store_swap(key="b", data=b"2", revision="", locks=[])
    assert next(there.store_watch(prefix="", position=listing.position, timeout=60)) == "b"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it requires a client certificate: set certificate-file and key-file"),
        ("stranger", "it does not accept the client certificate .*/stranger.pem"),
    ],
)
def test_others_are_refused_and_learn_why(settings, name, why):
    there = hooks(settings(name))
    with pytest.raises(ProviderError, match=f"^etcd: none of its members answers: {why}\n"):
        there.store_list(prefix="")
    position = "1"
    with pytest.raises(ProviderError, match=f"^etcd: the watch was interrupted: {why}\n"):
        list(there.store_watch(prefix="", position=position, timeout=60))


def test_a_member_of_another_authority_is_not_trusted(settings, files):
    there = hooks(settings() | {"ca-file": str(files / "stranger.pem")})
    with pytest.raises(Unavailable, match="from an authority that is not trusted on this host"):
        there.store_list(prefix="")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read_is_refused(settings, files, mode):
    key = files / "open.key"
    key.write_bytes((files / "client.key").read_bytes())
    key.chmod(mode)
    with pytest.raises(ConfigError, match=f"key-file: .*chmod 600 {key}$"):
        hooks(settings() | {"key-file": str(key)})


def test_a_file_that_is_not_there_is_named(settings, files):
    with pytest.raises(ConfigError, match=f"there is no file {files}/none$"):
        hooks(settings() | {"ca-file": f"{files}/none"})
