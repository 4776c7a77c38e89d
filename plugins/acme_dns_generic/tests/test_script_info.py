"""What a dnsapi script says of itself becomes settings."""

from pvefw.api import SettingInfo
from pvefw_acme_dns_generic.script_info import parse

SCRIPT = """#!/usr/bin/env sh
# shellcheck disable=SC2034
dns_acmecorp_info='Acmecorp.example
Domains: acme.example
Site: acmecorp.example
Docs: docs.acmecorp.example/dns#api
Options:
 ACME_Token API token
 ACME_User User name. Optional.
 ACME_Zone_ID
OptionsAlt:
 ACME_Key Global key
 ACME_Email Account e-mail
Issues: github.com/x/y/issues/1
Author: Somebody <a@example.com>
'

dns_acmecorp_add() {
  echo never run
}
"""


def test_a_block_with_two_sets_of_credentials():
    found = parse("acmecorp", SCRIPT)
    assert (found.title, found.docs) == (
        "Acmecorp.example",
        "https://docs.acmecorp.example/dns#api",
    )
    assert [one.key for one in found.settings] == [
        "ACME_Token",
        "ACME_User",
        "ACME_Zone_ID",
        "ACME_Key",
        "ACME_Email",
    ]
    assert [one.key for one in found.settings if one.secret] == ["ACME_Token", "ACME_Key"]
    assert not any(one.required for one in found.settings)


def test_without_another_set_what_is_not_optional_is_required():
    alone = SCRIPT.replace("OptionsAlt:\n ACME_Key Global key\n ACME_Email Account e-mail\n", "")
    found = parse("acmecorp", alone)
    assert found.settings[0] == SettingInfo("ACME_Token", "API token", secret=True, required=True)
    assert [one.key for one in found.settings if one.required] == ["ACME_Token", "ACME_Zone_ID"]


def test_a_script_without_a_block():
    assert parse("old", "dns_old_add() { :; }").settings == ()


def test_keys_that_may_be_credentials_are_secret():
    public = ["CF_Email", "OVH_END_POINT", "HETZNER_User", "X_Username", "AZUREDNS_TENANTID"]
    secret = [
        "CF_Key",
        "CF_Token",
        "X_Password",
        "X_APIKEYID",
        "X_Anything",
        "AWS_SECRET_ACCESS_KEY",
    ]
    block = "".join(f" {key} Text\n" for key in public + secret)
    found = parse("x", f"dns_x_info='X\nOptions:\n{block}'\n")
    masked = {one.key for one in found.settings if one.secret}
    assert masked >= set(secret)
    assert not masked & {"CF_Email", "HETZNER_User", "X_Username"}
