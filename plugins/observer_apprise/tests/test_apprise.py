"""What a service behind Apprise gets: its own generic one, which sends JSON, is the one that is tried."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pvefw.api import NOTICES, NoticeEvent, ProviderError, Severity
from pvefw.core import binding, families
from pvefw.core.errors import ConfigError
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_apprise import Apprise

# some of its services use a module that Python 3.13 has no more, and Apprise does without there
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
NOTICE = NoticeEvent("pve1", "served", Severity.ERROR, "pve1: it is wrong", ["one", "two <b>"])


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def service():
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.heard, server.status = [], 200
        server.url = f"json://user:t0p-secret@127.0.0.1:{server.server_port}/"
        running = threading.Thread(target=server.serve_forever, args=[0.01])
        running.start()
        yield server
        server.shutdown()
        running.join()


def test_it_has_title_text_and_how_bad_it_is(service):
    Apprise(service.url).on_notice(NOTICE)
    [said] = service.heard
    assert (said["title"], said["message"], said["type"]) == (
        "pve1: it is wrong",
        "one\ntwo <b>",
        "failure",
    )


def test_only_the_events_that_are_wanted(service):
    Apprise(service.url, events=["certificate"]).on_notice(NOTICE)
    assert service.heard == []


def test_a_refusal_is_one_and_names_no_secret(service):
    service.status = 403
    with pytest.raises(ProviderError, match=r"could not send it: .*403") as raised:
        Apprise(service.url).on_notice(NOTICE)
    assert "t0p" not in str(raised.value)
    assert "t0p" not in repr(Apprise(service.url))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"url": "nonsense"}, "Apprise knows"), ({"url": "json://a", "events": "x"}, "not an event")],
)
def test_settings_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        binding.bind(families.OBSERVER, "apprise", settings)


class TestApprise(ObserverConformance):
    @pytest.fixture
    def plugin(self, service):
        return Apprise(service.url, events=list(NOTICES))

    @pytest.fixture
    def heard(self, service):
        return lambda: len(service.heard)

    @pytest.fixture
    def broken_plugin(self):
        return Apprise("json://127.0.0.1:9/", events=list(NOTICES))
