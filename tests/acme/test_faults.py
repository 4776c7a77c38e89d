"""A server that misbehaves: one clear error each, before the deadline; or the order goes on."""

import datetime as dt
import email.utils
import json
import threading
import time

import pytest
from servers import faulty_acme as faults
from servers.faulty_acme import FaultyAcme, faulty_acme
from servers.pebble import Pebble
from servers.pebble import pebble as run_pebble

from pvefw.acme.client import Client
from pvefw.acme.jws import AccountKey
from pvefw.acme.order import OrderFlow
from pvefw.acme.transport import Transport
from pvefw.certs import keys
from pvefw.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    DeadlineExceeded,
    PvefwError,
)
from pvefw.model import Identifier

NAMES = [Identifier("dns", f"{number}.faulty.example") for number in range(3)]


class Patient:
    """A task that really waits, but never for long."""

    cancelled = False

    def __init__(self) -> None:
        self.waited = 0.0
        self.lines: list[str] = []

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        threading.Event().wait(min(seconds, 0.05))

    def log(self, message: str) -> None:
        self.lines.append(message)

    warn = log


class Nobody:
    """A solver; this Pebble believes everything."""

    def __init__(self) -> None:
        self.presented: list[str] = []
        self.cleaned: list[str] = []

    def challenge_types(self):
        return ["http-01"]

    def challenge_present(self, challenges, task):
        self.presented += [one.token for one in challenges]

    def challenge_cleanup(self, challenges, task):
        self.cleaned += [one.token for one in challenges]


@pytest.fixture(scope="module")
def trusting(tmp_path_factory):
    """A Pebble that validates nothing."""
    workdir = tmp_path_factory.mktemp("trusting")
    with run_pebble(workdir, always_valid=True, nonce_reject=0) as server:
        yield server


@pytest.fixture
def proxy(trusting: Pebble, tmp_path):
    with faulty_acme(trusting, tmp_path) as started:
        yield started


class Ordering:
    """One order through the proxy."""

    def __init__(self, proxy: FaultyAcme, seconds: float = 20.0) -> None:
        self.task = Patient()
        self.solver = Nobody()
        self.transport = Transport(ca_file=str(proxy.ca_file), deadline=seconds, task=self.task)
        self.client = Client(self.transport, proxy.directory, AccountKey.generate())

    def run(self) -> bytes:
        try:
            self.client.register(["mailto:a@example.com"], agree=True)
            solvers = {str(one): self.solver for one in NAMES}
            flow = OrderFlow(self.client, self.transport, solvers, self.task)
            order = flow.authorize(flow.place(NAMES))
            key = keys.generate("ec256")
            order = flow.finalize(order, lambda: keys.signing_request(key, NAMES))
            return flow.download(order)
        finally:
            self.transport.close()


def order(proxy: FaultyAcme, seconds: float = 20.0) -> bytes:
    return Ordering(proxy, seconds).run()


def test_without_a_fault_the_order_goes_through(proxy):
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")


