"""What ``guest set`` refuses, and that nothing is written then."""

import pytest


@pytest.fixture
def guest(farm):
    farm.guest(100, up=5)
    farm.guest(101, name="twin")
    farm.guest(102, name="twin")
    return farm


def test_all_values_that_do_not_fit_are_named(guest):
    before = (guest.directory / "100.json").read_bytes()
    wrong = ["--onboot", "2", "--order", "-1", "--up", "x", "--ready", "udp:a:1", "--after", "1"]
    said = guest.fail("guest", "set", 100, *wrong, status=2)
    for words in (
        "--onboot: '2' is neither 0 nor 1",
        "--order: '-1' is not a whole number from 0 to",
        "--up: 'x' is not a whole number from 0 to 86400",
        "--ready: 'udp:a:1' is neither agent nor tcp:HOST:PORT",
        "--after: '1' is not a whole number from 100 to",
        "pvefw guest set --help",
    ):
        assert words in said
    assert (guest.directory / "100.json").read_bytes() == before


@pytest.mark.parametrize("after", ["100", "101,100", "0100"])
def test_a_guest_does_not_wait_for_itself(guest, after):
    said = guest.fail("guest", "set", 100, "--after", after, status=2)
    assert "--after: a guest cannot wait for itself" in said


def test_a_name_that_two_guests_have_means_neither(guest):
    said = guest.fail("guest", "set", "twin", "--up", 3)
    assert "101" in said
    assert "102" in said


def test_what_fits_is_kept(guest):
    guest.run("guest", "set", 100, "--after", "101", "--up", "")
    assert '"after": [101]' in (guest.directory / "100.json").read_text()
