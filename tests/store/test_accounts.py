"""ACME accounts, in Proxmox VE's files."""

import json
import stat
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.core.errors import ConfigError, NotFound, StoreError, UsageError
from pvefw.store import accounts, files
from pvefw.store.accounts import Account

# --- accounts -------------------------------------------------------------------------------------


def test_an_account_is_private_and_is_read_again(paths):
    made = Account(
        "default", "https://ca.example/dir", "https://ca.example/1", "KEY", {"a": 1}, "t"
    )
    accounts.save(paths, made)
    assert stat.S_IMODE((paths.acme_dir / "default").stat().st_mode) == 0o600
    again = accounts.load(paths, "default")
    assert (again.directory, again.location, again.key) == (made.directory, made.location, "KEY")
    assert "KEY" not in repr(again)


def test_what_proxmox_ve_wrote_survives(paths):
    paths.acme_dir.mkdir(parents=True)
    theirs = {
        "account": {"contact": ["mailto:a@example.com"], "status": "valid"},
        "debug": 0,
        "directory": "https://ca.example/dir",
        "key": "KEY",
        "location": "https://ca.example/1",
        "tos": "https://ca.example/tos",
        "eab": {"kid": "k"},
    }
    (paths.acme_dir / "default").write_text(json.dumps(theirs))
    accounts.save(paths, accounts.load(paths, "default"))
    assert json.loads((paths.acme_dir / "default").read_text()) == theirs


THEIR_ACCOUNT = """{
   "account" : {
      "contact" : [
         "mailto:a@example.com"
      ],
      "orders" : [],
      "status" : "valid"
   },
   "debug" : 0,
   "directory" : "https://ca.example/dir",
   "key" : "KEY\\n",
   "location" : "https://ca.example/1",
   "tos" : "https://ca.example/tos/ü"
}
"""


def test_an_account_of_proxmox_ve_keeps_its_shape(paths):
    file = paths.acme_dir / "default"
    files.replace(file, THEIR_ACCOUNT.encode(), private=True)
    account = accounts.load(paths, "default")
    accounts.save(paths, replace(account, account={**account.account, "status": "revoked"}))
    assert file.read_text() == THEIR_ACCOUNT.replace('"valid"', '"revoked"')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=5,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.from_regex(r"x-[a-z]+", fullmatch=True), json_values, max_size=4))
def test_whatever_else_is_in_an_account_survives(paths, unknown):
    theirs = {**json.loads(THEIR_ACCOUNT), **unknown}
    file = paths.acme_dir / "default"
    files.replace(file, json.dumps(theirs).encode(), private=True)
    accounts.save(paths, replace(accounts.load(paths, "default"), key="NEW"))
    assert json.loads(file.read_text()) == {**theirs, "key": "NEW"}


def test_an_unchanged_account_is_not_written(paths):
    file = paths.acme_dir / "default"
    files.replace(file, THEIR_ACCOUNT.replace(" : ", ":").encode(), private=True)
    before = file.stat()
    accounts.save(paths, accounts.load(paths, "default"))
    assert file.stat() == before


def test_what_is_ours_comes_and_goes_without_touching_the_rest(paths):
    file = paths.acme_dir / "default"
    files.replace(file, THEIR_ACCOUNT.encode(), private=True)
    accounts.save(paths, replace(accounts.load(paths, "default"), ca_file="/etc/ca.pem"))
    assert json.loads(file.read_text())["pvefw"] == {"ca-file": "/etc/ca.pem"}
    again = accounts.load(paths, "default")
    assert again.ca_file == "/etc/ca.pem"
    accounts.save(paths, replace(again, ca_file=""))
    assert file.read_text() == THEIR_ACCOUNT


def test_an_accounts_lock_is_proxmox_ves(paths):
    with accounts.lock(paths, "default"):
        assert (paths.cluster_locks / "acme-default").is_dir()
    with pytest.raises(UsageError, match="is not an account name"), accounts.lock(paths, "../evil"):
        pass


def test_a_directory_that_cannot_be_read_is_an_error(paths):
    files.replace(paths.acme_dir, b"a file is in the way")
    with pytest.raises(StoreError, match="priv/acme"):
        accounts.names(paths)


def test_retired_accounts_are_not_listed_and_get_the_first_free_number(paths):
    for number in range(3):
        accounts.save(paths, Account("default", "d", "l", "k"))
        assert accounts.retire(paths, "default") == f"_deactivated_default_{number}"
    files.replace(paths.plugins_cfg, b"")
    accounts.save(paths, Account("other", "d", "l", "k"))
    assert accounts.names(paths) == ["other"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "plugins.cfg", "_deactivated_x_0"])
def test_names_that_are_none(paths, name):
    with pytest.raises(UsageError):
        accounts.path(paths, name)


def test_a_missing_account_lists_the_others(paths):
    accounts.save(paths, Account("other", "d", "l", "k"))
    with pytest.raises(NotFound, match="no ACME account named default") as caught:
        accounts.load(paths, "default")
    assert "Accounts: other" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"directory": 1}',
        "rubbish",
        '{"directory": 1, "location": "l", "key": "k"}',
        '{"directory": "d", "location": "l", "key": "k", "account": [1]}',
        '{"directory": "d", "location": "l", "key": "k", "pvefw": "x"}',
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_a_damaged_account_names_its_file(paths, text):
    paths.acme_dir.mkdir(parents=True)
    (paths.acme_dir / "default").write_text(text)
    with pytest.raises(ConfigError, match="priv/acme/default") as caught:
        accounts.load(paths, "default")
    assert "pvefw acme account register default" in caught.value.hint
