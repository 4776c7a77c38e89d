"""Which challenge is answered, of what is offered and what can be answered."""

from types import SimpleNamespace

import pytest
from ordering import Believed

from pvefw.acme.choice import Way, choose
from pvefw.acme.client import Authorization, Offer
from pvefw.core.errors import AcmeError, AcmeProtocolError
from pvefw.core.model import Identifier

CLIENT = SimpleNamespace(
    kid="https://a/1",
    key=SimpleNamespace(thumbprint="mark"),
    key_authorization=lambda token: f"{token}.mark",
)


def offering(*types):
    offers = [Offer(type_, f"https://a/{type_}", "pending", "token") for type_ in types]
    return Authorization("https://a/", "pending", Identifier("dns", "a.example"), False, offers)


def ways(*solvers):
    return [Way("-".join(solver.types), lambda chosen=solver: chosen) for solver in solvers]


def test_the_first_way_that_fits_is_taken_and_said():
    found = choose(
        CLIENT, offering("http-01", "new-01"), ways(Believed("dns-01"), Believed("http-01"))
    )
    assert found.challenge.type == "http-01"
    assert found.challenge.account == "https://a/1"
    assert found.why == (
        "a.example: http-01 by http-01: it is the first of what this host can answer that the "
        "authority offers (http-01, new-01)"
    )


def test_the_only_way_needs_no_reason():
    assert choose(CLIENT, offering("http-01"), ways(Believed("http-01"))).why == ""


def test_a_type_that_core_has_never_heard_of_is_answered_by_a_plugin_that_names_it():
    found = choose(CLIENT, offering("new-01"), ways(Believed("new-01")))
    assert (found.challenge.type, found.challenge.token) == ("new-01", "token")


def test_a_name_can_be_held_to_one_type():
    solver = Believed("dns-01", "dns-account-01")
    held = [Way("dns", lambda: solver, ("dns-account-01",))]
    found = choose(CLIENT, offering("dns-01", "dns-account-01"), held)
    assert found.challenge.type == "dns-account-01"
    with pytest.raises(AcmeError, match="offers dns-01, the plugin answers dns-account-01"):
        choose(CLIENT, offering("dns-01"), held)


@pytest.mark.parametrize("types", [("new-01",), ("new-01", "newer-01")])
def test_only_unknown_types_are_a_sentence_of_their_own(types):
    with pytest.raises(AcmeError, match=r"a\.example: the authority offers only types") as caught:
        choose(CLIENT, offering(*types), ways(Believed("http-01"), Believed("dns-01")))
    assert "Upgrade pvefw" in caught.value.hint


def test_where_nothing_is_offered_no_plugin_would_help():
    with pytest.raises(AcmeProtocolError, match=r"a\.example: the authority offers no challenge"):
        choose(CLIENT, offering(), ways(Believed("http-01")))
