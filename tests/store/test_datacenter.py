"""The cluster's options."""

import pytest

from pvefw.store import datacenter, oddities

OPTIONS = """console: html5
keyboard: de
mac_prefix: BC:24:11
migration: secure,network=192.0.2.0/24
#Our cluster%3A three nodes; max_workers: 3
  a line that nobody understands
"""


def workers(data, heard=None):
    with oddities.listening((heard if heard is not None else []).append):
        return datacenter.max_workers(data, "datacenter.cfg")


def test_max_workers():
    assert workers(b"") is None
    assert workers(OPTIONS.encode()) is None
    assert workers(f"{OPTIONS}max_workers: 12\n".encode()) == 12
    assert workers(f"max_workers: 12\r\n{OPTIONS}".encode()) == 12


@pytest.mark.parametrize("value", [b"0", b"-1", b"many", b"\xd9\xa4", b"\xff", b"", b"4 # four"])
def test_a_number_that_is_none_counts_as_not_set(value):
    heard = []
    assert workers(b"console: html5\nmax_workers: %s\n" % value, heard) is None
    [warning] = heard
    assert warning.startswith("datacenter.cfg:2: max_workers: '")
    assert warning.endswith("it counts as not set")
