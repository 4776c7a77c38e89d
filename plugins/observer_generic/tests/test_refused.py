"""What cannot be sent at all, and settings that make no sense."""

import pytest

from pvefw.api import ProviderError
from pvefw_observer_generic import http, proxmox
from pvefw_observer_generic.healthchecks import Healthchecks
from pvefw_observer_generic.mail import Mail


@pytest.mark.parametrize(
    ("url", "headers"),
    [("ftp://127.0.0.1/", {}), ("http://", {}), ("http://127.0.0.1:9/", {"X-Token": "a\nb"})],
)
def test_what_is_no_request_is_not_tried_again(url, headers):
    with pytest.raises(ProviderError, match="it cannot be sent: "):
        http.send("POST", url, b"", headers, None)


def test_a_check_is_pinged_at_a_url():
    with pytest.raises(ValueError, match="url is not a URL that begins with https://"):
        Healthchecks("hc-ping.com/uuid")


def test_mail_is_written_about_events_that_there_are():
    with pytest.raises(ValueError, match="'reboot' is not an event; there are renewal-failed"):
        Mail(to=["a@b"], events=["certificate", "reboot"])


def test_a_template_has_helpers_of_proxmox_ve():
    assert proxmox._filled("{{ url-encode title }}", {"title": "a b"}) == "a%20b"
    with pytest.raises(ProviderError, match="the helper shout, which is not known here"):
        proxmox._filled("{{ shout title }}", {"title": "a b"})
