"""What a dnsapi script says about itself becomes settings."""

import pytest

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
  echo "never run: $ACME_Token $ACME_User $ACME_Zone_ID $ACME_Key $ACME_Email"
}
"""


def test_a_block_with_two_sets_of_credentials():
    found = parse("acmecorp", SCRIPT)
    assert (found.title, found.docs) == (
        "Acmecorp.example",
        "https://docs.acmecorp.example/dns#api",
    )
    assert [setting.key for setting in found.settings] == [
        "ACME_Token",
        "ACME_User",
        "ACME_Zone_ID",
        "ACME_Key",
        "ACME_Email",
    ]
    assert [setting.key for setting in found.settings if setting.secret] == [
        "ACME_Token",
        "ACME_Key",
    ]
    assert not any(setting.required for setting in found.settings)


def test_without_another_set_what_is_not_optional_is_required():
    alone = SCRIPT.replace("OptionsAlt:\n ACME_Key Global key\n ACME_Email Account e-mail\n", "")
    found = parse("acmecorp", alone)
    assert found.settings[0] == SettingInfo("ACME_Token", "API token", secret=True, required=True)
    assert [setting.key for setting in found.settings if setting.required] == [
        "ACME_Token",
        "ACME_Zone_ID",
    ]


def test_a_script_without_a_block():
    assert parse("old", "dns_old_add() { :; }").settings == ()
    reads = """
    dns_old_add() {
      fulldomain=$1
      OLD_Token="${OLD_Token:-$(_readaccountconf_mutable OLD_Token)}"
      [ -n "$OLD_Server" ] || OLD_Server=ns.old.example
      _saveaccountconf OLD_Server "$OLD_Server"
      Old_Api="https://old.example/$OLD_Account"
      export _H1="Authorization: $OLD_Token"
      for One in a b; do _post "$One" "$Old_Api" >"$HTTP_HEADER"; done
    }
    """
    assert parse("old", reads).settings == (
        SettingInfo("OLD_Token", "OLD_Token, as the script's text reads it.", secret=True),
        SettingInfo(
            "OLD_Server", "OLD_Server, as the script's text reads it.", default="ns.old.example"
        ),
        SettingInfo("OLD_Account", "OLD_Account, as the script's text reads it."),
    )


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
    masked = {setting.key for setting in found.settings if setting.secret}
    assert masked >= set(secret)
    assert not masked & {"CF_Email", "HETZNER_User", "X_Username"}


# --- the dialects that exist ------------------------------------------------------------------------

USE = 'dns_x_add() { _post "$X_Token" "$X_User/$X_Zone_ID/$X_Port" "$X_Key"; }'


def settings_of(block, code=USE):
    """Key, whether it is required, default."""
    found = parse("x", f"dns_x_info={block}\n{code}\n").settings
    return {setting.key: (setting.required, setting.default) for setting in found}


DIALECTS = {
    "one blank": "'X\nOptions:\n X_Token Token\n X_Port Port. Optional.\n'",
    "nested by blanks": "'X\nSite: x\n  Options:\n    X_Token  Token\n    X_Port  Optional port\n'",
    "tabs": "'X\nOptions:\n\tX_Token\tToken\n\tX_Port\tPort. Optional.\n'",
    "not indented": "'X\nOptions:\nX_Token Token\nX_Port Port. Optional\nIssues: x.example\n'",
    "colons": "'X\nOptions:\n X_Token: Token\n X_Port: Port, optional\n'",
    "exports": "'X\nOptions:\n export X_Token=\n X_Port Optional\n'",
    "optional section": "'X\nOptions:\n X_Token Token\nOptional:\n X_Port Port\n'",
    "an apostrophe": r"""'X
Options:
 X_Token The account'\''s token
 X_Port Port. Optional.
'""",
    "double quotes": '"X\nOptions:\n X_Token Token\n X_Port Port. Optional.\n"',
    "DOS": "'X\r\nOptions:\r\n X_Token Token\r\n X_Port Port. Optional.\r\n'",
    "JSON list": """'[{"name": "X_Token", "usage": "Token", "required": "1"},
        {"name": "X_Port", "usage": "Port", "required": "0"}]'""",
    "JSON object": """'{"title": "X", "docs": "x.example", "options": {
        "X_Token": "Token", "X_Port": {"help": "Port", "optional": true}}}'""",
}


