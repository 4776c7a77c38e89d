import pytest
from servers.etcd import etcds


@pytest.fixture(scope="session")
def etcd(tmp_path_factory):
    with etcds(tmp_path_factory.mktemp("etcd")) as running:
        yield running