ENDPOINTS = ["GET /dir", "HEAD /nonce", "POST /sign-me-up", "POST /order-plz", "POST /authZ/"]
ENDPOINTS += ["POST /chalZ/", "POST /my-order/", "POST /finalize-order/", "POST /certZ/"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "fault",
    [
        faults.busy("0"),
        faults.busy("1"),
        faults.busy(None),
        faults.busy("1", status=429),
        faults.busy(email.utils.format_datetime(dt.datetime.now(dt.UTC), usegmt=True)),
        faults.gone,
    ],
    ids=["0 s", "1 s", "no time", "429", "date", "gone"],
)
def test_one_passing_fault_anywhere_does_not_matter(proxy, endpoint, fault):
    proxy.fail(endpoint, fault, times=1)
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.startswith("POST")])
def test_one_refused_nonce_anywhere_does_not_matter(proxy, endpoint):
    proxy.fail(endpoint, faults.problem("badNonce", "try again"), times=1)
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (faults.busy("3600"), AcmeProblem, "try again in 3600 seconds"),
        (faults.gone, AcmeUnreachable, "no answer"),
        (
            faults.problem("serverInternal", "out of cheese", 500),
            AcmeProblem,
            "out of cheese|HTTP status 500",
        ),
        (faults.changed(status=302, Location="http://127.0.0.1:1/"), AcmeError, "127.0.0.1"),
    ],
    ids=["busy for an hour", "gone", "500", "redirect"],
)
def test_a_lasting_fault_is_one_clear_error(proxy, endpoint, fault, error, said):
    proxy.fail(endpoint, fault)
    ordering = Ordering(proxy)
    started = time.monotonic()
    with pytest.raises(error, match=said):
        ordering.run()
    assert time.monotonic() - started < 10
    assert sorted(ordering.solver.cleaned) == sorted(ordering.solver.presented)


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if not one.startswith("HEAD")])
def test_an_answer_that_breaks_off(proxy, endpoint):
    proxy.fail(endpoint, faults.cut, times=1)
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")
    proxy.fail(endpoint, faults.cut)
    with pytest.raises(AcmeUnreachable, match="no answer"):
        order(proxy)


JSON_ENDPOINTS = [one for one in ENDPOINTS if one.startswith(("GET", "POST /sign", "POST /order"))]
JSON_ENDPOINTS += ["POST /authZ/", "POST /my-order/", "POST /finalize-order/"]


@pytest.mark.parametrize("endpoint", JSON_ENDPOINTS)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (faults.changed(body=b"<html>Welcome!</html>", Content_Type="text/html"), "text/html"),
        (faults.changed(Content_Type=None), "no content type"),
        (faults.changed(body=b"{rubbish"), "not JSON"),
        (faults.changed(body=b"[]"), "not an object"),
        (faults.changed(body=b" " * (2 << 20)), "larger than"),
    ],
    ids=["HTML", "no type", "rubbish", "list", "huge"],
)
def test_an_answer_that_is_not_acme(proxy, endpoint, fault, said):
    proxy.fail(endpoint, fault)
    with pytest.raises(AcmeProtocolError, match=said):
        order(proxy)


@pytest.mark.parametrize("endpoint", [one for one in JSON_ENDPOINTS if "sign-me-up" not in one])
def test_an_object_that_lacks_everything(proxy, endpoint):
    proxy.fail(endpoint, faults.changed(body=b"{}"))
    with pytest.raises(AcmeProtocolError, match=r"lacks|not an ACME directory"):
        order(proxy)


def test_a_certificate_that_is_none(proxy):
    proxy.fail("POST /certZ/", faults.changed(body=b"hello"))
    with pytest.raises(AcmeProtocolError, match="not a certificate chain"):
        order(proxy)


@pytest.mark.parametrize("endpoint", ["POST /sign-me-up", "POST /order-plz"])
def test_a_missing_location(proxy, endpoint):
    proxy.fail(endpoint, faults.changed(Location=None))
    with pytest.raises(AcmeProtocolError, match="without a Location"):
        order(proxy)


def test_answers_without_nonces_cost_a_request_each_and_no_more(proxy):
    proxy.fail("POST ", faults.changed(Replay_Nonce=None))
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")
    posts = [one for one in proxy.requests if one.startswith("POST")]
    heads = [one for one in proxy.requests if one.startswith("HEAD")]
    assert len(heads) == len(posts)


def test_a_server_without_nonces(proxy):
    proxy.fail("", faults.changed(Replay_Nonce=None))
    with pytest.raises(AcmeProtocolError, match="without a nonce"):
        order(proxy)


def test_the_same_nonce_for_ever(proxy):
    proxy.fail("", faults.changed(Replay_Nonce="AAAAAAAAAAAAAAAAAAAAAA"))
    with pytest.raises(AcmeProtocolError, match="refused 20 of its own nonces"):
        order(proxy)


def test_every_nonce_refused_for_ever(proxy):
    proxy.fail("POST /order-plz", faults.problem("badNonce", "no"))
    with pytest.raises(AcmeProtocolError, match="nonces in a row"):
        order(proxy)


