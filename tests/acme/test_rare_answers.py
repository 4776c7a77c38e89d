"""What authorities answer rarely: an order without its names' reasons, challenges one after the other."""

from types import SimpleNamespace

import pytest

from pvefw.acme import persist
from pvefw.acme.choice import Way
from pvefw.acme.client import Authorization, Client, Offer, Order, _Object
from pvefw.acme.order import OrderFlow
from pvefw.acme.transport import Transport
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AnswersDisplaced,
    DeadlineExceeded,
)
from pvefw.core.model import Identifier
from pvefw.testing.fakes import FakeTask

ACCOUNT = "https://ca/acct/1"
ORDER = "https://ca/order/1"


class Authority:
    """Has an authorization for each name, and says in turn what its status is."""

    kid = ACCOUNT
    key = SimpleNamespace(thumbprint="t" * 43)

    def __init__(self, statuses, *orders):
        self.statuses = {name: list(turns) for name, turns in statuses.items()}
        self.orders = list(orders)
        self.told = []

    @property
    def urls(self):
        return [f"https://ca/authz/{name}" for name in self.statuses]

    def placed(self, status="pending", **more):
        identifiers = [Identifier("dns", name) for name in self.statuses]
        return Order(ORDER, status, identifiers, self.urls, "https://ca/finalize/1", **more)

    def key_authorization(self, token):
        return f"{token}.{self.key.thumbprint}"

    def authorization(self, url):
        name = url.rpartition("/")[2]
        turns = self.statuses[name]
        status = turns.pop(0) if len(turns) > 1 else turns[0]
        offers = [Offer("dns-01", f"{url}/dns", "pending", f"token-of-{name.replace('.', '-')}")]
        return Authorization(url, status, Identifier("dns", name), False, offers)

    def respond(self, offer):
        self.told.append(offer.url)

    def order(self, _url):
        return self.orders.pop(0) if len(self.orders) > 1 else self.orders[0]


class OneAtATime:
    """A provider that has room for one value only."""

    def __init__(self):
        self.there = set()
        self.cleaned = []

    def challenge_types(self):
        return ["dns-01"]

    def challenge_present(self, challenges, task):
        self.there |= {challenge.token for challenge in challenges}
        if len(self.there) > 1:
            raise AnswersDisplaced("the provider keeps one value at a name", seconds=60)

    def challenge_cleanup(self, challenges, task):
        self.cleaned += [challenge.token for challenge in challenges]
        self.there -= {challenge.token for challenge in challenges}


def flow(authority, solver):
    task = FakeTask()
    transport = SimpleNamespace(
        start_anew=lambda: None, pause=lambda seconds, _what: task.wait(seconds)
    )
    ways = {name: Way.only(solver) for name in authority.statuses}
    return OrderFlow(authority, transport, ways, task), task


# --- one name after the other -------------------------------------------------------------------------


def test_names_whose_values_displace_each_other_are_validated_one_by_one():
    authority, solver = Authority({"a.example": ["pending", "valid"]}), OneAtATime()
    authority.statuses["b.example"] = ["pending", "pending", "valid"]
    authority.orders = [authority.placed("ready")]
    order, task = flow(authority, solver)
    assert order.authorize(authority.placed()).status == "ready"
    assert authority.told == [f"{url}/dns" for url in authority.urls]
    assert solver.there == set()
    assert "Waiting for 61 seconds until the last value has expired" in task.lines
    assert task.waited > 61


@pytest.mark.parametrize("status", ["deactivated", "expired", "revoked", "invalid"])
def test_a_name_that_fails_by_itself_is_named_with_what_to_do(status):
    authority, solver = Authority({"a.example": ["pending", status]}), OneAtATime()
    authority.statuses["b.example"] = ["pending"]
    order, _ = flow(authority, solver)
    with pytest.raises(AcmeError) as caught:
        order.authorize(authority.placed())
    assert caught.value.message == f"a.example: its authorization is {status}"
    assert caught.value.hint == "Order again."
    assert authority.told == ["https://ca/authz/a.example/dns"]
    assert solver.there == set()


def test_a_value_that_displaces_one_that_is_not_ours_ends_the_order():
    authority, solver = Authority({"a.example": ["pending"]}), OneAtATime()
    solver.there.add("somebody else's")
    order, _ = flow(authority, solver)
    with pytest.raises(AnswersDisplaced, match="keeps one value"):
        order.authorize(authority.placed())
    assert authority.told == []
    assert solver.there == {"somebody else's"}


# --- orders -------------------------------------------------------------------------------------------


