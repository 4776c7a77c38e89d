"""A server that misbehaves: one clear error each, before the deadline; or the order goes on."""

import datetime as dt
import email.utils
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from ordering import Believed, Ordering, Patient
from servers import faulty_acme as faults
from servers.faulty_acme import FaultyAcme, faulty_acme
from servers.pebble import Pebble
from servers.pebble import pebble as run_pebble

from pvefw.acme.answers import Response
from pvefw.acme.client import Client
from pvefw.acme.transport import CONNECTIONS, Transport
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    Cancelled,
    DeadlineExceeded,
    PvefwError,
)

NAMES = [f"{number}.faulty.example" for number in range(3)]


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


def ordering(proxy: FaultyAcme, seconds: float = 20.0) -> Ordering:
    solver = Believed()
    return Ordering(proxy.directory, proxy.ca_file, dict.fromkeys(NAMES, solver), seconds=seconds)


def order(proxy: FaultyAcme, seconds: float = 20.0) -> bytes:
    return ordering(proxy, seconds).run()


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


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.startswith("POST")]
)
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
    broken = ordering(proxy)
    started = time.monotonic()
    with pytest.raises(error, match=said):
        broken.run()
    assert time.monotonic() - started < 10
    [solver] = set(broken.solvers.values())
    assert solver.cleaned == solver.presented


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in ENDPOINTS if not endpoint.startswith("HEAD")]
)
def test_an_answer_that_breaks_off(proxy, endpoint):
    proxy.fail(endpoint, faults.cut, times=1)
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")
    proxy.fail(endpoint, faults.cut)
    with pytest.raises(AcmeUnreachable, match="no answer"):
        order(proxy)


JSON_ENDPOINTS = [
    endpoint for endpoint in ENDPOINTS if endpoint.startswith(("GET", "POST /sign", "POST /order"))
]
JSON_ENDPOINTS += ["POST /authZ/", "POST /my-order/", "POST /finalize-order/"]


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in JSON_ENDPOINTS if "sign-me-up" not in endpoint]
)
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


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in JSON_ENDPOINTS if "sign-me-up" not in endpoint]
)
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
    posts = [request for request in proxy.requests if request.startswith("POST")]
    heads = [request for request in proxy.requests if request.startswith("HEAD")]
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
    with pytest.raises(DeadlineExceeded, match="would be due in 7 seconds"):
        order(proxy, seconds=5)


@pytest.mark.parametrize("token", ["../../etc/passwd", "a b", "", "x/y"])
def test_a_token_that_is_a_path_never_reaches_a_plugin(proxy, token):
    challenge = {"type": "http-01", "url": "https://127.0.0.1/c", "token": token}
    identifier = {"type": "dns", "value": "0.faulty.example"}
    said = {"status": "pending", "identifier": identifier, "challenges": [challenge]}
    proxy.fail("POST /authZ/", faults.changed(body=json.dumps(said).encode()))
    broken = ordering(proxy)
    with pytest.raises(AcmeProtocolError, match="malformed"):
        broken.run()
    [solver] = set(broken.solvers.values())
    assert solver.presented == []


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


@pytest.mark.parametrize(
    ("endpoint", "presented"), [("POST /authZ/", 0), ("POST /chalZ/", 1), ("POST /my-order/", 1)]
)
@pytest.mark.parametrize("fault", [faults.stall, faults.busy("15")], ids=["stalled", "busy"])
def test_cancellation_ends_an_order_at_once_and_cleans_up(proxy, endpoint, presented, fault):
    """Also where a thread waits for a server that does not answer."""
    cancelled = ordering(proxy)
    [solver] = set(cancelled.solvers.values())
    reached = threading.Event()

    def noticed(*arguments):
        reached.set()
        return fault(*arguments)

    proxy.fail(endpoint, noticed)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cancelled.run)
        assert reached.wait(10)
        cancelled.task.cancelled = True
        started = time.monotonic()
        with pytest.raises(Cancelled):
            running.result(10)
        assert time.monotonic() - started < 2
    assert len(solver.presented) == presented
    assert solver.cleaned == solver.presented


def test_the_user_is_told_what_is_waited_for(proxy):
    proxy.fail("POST /order-plz", faults.busy("7"), times=1)
    proxy.fail("POST /finalize-order/", faults.gone, times=1)
    patient = ordering(proxy)
    patient.run()
    assert [seconds for seconds in patient.task.waited if seconds >= 1] == [7.0, 1.0]
    waiting = [line for line in patient.task.lines if line.startswith("Waiting")]
    assert "HTTP status 503" in waiting[0]
    assert "Waiting 1 second: " in waiting[1]


def test_an_order_that_may_be_asked_for_at_once_is_not_hammered(proxy):
    body = (
        b'{"status": "pending", "identifiers": [], "authorizations": [],'
        b' "finalize": "https://127.0.0.1/f"}'
    )
    proxy.fail("POST /my-order/", faults.changed(body=body, Retry_After="0"))
    with pytest.raises((DeadlineExceeded, AcmeUnreachable)):
        order(proxy, seconds=1)
    assert len([request for request in proxy.requests if "my-order" in request]) < 40