@pytest.mark.parametrize("fault", [faults.stall, faults.drip, faults.drip_headers])
@pytest.mark.parametrize("endpoint", ["GET /dir", "POST /order-plz", "POST /my-order/"])
def test_a_server_that_stalls_does_not_hold_us_beyond_the_deadline(proxy, fault, endpoint):
    proxy.fail(endpoint, fault)
    started = time.monotonic()
    with pytest.raises((AcmeUnreachable, DeadlineExceeded)) as caught:
        order(proxy, seconds=1.5)
    assert time.monotonic() - started < 4
    assert "127.0.0.1" in str(caught.value)


def test_an_order_that_is_never_ready_ends_at_the_deadline(proxy):
    body = (
        b'{"status": "processing", "identifiers": [], "authorizations": [],'
        b' "finalize": "https://127.0.0.1/f"}'
    )
    proxy.fail("POST /my-order/", faults.changed(body=body, Retry_After="7"))
    with pytest.raises(DeadlineExceeded, match="asks to wait"):
        order(proxy, seconds=5)


@pytest.mark.parametrize("token", ["../../etc/passwd", "a b", "", "x/y"])
def test_a_token_that_is_a_path_never_reaches_a_plugin(proxy, token):
    challenge = {"type": "http-01", "url": "https://127.0.0.1/c", "token": token}
    identifier = {"type": "dns", "value": "0.faulty.example"}
    said = {"status": "pending", "identifier": identifier, "challenges": [challenge]}
    proxy.fail("POST /authZ/", faults.changed(body=json.dumps(said).encode()))
    ordering = Ordering(proxy)
    with pytest.raises(AcmeProtocolError, match="malformed"):
        ordering.run()
    assert ordering.solver.presented == []


def test_an_authorization_for_a_name_that_was_not_ordered(proxy):
    body = (
        b'{"status": "pending", "identifier": {"type": "dns", "value": "evil.example"},'
        b' "challenges": [{"type": "http-01", "url": "https://127.0.0.1/c", "token": "abc"}]}'
    )
    proxy.fail("POST /authZ/", faults.changed(body=body))
    with pytest.raises(AcmeProtocolError, match=r"evil\.example"):
        order(proxy)


def test_subproblems_are_shown_by_name(proxy):
    body = (
        b'{"type": "urn:ietf:params:acme:error:malformed", "detail": "some refused",'
        b' "subproblems": [{"type": "urn:ietf:params:acme:error:caa", "detail": "CAA says no",'
        b' "identifier": {"type": "dns", "value": "0.faulty.example"}}]}'
    )
    proxy.fail(
        "POST /order-plz",
        faults.changed(status=403, body=body, Content_Type="application/problem+json"),
    )
    with pytest.raises(AcmeProblem, match=r"0\.faulty\.example: CAA says no"):
        order(proxy)


def test_a_directory_without_https_is_refused():
    transport = Transport(task=Patient())
    with pytest.raises(AcmeProtocolError, match="ACME needs https"):
        _ = Client(transport, "http://127.0.0.1:1/dir").directory
    transport.close()


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1/dir", "https://nowhere.invalid/dir", "rubbish"]
)
def test_a_directory_that_cannot_be_reached(url):
    transport = Transport(task=Patient(), deadline=5)
    with pytest.raises(PvefwError) as caught:
        _ = Client(transport, url).directory
    assert url in str(caught.value)
    transport.close()


def test_cancellation_ends_an_order_and_cleans_up(proxy):
    from pvefw.errors import Cancelled

    class Impatient(Patient):
        def wait(self, seconds):
            raise Cancelled

    proxy.fail("POST /my-order/", faults.busy("1"))
    ordering = Ordering(proxy)
    ordering.transport._task = Impatient()
    with pytest.raises(Cancelled):
        ordering.run()
    assert sorted(ordering.solver.cleaned) == sorted(ordering.solver.presented) != []
