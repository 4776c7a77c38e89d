"""Guests are named by id, by number, by name, or several by a range."""

import pytest

from pvefw.core.errors import NotFound
from pvefw.core.model import Guest, GuestState
from pvefw.guests.plan import Listed, by_id
from pvefw.store.guest_reference import Reference


def listed(*guests):
    return [
        Listed(
            Reference.parse(id_), Guest(vmid=vmid, name=name, kind="vm", state=GuestState.STOPPED)
        )
        for id_, vmid, name in guests
    ]


ONE = listed(("100", 100, "web"), ("102", 102, "db"), ("104", 104, "db"), ("105", 105, "100-102"))
TWO = listed(("a:100", 100, "web"), ("b:100", 100, "mail"), ("b:101", 101, "web"))


@pytest.mark.parametrize(
    ("guests", "words", "found"),
    [
        (ONE, ["web"], ["100"]),
        (ONE, ["100", "104"], ["100", "104"]),
        (ONE, ["101-104"], ["102", "104"]),
        (ONE, ["100-102"], ["105"]),
        (ONE, ["102-102", "web"], ["100", "102"]),
        (TWO, ["mail"], ["b:100"]),
        (TWO, ["b:web", "a:100"], ["a:100", "b:101"]),
        (TWO, ["100-101"], ["a:100", "b:100", "b:101"]),
    ],
)
def test_they_are_found(guests, words, found):
    assert [str(entry.id) for entry in by_id(guests, words, "stopall")] == found


@pytest.mark.parametrize(
    ("guests", "word", "said"),
    [
        (ONE, "db", "this may be 102 and 104"),
        (TWO, "web", "this may be a:100 and b:101"),
        (TWO, "100", "this may be a:100 and b:100"),
        (ONE, "mail", "there is no such guest"),
        (ONE, "200-300", "no guest of this node has such a number"),
        (ONE, "100-", "a range needs both its ends"),
        (ONE, "104-102", "no guest of this node has such a number"),
    ],
)
def test_what_is_not_clear_is_refused(guests, word, said):
    with pytest.raises(NotFound, match=said):
        by_id(guests, [word], "stopall")
