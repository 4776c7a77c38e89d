"""The fake of OVH's API, and the plugin pointed at it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_ovh import fake_ovh

from pvefw_acme_dns_ovh import Ovh
from pvefw_acme_dns_ovh.rights import access_rules


@pytest.fixture
def ovh(tmp_path):
    """The API, with one key that may do what the plugin does."""
    with fake_ovh(tmp_path) as started:
        started.grant("ck-granted", access_rules())
        yield started


@pytest.fixture
def make(ovh):
    """Makes the plugin; other settings by keyword."""

    def do(**settings):
        key, secret = ovh.application
        known = {"OVH_AK": key, "OVH_AS": secret, "OVH_CK": "ck-granted", **settings}
        return Ovh(OVH_CA_FILE=ovh.ca_file, OVH_END_POINT=ovh.base, **known)

    return do


@pytest.fixture
def make_client(ovh, make):
    """Makes the plugin as an OAuth2 client."""

    def do(**settings):
        identity, secret = ovh.oauth
        none = dict.fromkeys(("OVH_AK", "OVH_AS", "OVH_CK"), "")
        known = {"OVH_CLIENT_ID": identity, "OVH_CLIENT_SECRET": secret, **settings}
        return make(**none, **known)

    return do