def test_no_more_requests_at_once_than_connections(proxy):
    at_once, most = [0], [0]
    lock, crowd = threading.Lock(), threading.Event()

    def counted(_proxy, _handler, answer):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            if at_once[0] == CONNECTIONS:
                crowd.set()
        crowd.wait(5)
        with lock:
            at_once[0] -= 1
        return answer

    proxy.fail("POST /authZ/", counted)
    names = [f"{number}.crowd.example" for number in range(3 * CONNECTIONS)]
    solver = Believed()
    Ordering(proxy.directory, proxy.ca_file, dict.fromkeys(names, solver)).run()
    assert most == [CONNECTIONS]


def test_one_request_a_poll_and_one_for_each_step_of_a_name(proxy):
    names = [f"{number}.count.example" for number in range(12)]
    Ordering(proxy.directory, proxy.ca_file, dict.fromkeys(names, Believed())).run()
    counts = Counter(request.rpartition("/")[0] for request in proxy.requests)
    assert counts["POST /authZ"] == counts["POST /chalZ"] == len(names)
    assert counts["POST /my-order"] < 20
    assert counts["HEAD "] <= CONNECTIONS


def test_a_request_whose_answer_was_lost_is_not_an_error_the_second_time(proxy):
    """The server did what it was asked to; only its answer got lost."""
    for endpoint in ("POST /chalZ/", "POST /finalize-order/", "POST /order-plz"):
        proxy.fail(endpoint, faults.cut, times=1)
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    ("endpoint", "spoilt", "said"),
    [
        ("GET /dir", {"newNonce": 5}, "no newNonce"),
        ("GET /dir", {"meta": "none"}, "malformed 'meta'"),
        ("POST /order-plz", {"authorizations": "https://127.0.0.1/"}, "malformed 'authorizations'"),
        ("POST /order-plz", {"identifiers": ["a.example"]}, "malformed 'identifiers'"),
        ("POST /order-plz", {"status": None}, "lacks 'status'"),
        ("POST /authZ/", {"identifier": {"type": "dns"}}, "lacks 'value'"),
        ("POST /authZ/", {"challenges": {}}, "malformed 'challenges'"),
        ("POST /finalize-order/", {"status": "valid"}, "names no certificate"),
        ("POST /finalize-order/", {"status": "banana"}, "the authority says banana"),
        ("POST /my-order/", {"finalize": "https://[/"}, "not a URL"),
        ("POST /my-order/", {"finalize": "http://127.0.0.1/"}, "needs https"),
        ("POST /my-order/", {"finalize": "https://a..b/"}, r"a\.\.b"),
    ],
)
def test_an_object_with_one_wrong_member(proxy, endpoint, spoilt, said):
    def fault(_proxy, _handler, answer):
        if answer.headers.get("Content-Type", "").startswith("application/problem"):
            return answer
        there = json.loads(answer.body) | spoilt
        if endpoint == "POST /finalize-order/":
            there.pop("certificate", None)
        return faults.Answer(answer.status, answer.headers, json.dumps(there).encode())

    proxy.fail(endpoint, fault)
    with pytest.raises(AcmeError, match=said):
        order(proxy)


def spoiling(**members):
    """One or more members of an object are otherwise."""

    def fault(_proxy, _handler, answer):
        if answer.headers.get("Content-Type", "").startswith("application/problem"):
            return answer
        spoilt = json.loads(answer.body) | members
        return faults.Answer(answer.status, answer.headers, json.dumps(spoilt).encode())

    return fault


def _challenges_at(url):
    def fault(proxy, handler, answer):
        offers = [offer | {"url": url} for offer in json.loads(answer.body)["challenges"]]
        return spoiling(challenges=offers)(proxy, handler, answer)

    return fault


def _certificate_at(url):
    def fault(proxy, handler, answer):
        named = b'"certificate"' in answer.body
        return spoiling(certificate=url)(proxy, handler, answer) if named else answer

    return fault


URLS = {
    "certificate": ("POST /", _certificate_at),
    "challenge": ("POST /authZ/", _challenges_at),
    "newNonce": ("GET /dir", lambda url: spoiling(newNonce=url)),
    "newAccount": ("GET /dir", lambda url: spoiling(newAccount=url)),
    "newOrder": ("GET /dir", lambda url: spoiling(newOrder=url)),
    "account": ("POST /sign-me-up", lambda url: faults.changed(Location=url)),
    "order": ("POST /order-plz", lambda url: faults.changed(Location=url)),
    "authorization": ("POST /order-plz", lambda url: spoiling(authorizations=[url])),
    "finalize": ("POST /my-order/", lambda url: spoiling(finalize=url)),
}
"""Where a server says URLs."""


