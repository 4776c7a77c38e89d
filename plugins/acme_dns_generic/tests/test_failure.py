"""What went wrong inside a script reaches the user, and is of the right kind."""

import http.server
import threading

import pytest
from servers.processes import free_port

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic import failure
from pvefw_acme_dns_generic.acmesh import ScriptedDns
from pvefw_acme_dns_generic.runner import Script

RECORD = TxtRecord("_acme-challenge.www.example.com.", "value-1")


@pytest.fixture
def add(tmp_path):
    """Runs ``dns_odd_add`` with this body."""

    def do(body):
        script = tmp_path / "dns_odd.sh"
        script.write_text(f"dns_odd_add() {{\n{body}\n}}\n")
        ScriptedDns(Script("odd", script, {})).dns_add(records=[RECORD], task=FakeTask())

    return do


@pytest.fixture
def answering():
    """A provider that answers every request with a status."""
    servers = []

    def start(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, ProviderError),
        (404, ProviderError),
        (401, CredentialsRejected),
        (403, CredentialsRejected),
        (429, RateLimited),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_the_status_of_the_last_answer_decides(add, answering, status, kind):
    body = (
        f'_get "{answering(status)}/zones" >/dev/null; _err "Could not add txt record."; return 1'
    )
    with pytest.raises(ProviderError, match=r"add: Could not add txt record\.") as caught:
        add(body)
    assert type(caught.value) is kind
    assert ("HTTP status" in caught.value.message) is (status != 200)


def test_a_time_out_does_not_look_like_a_refusal(add):
    body = f'_get "http://127.0.0.1:{free_port()}/" || _err "Could not add txt record."; return 1'
    with pytest.raises(
        Unavailable, match=r"Could not add txt record\. \(curl: \(7\) .*\)"
    ) as caught:
        add(body)
    assert caught.value.unchanged  # the provider was never reached


def test_a_provider_that_was_reached_once_may_have_changed_something(add, answering):
    gone = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(Unavailable) as caught:
        add(f'_get "{answering(200)}/" >/dev/null; _get "{gone}" || return 1')
    assert not caught.value.unchanged


def test_what_programs_say_is_kept_beside_what_the_script_says(add):
    body = """
        printf 'server 127.0.0.1\\nsend\\n' | nsupdate -k /proc/1/no-such.key
        _err "error updating domain"
        return 1
    """
    with pytest.raises(
        ProviderError,
        match=r"error updating domain \(.*could not read key from /proc/1/no-such.*\)",
    ):
        add(body)


def test_what_a_script_prints_is_quoted_when_nothing_else_was_said(add):
    with pytest.raises(ProviderError, match=r"dns_odd\.sh add: zone example\.com is locked"):
        add('echo "zone example.com is locked"; return 1')


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("HTTP 401", CredentialsRejected),
        ('{"status": 403, "message": "no"}', CredentialsRejected),
        ("could not read key from /etc/knot.key: permission denied", CredentialsRejected),
        ("update failed: NOTAUTH(BADKEY)", CredentialsRejected),
        ("The API token is invalid. / invalid API token", CredentialsRejected),
        ("curl: (28) Operation timed out after 60001 milliseconds", Unavailable),
        ("curl: (6) Could not resolve host: api.example", Unavailable),
        ("; communication with 127.0.0.1#53 failed: timed out", Unavailable),
        ("HTTP/2 502", Unavailable),
        ("Too many requests, slow down", RateLimited),
        ("record 14012 in zone 503123 was not found", ProviderError),
        ("no authentication module changed", ProviderError),
    ],
)
def test_words_tell_refusals_from_outages(words, kind):
    said = failure.Output(errors=["Could not add txt record."], noise=[words])
    assert type(failure.explain("dns_odd.sh add", said, "")) is kind
