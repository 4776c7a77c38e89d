"""etcd passes the kit of the family, with Debian's server."""

import os

import pytest

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