@pytest.mark.parametrize("block", DIALECTS.values(), ids=DIALECTS)
def test_each_dialect_says_what_is_required(block):
    found = settings_of(block)
    assert (found["X_Token"][0], found["X_Port"][0]) == (True, False)


@pytest.mark.parametrize(
    ("block", "default"),
    [
        ("'X\nOptions:\n X_Port Port. Default: \"8053\".\n'", "8053"),
        ("'X\nOptions:\n X_Port Port. Defaults to 8053.\n'", "8053"),
        ("'X\nOptions:\n X_Port Port (default is 8053)\n'", "8053"),
        ("'X\nOptions:\n  X_Port Port\n    Default: \"8053\"\n'", "8053"),
        ('\'[{"name": "X_Port", "usage": "Defaults to 8053", "required": 1}]\'', "8053"),
    ],
)
def test_what_has_a_default_is_not_required(block, default):
    assert settings_of(block)["X_Port"] == (False, default)


@pytest.mark.parametrize(
    "code",
    [
        'X_Port="${X_Port:-8053}"',
        'X_Port="${X_Port:-$(_readaccountconf_mutable X_Port)}"\n[ "$X_Port" ] || X_Port=8053',
        'if [ -z "$X_Port" ]; then\n  X_Port="8053"\nfi',
        ': "${X_Port:=8053}"',
    ],
)
def test_what_the_script_defaults_is_not_required(code):
    block = "'X\nOptions:\n X_Port Port\n'"
    assert settings_of(block, f"dns_x_add() {{\n{code}\n}}")["X_Port"] == (False, "8053")
    emptied = 'X_Port="${X_Port:-$(_readaccountconf_mutable X_Port)}"\n[ "$X_Port" ] || X_Port=""'
    assert settings_of(block, emptied)["X_Port"] == (True, "")


@pytest.mark.parametrize(
    ("block", "required"),
    [
        (
            "'X\nOptions:\n X_Token Token\nOptionsAlt:\n X_Key Key\nOptionsAlt2:\n X_User User\n'",
            set(),
        ),
        (
            "'X\nOptions:\n X_Token Token\nOptionsAlt:\n X_Key Key\nOptionsAlt:\n X_User User\n'",
            set(),
        ),
        ("'X\nOptions:\n X_Token Token or X_Key\n X_Key Key\n X_User User\n'", {"X_User"}),
        ("'X\nOptions:\n X_Token Token\n or\n X_Key Key\n'", set()),
        ("'X\nOptions:\n X_Wrong Token\n X_User User\n'", {"X_User"}),
    ],
    ids=["numbered", "several", "or", "or alone", "a key that the script does not read"],
)
def test_where_there_is_another_way_nothing_is_required(block, required):
    found = settings_of(block)
    assert {key for key, (needed, _) in found.items() if needed} == required
    assert {"X_Token", "X_Key", "X_User"} <= set(found)


def test_of_two_that_are_tested_together_one_is_enough():
    block = "'X\nOptions:\n X_Token Token\n X_Key Key\n X_User User\n'"
    code = 'if [ -z "$X_Token" ] && [ -z "$X_Key" ]; then return 1; fi; echo "$X_User"'
    assert {key for key, value in settings_of(block, code).items() if value[0]} == {"X_User"}


def test_a_sentence_among_the_options_is_none():
    block = "'X\nOptions:\n You need a token:\n X_Token Token\n\n'"
    assert list(settings_of(block, 'echo "You need $X_Token"')) == ["X_Token"]


def test_a_damaged_block_is_no_reason_to_refuse():
    for block in ("'[{'", "'{}'", "'[1, \"a\", {}]'", "''"):
        assert set(settings_of(block)) == {"X_Token", "X_User", "X_Zone_ID", "X_Port", "X_Key"}


def test_a_key_that_is_named_twice_is_one_setting():
    found = parse(
        "twice", "dns_twice_info='Twice\nOptions:\n TW_Key First\n TW_Key Second\n'\n$TW_Key"
    )
    assert [(setting.key, setting.help) for setting in found.settings] == [("TW_Key", "First")]


def test_a_default_that_belongs_to_no_option_is_nobodys():
    found = parse(
        "early", "dns_early_info='Early\nDefault: \"x\"\nOptions:\n EA_Key Key\n'\n$EA_Key"
    )
    assert [(setting.key, setting.default, setting.required) for setting in found.settings] == [
        ("EA_Key", "", True)
    ]
