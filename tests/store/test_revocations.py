"""What a cluster remembers of revoked certificates."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pvefw.core.errors import ConfigError
from pvefw.store import files, revocations
from pvefw.store.revocations import Revocation

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ONE = Revocation("1f", "CN=One", "pve1", NOW, NOW + timedelta(days=90), "ab" * 32)
OTHER = replace(ONE, serial="20", key="")


def test_they_are_remembered_until_one_was_none(paths):
    assert revocations.load(paths) == []
    revocations.add(paths, ONE, NOW)
    revocations.add(paths, OTHER, NOW)
    assert revocations.load(paths) == [ONE, OTHER]
    revocations.remove(paths, ONE)
    assert revocations.load(paths) == [OTHER]


def test_what_matters_no_more_is_forgotten_and_a_key_later(paths):
    revocations.add(paths, ONE, NOW)
    revocations.add(paths, OTHER, NOW)
    later = replace(ONE, serial="30", not_after=NOW + timedelta(days=900))
    revocations.add(paths, later, NOW + timedelta(days=91))
    assert revocations.load(paths) == [ONE, later]
    revocations.add(paths, OTHER, NOW + timedelta(days=491))
    assert revocations.load(paths) == [later, OTHER]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"revoked": [{}]}', b'{"revoked": 1}', b"[" * 99999]
)
def test_a_damaged_record_does_not_let_a_certificate_come_back(paths, data):
    files.replace(paths.revocations, data)
    with pytest.raises(ConfigError, match="record of revoked certificates is damaged"):
        revocations.load(paths)
    with pytest.raises(ConfigError):
        revocations.add(paths, ONE, NOW)
    assert paths.revocations.read_bytes() == data
