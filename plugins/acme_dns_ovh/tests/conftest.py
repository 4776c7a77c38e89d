"""The fake of OVH's API, and the plugin pointed at it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_ovh import fake_ovh

import pvefw_acme_dns_ovh
from pvefw_acme_dns_ovh import ACCESS_RULES, Ovh


@pytest.fixture
def ovh(tmp_path, monkeypatch):
    """The API; its endpoint stands in for all of OVH's."""
    with fake_ovh(tmp_path) as started:
        everywhere = dict.fromkeys(pvefw_acme_dns_ovh.ENDPOINTS, started.base)
        monkeypatch.setattr(pvefw_acme_dns_ovh, "ENDPOINTS", everywhere)
        tokens = dict.fromkeys(pvefw_acme_dns_ovh.TOKEN_URLS, f"{started.base}/oauth2/token")
        monkeypatch.setattr(pvefw_acme_dns_ovh, "TOKEN_URLS", tokens)
        started.grant("ck-granted", ACCESS_RULES)
        yield started


@pytest.fixture
def make(ovh):
    """Makes the plugin; other settings by keyword."""

    def do(**settings):
        key, secret = ovh.application
        known = {"OVH_AK": key, "OVH_AS": secret, "OVH_CK": "ck-granted", **settings}
        return Ovh(OVH_CA_FILE=ovh.ca_file, **known)

    return do
