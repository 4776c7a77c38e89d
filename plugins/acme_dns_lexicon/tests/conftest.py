"""The fakes of this folder, and the way to them."""

import sys
from pathlib import Path

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def led_to(monkeypatch):
    """Lets requests for one base URL go to another."""
    ask = requests.Session.request

    def do(known, base):
        def request(session, method, url, **options):
            assert url.startswith(known), f"{url} is not to be asked"
            return ask(session, method, base + url.removeprefix(known), **options)

        monkeypatch.setattr(requests.Session, "request", request)

    return do