def test_nothing_is_triggered_where_every_name_is_validated_already():
    authority = Authority({"a.example": ["valid"]})
    authority.orders = [authority.placed("ready")]
    order, task = flow(authority, OneAtATime())
    assert order.authorize(authority.placed()).status == "ready"
    assert "a.example is already validated!" in task.lines
    assert "Triggering validation" not in task.lines


def test_an_order_whose_certificate_takes_its_time_is_told():
    authority = Authority({"a.example": ["valid"]})
    slow = authority.placed("processing", retry_after=11.0)
    authority.orders = [slow, authority.placed("valid", certificate="https://ca/cert/1")]
    order, task = flow(authority, OneAtATime())
    assert order.finalize(slow, lambda: b"").certificate == "https://ca/cert/1"
    assert "The order is still processing" in task.lines


def test_the_reason_may_be_the_orders_own():
    error = {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "the signer is away"}
    authority = Authority({"a.example": ["valid"]})
    authority.orders = [authority.placed("invalid", error=error)]
    order, _ = flow(authority, OneAtATime())
    with pytest.raises(AcmeProblem) as caught:
        order.finalize(authority.placed("processing"), lambda: b"")
    assert caught.value.message == f"order {ORDER}: the signer is away [serverInternal]"


def test_a_chain_that_is_none_is_named_where_a_root_is_preferred():
    authority = Authority({"a.example": ["valid"]})
    authority.chains = lambda _url: iter([b"-----BEGIN CERTIFICATE-----\n"])
    order, _ = flow(authority, OneAtATime())
    done = authority.placed("valid", certificate="https://ca/cert/1")
    with pytest.raises(AcmeProtocolError, match=r"https://ca/cert/1: a certificate cannot be read"):
        order.download(done, "Some Root")


# --- objects and requests -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [[1], ["https://a/", None], "https://a/"])
def test_a_list_of_urls_has_urls(value):
    with pytest.raises(AcmeProtocolError, match="order 1 has a malformed 'authorizations'"):
        _Object({"authorizations": value}, "order 1").texts("authorizations")


def test_a_challenge_for_another_account_is_refused():
    offer = Offer(
        persist.TYPE,
        "https://ca/chall/1",
        "pending",
        "",
        issuers=("ca.example",),
        account="https://x/2",
    )
    what = Authorization("https://ca/authz/1", "pending", Identifier("dns", "a.example"), False, [])
    with pytest.raises(AcmeProtocolError, match=r"this challenge is for the account https://x/2$"):
        persist.challenge(Authority({}), what, offer)


def test_after_the_deadline_nothing_is_asked():
    transport = Transport(deadline=0, task=FakeTask())
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            transport.get("https://127.0.0.1:1/directory")
    finally:
        transport.close()
    assert caught.value.message == "https://127.0.0.1:1/directory: not done in time"
    assert caught.value.hint == "Try again later."


@pytest.mark.parametrize(("seconds", "said"), [(0.02, "1 second"), (7.0, "7 seconds")])
def test_a_pause_beyond_the_deadline_is_not_put_down_to_the_server(seconds, said):
    """It may be our own: an authority that names no time is asked ever less often."""
    transport = Transport(deadline=0.001, task=FakeTask())
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            transport.pause(seconds, ORDER)
    finally:
        transport.close()
    assert caught.value.message == (
        f"{ORDER}: not done in time; the next request would be due in {said}"
    )


def test_a_look_for_an_account_that_is_refused_is_no_missing_account():
    """A server that is away for maintenance would otherwise cost a second account."""
    problem = AcmeProblem("no", type="rateLimited", detail="no")

    def post(*_arguments):
        raise problem

    client = Client(SimpleNamespace(post=post), "https://ca/dir", Authority.key)
    client.directory = SimpleNamespace(urls={"newAccount": "https://ca/new"})
    with pytest.raises(AcmeProblem) as caught:
        client.find()
    assert caught.value is problem


@pytest.mark.parametrize("status", ["deactivated", "expired", "revoked"])
def test_an_authorization_that_ends_while_its_order_is_pending_is_not_waited_for(status):
    authority = Authority({"a.example": ["pending", status]})
    authority.orders = [authority.placed()]
    order, _ = flow(authority, OneAtATime())
    with pytest.raises(AcmeError, match=rf"a\.example: its authorization is {status}"):
        order.authorize(authority.placed())


def test_an_order_that_stays_pending_with_all_names_validated_is_said_to():
    authority = Authority({"a.example": ["pending", "valid"]})
    authority.orders = [*[authority.placed()] * 20, authority.placed("ready")]
    order, task = flow(authority, OneAtATime())
    order.authorize(authority.placed())
    said = [message for message in task.lines if message.startswith("Still pending: ")]
    assert said
    assert all("all names are validated" in message for message in said)
