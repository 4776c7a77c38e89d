"""What an HTTP endpoint gets from the webhook and from Healthchecks."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pvefw.api import (
    NOTICES,
    CredentialsRejected,
    ProviderError,
    RenewalFailedEvent,
    RenewalsEvent,
    ServedEvent,
    Unavailable,
)
from pvefw.core import binding, families, notices
from pvefw.core.errors import ConfigError
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_generic.healthchecks import Healthchecks
from pvefw_observer_generic.webhook import Webhook

DAY = datetime(2026, 11, 24, 8, tzinfo=UTC)
FAILED = RenewalFailedEvent("pve1", ["a.example"], Path("/c.pem"), DAY, 9.5, 3, 'said "no"\nagain')


class Endpoint(HTTPServer):
    """Keeps the requests that it gets, and answers with a status."""

    status = 200

    def __init__(self):
        self.requests = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body.decode()))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"as you wish")

    do_POST = do_PUT = _answer  # noqa: N815 - the library's names

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        running = threading.Thread(target=server.serve_forever, args=[0.01])
        running.start()
        yield server
        server.shutdown()
        running.join()


def test_without_a_body_the_event_is_sent_as_json(endpoint):
    Webhook(f"{endpoint.url}/x").on_notice(notices.of("on_renewal_failed", FAILED))
    [(method, path, headers, body)] = endpoint.requests
    said = json.loads(body)
    assert (method, path, headers["Content-Type"]) == ("POST", "/x", "application/json")
    assert (said["event"], said["reason"], said["urgency"]) == (
        "renewal-failed",
        FAILED.reason,
        "notice",
    )
    assert (
        said["subject"] == "pve1: the certificate of a.example could not be renewed, 9.5 days left"
    )


def test_a_template_is_escaped_for_json_and_has_the_secret(endpoint):
    hook = Webhook(
        f"{endpoint.url}/$event?key=$secret",
        method="PUT",
        headers=["Authorization: Bearer $secret", "Title: $subject"],
        body='{"text": "$subject\\n$text", "cost": "$$5"}',
        secret="t0p",
    )
    hook.on_notice(notices.of("on_renewal_failed", FAILED))
    [(method, path, headers, body)] = endpoint.requests
    said = json.loads(body)
    assert (method, path) == ("PUT", "/renewal-failed?key=t0p")
    assert headers["Authorization"] == "Bearer t0p"
    assert 'said "no"\nagain' in said["text"]
    assert said["cost"] == "$5"
    assert "t0p" not in repr(hook)


def test_plain_text_is_not_escaped(endpoint):
    Webhook(endpoint.url, headers=["content-type: text/plain"], body="$text").on_notice(
        notices.of("on_renewal_failed", FAILED)
    )
    assert 'said "no"\nagain' in endpoint.requests[0][3]


def test_only_the_events_that_are_wanted(endpoint):
    gone = ServedEvent("pve1", "web", "a:443", Path("/c"), "another certificate is served")
    hook = Webhook(endpoint.url, events=["served"])
    hook.on_notice(notices.of("on_renewal_failed", FAILED))
    over = ServedEvent("pve1", "web", "a:443", Path("/c"), "")
    for event in (gone, over):
        hook.on_notice(notices.of("on_served", event))
    subjects = [json.loads(body)["subject"] for *_, body in endpoint.requests]
    assert subjects == [
        "pve1: a:443 does not serve the certificate web",
        "pve1: a:443 serves the certificate web again",
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, Unavailable), (429, Unavailable), (403, CredentialsRejected), (404, ProviderError)],
)
def test_a_refusal_says_what_was_answered(endpoint, status, error):
    endpoint.status = status
    with pytest.raises(error, match=rf"status {status} .*as you wish"):
        Webhook(endpoint.url).on_notice(notices.of("on_renewal_failed", FAILED))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://a"}, "begin with https://"),
        ({"url": "https://a", "body": "$reasons"}, r"\$reasons is not known"),
        ({"url": "https://a", "body": "5 $"}, r"written \$\$"),
        ({"url": "https://a/$secret"}, "no secret is set"),
        ({"url": "https://a", "headers": "X"}, "not NAME: VALUE"),
        ({"url": "https://a", "events": "nonsense"}, "is not an event"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        binding.bind(families.OBSERVER, "webhook", settings)


def test_healthchecks_hears_of_start_success_and_failure(endpoint):
    check = Healthchecks(f"{endpoint.url}/uuid")
    check.on_renewals(RenewalsEvent("pve1", "started"))
    check.on_renewals(RenewalsEvent("pve1", "ended", lines=["all is well"]))
    check.on_renewals(RenewalsEvent("pve1", "ended", good=False, lines=["one", "two"]))
    assert [(path, body) for _, path, _, body in endpoint.requests] == [
        ("/uuid/start", ""),
        ("/uuid", "all is well"),
        ("/uuid/fail", "one\ntwo"),
    ]
    assert endpoint.url not in repr(check)


class _Http(ObserverConformance):
    @pytest.fixture
    def heard(self, endpoint):
        return lambda: len(endpoint.requests)


class TestWebhook(_Http):
    @pytest.fixture
    def plugin(self, endpoint):
        return Webhook(endpoint.url, events=list(NOTICES), headers=["Title: $subject"])

    @pytest.fixture
    def broken_plugin(self):
        return Webhook("http://127.0.0.1:9/", events=list(NOTICES))


class TestHealthchecks(_Http):
    @pytest.fixture
    def plugin(self, endpoint):
        return Healthchecks(endpoint.url)

    @pytest.fixture
    def broken_plugin(self):
        return Healthchecks("http://127.0.0.1:9/uuid")


def test_where_nobody_listens_the_reason_is_in_plain_words_and_names_the_host_alone():
    with Endpoint() as closed:
        url = closed.url.replace("//", "//user:password@")
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1:\d+: connection refused$"):
        Webhook(f"{url}/secret").on_notice(notices.of("on_renewal_failed", FAILED))