@pytest.mark.parametrize("url", ["https://[x/y", "http://ca.example/y", "//["])
@pytest.mark.parametrize("place", URLS)
def test_a_url_of_the_servers_that_is_none_is_the_servers_fault(proxy, place, url):
    """Nobody is sent to look at the directory URL, which is good."""
    path, fault = URLS[place]
    proxy.fail(path, fault(url))
    broken = ordering(proxy)
    with pytest.raises(AcmeProtocolError) as caught:
        broken.run()
    assert "directory URL" not in caught.value.hint
    assert "operator" in caught.value.hint
    [solver] = set(broken.solvers.values())
    assert solver.cleaned == solver.presented


def test_a_url_of_the_users_that_is_none_is_the_users_to_check():
    transport = Transport(task=Patient())
    with pytest.raises(AcmeProtocolError) as caught:
        _ = Client(transport, "http://127.0.0.1:1/dir").directory
    assert caught.value.hint == "Check the directory URL."
    transport.close()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("again", ["0", "Thu, 01 Jan 2015 00:00:00 GMT"])
def test_who_says_at_once_again_and_again_is_asked_less_and_less(proxy, again, status):
    proxy.fail("POST /order-plz", faults.busy(again, status=status), times=12)
    patient = ordering(proxy, seconds=3600)
    patient.run()
    asked = patient.task.waited[:12]
    assert sum(asked) > 200
    assert sum("Waiting" in line for line in patient.task.lines) > 5


def test_a_time_is_the_servers_time(proxy):
    """Its clock is a day ahead, or ours behind: a minute is a minute."""
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)

    def date(when):
        return email.utils.format_datetime(when, usegmt=True)

    later = date(ahead + dt.timedelta(seconds=60))
    response = Response(503, {"Date": date(ahead), "Retry-After": later}, b"", "https://ca/")
    assert response.retry_after == 60
    unsaid = Response(503, {"Retry-After": later}, b"", "https://ca/")
    assert unsaid.retry_after > 86400


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("POST /certZ/.*/alternate/", faults.problem("malformed", "gone", 404)),
        ("POST /certZ/.*/alternate/", faults.changed(body=b"hello")),
        ("POST /certZ/.*/alternate/", faults.changed(Content_Type="text/html")),
        ("POST /certZ/.*/alternate/", faults.gone),
        ("POST /certZ/", faults.changed(Link='<https://[x>;rel="alternate"')),
        ("POST /certZ/", faults.changed(Link='<http://ca.example/>;rel="alternate"')),
    ],
)
def test_a_wish_for_another_chain_costs_no_certificate(tmp_path, path, fault):
    with (
        run_pebble(tmp_path, always_valid=True, nonce_reject=0, alternate_roots=1) as server,
        faulty_acme(server, tmp_path) as proxy,
    ):
        proxy.fail(path, fault)
        wishing = ordering(proxy)
        with wishing:
            chain = wishing.finish(wishing.place(), "No Such Root")
        assert chain.startswith(b"-----BEGIN CERTIFICATE-----")
        [warning] = wishing.task.warnings
        assert "No Such Root" in warning
        assert "first one is used" in warning


@pytest.mark.parametrize("before", [b"subject=CN = a\nissuer=CN = b\n", b"\xef\xbb\xbf", b"\r\n"])
def test_words_before_a_chain_do_no_harm(proxy, before):
    def fault(_proxy, _handler, answer):
        return faults.Answer(answer.status, answer.headers, before + answer.body)

    proxy.fail("POST /certZ/", fault)
    assert b"-----BEGIN CERTIFICATE-----" in order(proxy)


@pytest.mark.parametrize(
    ("body", "kind", "said", "advice"),
    [
        (b"<html>no", "text/html", "HTTP status 403", "no answer of an ACME server"),
        (b"", "text/plain", "HTTP status 403", "no answer of an ACME server"),
        (b'{"detail": "Nein"}', "application/problem+json", "Nein", "authority's reason"),
        (
            b'{"detail": "No", "subproblems": [{}, {"type": 5}, [], {"identifier": "a"}]}',
            "application/problem+json",
            "No$",
            "authority's reason",
        ),
        (
            (
                b'{"type": "urn:ietf:params:acme:error:userActionRequired", "detail": "New terms",'
                b' "instance": "https://ca.example/agree?t=4"}'
            ),
            "application/problem+json",
            "New terms",
            "https://ca.example/agree",
        ),
    ],
)
def test_a_refusal_has_a_next_step(proxy, body, kind, said, advice):
    proxy.fail("POST /order-plz", faults.changed(status=403, body=body, Content_Type=kind))
    with pytest.raises(AcmeProblem, match=said) as caught:
        order(proxy)
    assert advice in caught.value.hint


def test_an_account_that_was_made_is_known_whatever_else_is_said(proxy):
    """Its URL counts; without it, nobody could ever use the account."""
    proxy.fail("POST /sign-me-up", faults.changed(body=b"<html>", Content_Type="text/html"))
    assert order(proxy).startswith(b"-----BEGIN CERTIFICATE-----")
