"""Names: what people write, made absolute; zones by longest match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw.core.errors import ConfigError
from pvefw.dns import names

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(
    lambda label: label[2:4] != "--"
)
NAMES = (
    st.lists(LABELS, min_size=1, max_size=5)
    .map(".".join)
    .filter(lambda name: not name.rpartition(".")[2].isdigit())
)


@given(NAMES, st.booleans(), st.booleans())
def test_case_and_final_dot_do_not_matter(name, upper, dot):
    written = (name.upper() if upper else name) + ("." if dot else "")
    assert names.absolute(written) == f"{name}."
    assert names.challenge_name(written) == names.challenge_name(f"*.{written}")


@given(NAMES)
def test_every_parent_holds_the_name(name):
    absolute = names.absolute(name)
    while absolute != ".":
        assert names.is_within(f"{name}.", absolute)
        absolute = names.parent(absolute)
    assert names.is_within(f"{name}.", ".")
    assert names.parent(".") == "."


@given(NAMES, NAMES)
def test_the_longest_zone_holds_the_name_and_no_longer_one_does(name, other):
    zones = [f"{name}.", f"{other}.", f"{other}.{name}.", f"x{name}."]
    found = names.longest_zone(f"_acme-challenge.{name}.", zones)
    assert found is not None
    assert names.is_within(f"_acme-challenge.{name}.", found)
    holding = [zone for zone in zones if names.is_within(f"_acme-challenge.{name}.", zone)]
    assert len(found) == max(map(len, holding))


def test_a_zone_ends_at_a_label():
    assert names.longest_zone("_acme-challenge.myexample.com.", ["example.com."]) is None


def test_international_names_become_a_labels():
    assert names.challenge_name("Bücher.Example") == "_acme-challenge.xn--bcher-kva.example."


@pytest.mark.parametrize("wrong", ["", "a..b", "192.0.2.1", "2001:db8::1", "a b.example", "ü" * 70])
def test_what_is_no_domain_is_refused(wrong):
    with pytest.raises(ConfigError):
        names.challenge_name(wrong)


def test_no_room_for_the_challenge_label():
    long = ".".join(["a" * 60] * 4)
    assert names.absolute(long)
    with pytest.raises(ConfigError, match="exceeds 253 characters"):
        names.challenge_name(long)
