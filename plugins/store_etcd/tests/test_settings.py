"""Settings that do not fit are refused before a member is asked."""

import pytest

from pvefw.api import StoreLock
from pvefw_store_etcd import Etcd

MEMBER = ["https://192.0.2.1:2379"]


@pytest.fixture
def pem(tmp_path):
    made = tmp_path / "client.pem"
    made.write_text("PEM")
    return made


@pytest.mark.parametrize(
    ("endpoints", "said"),
    [
        ([], "name one member at least"),
        (["192.0.2.1:2379"], "'192.0.2.1:2379' is not http"),
        (["https://"], "is not http"),
    ],
)
def test_a_member_has_a_url(endpoints, said):
    with pytest.raises(ValueError, match=said):
        Etcd(endpoints)


def test_a_certificate_has_its_key(pem):
    with pytest.raises(ValueError, match="certificate-file and key-file go together"):
        Etcd(MEMBER, certificate_file=pem)


def test_files_exist(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        Etcd(MEMBER, ca_file=tmp_path / "gone")


def test_others_cannot_read_the_key(pem, tmp_path):
    key = tmp_path / "client.key"
    key.write_text("PEM")
    key.chmod(0o640)
    with pytest.raises(ValueError, match=f"others than its owner can read it: chmod 600 {key}"):
        Etcd(MEMBER, certificate_file=pem, key_file=key)
    key.chmod(0o600)
    assert Etcd(MEMBER, certificate_file=pem, key_file=key).prefix == "/pvefw"


def test_a_lock_that_was_not_got_is_not_renewed():
    assert Etcd(MEMBER).store_renew(StoreLock("name", "another node", "")) is False
