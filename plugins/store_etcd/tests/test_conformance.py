"""etcd passes the kit of the family, with Debian's server."""

import contextlib
import os

import pytest
import trustme
from servers.etcd import etcd_with_tls
from waiting import wait_until

from pvefw.api import Unavailable
from pvefw.testing.store import StoreConformance
from pvefw_store_etcd import Etcd


class TestEtcd(StoreConformance):
    @pytest.fixture
    def prefix(self):
        return f"/{os.urandom(6).hex()}"

    @pytest.fixture
    def plugin(self, etcd, prefix):
        return Etcd(endpoints=etcd.endpoints, prefix=prefix)

    @pytest.fixture
    def other(self, etcd, prefix):
        return Etcd(endpoints=etcd.endpoints, prefix=prefix)


def test_who_has_no_certificate_of_the_members_authority_gets_nothing(tmp_path):
    ca, others = trustme.CA(), trustme.CA()
    server, client = ca.issue_cert("127.0.0.1"), ca.issue_cert("node.example")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = {"member": server, "client": client, "other": others.issue_cert("node.example")}
    for name, one in files.items():
        one.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        for part in one.cert_chain_pems:
            part.write_to_path(tmp_path / f"{name}.pem", append=True)
    options = {
        "cert-file": tmp_path / "member.pem",
        "key-file": tmp_path / "member.key",
        "trusted-ca-file": tmp_path / "ca.pem",
        "client-cert-auth": "true",
    }

    def store(name, ca_file="ca.pem"):
        pair = (tmp_path / f"{name}.pem", tmp_path / f"{name}.key") if name else (None, None)
        return Etcd(running.endpoints, tmp_path / ca_file, *pair)

    def answers(one):
        with contextlib.suppress(Unavailable):
            return one.store_read("a") is None
        return False

    with etcd_with_tls(tmp_path, options) as running:
        wait_until(lambda: answers(store("client")), "etcd answers", 60)
        with pytest.raises(Unavailable):
            store("").store_read("a")
        with pytest.raises(Unavailable):
            store("other").store_read("a")
        others.cert_pem.write_to_path(tmp_path / "others.pem")
        with pytest.raises(Unavailable):
            store("client", "others.pem").store_read("a")
