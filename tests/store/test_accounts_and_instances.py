"""ACME accounts and plugin instances, in Proxmox VE's files."""

import base64
import json
import stat

import pytest

from pvefw.errors import ConfigError, DigestMismatch, NotFound, UsageError
from pvefw.store import accounts, files, plugin_config
from pvefw.store.accounts import Account
from pvefw.store.plugin_config import PluginInstance

THEIRS = """dns: example_plugin
\tapi ovh
\tdata {data}
\tvalidation-delay 60
\tlater-release kept

"""


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


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"directory": 1}', "rubbish"])
def test_a_damaged_account_names_its_file(paths, text):
    paths.acme_dir.mkdir(parents=True)
    (paths.acme_dir / "default").write_text(text)
    with pytest.raises(ConfigError, match="priv/acme/default"):
        accounts.load(paths, "default")


# --- plugin instances -----------------------------------------------------------------------------


def write(paths, data=b"OVH_AK=abc\nOVH_AS=d=e\n"):
    encoded = base64.urlsafe_b64encode(data).decode().rstrip("=")
    files.replace(paths.plugins_cfg, THEIRS.format(data=encoded).encode(), private=True)


def test_an_instance_of_proxmox_ve(paths):
    write(paths)
    found = plugin_config.load(paths, "example_plugin")
    assert found.api == "ovh"
    assert found.data == {"OVH_AK": "abc", "OVH_AS": "d=e"}
    assert found.validation_delay == 60
    assert "abc" not in repr(found)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["", "="])
def test_every_form_of_base64_is_read(encode, padding):
    data = b"KEY=\xc3\xbc?>~~\n"
    text = encode(data).decode()
    text = text if padding else text.rstrip("=")
    assert plugin_config.decode_data(text, "x") == {"KEY": "ü?>~~"}


def test_standalone_is_always_there(paths):
    [found] = plugin_config.load_all(paths)
    assert (found.id, found.type, found.api) == ("standalone", "standalone", "standalone")


def test_add_change_remove_keep_the_rest(paths):
    write(paths)
    before = paths.plugins_cfg.read_text()
    plugin_config.add(paths, PluginInstance("mine", "dns", "cf", {"K": "v"}, ("pve1",)))
    assert paths.plugins_cfg.read_text().startswith(before)
    changed = PluginInstance("mine", "dns", "cf", {"K": "w"}, disable=True, validation_delay=5)
    plugin_config.change(paths, changed)
    assert plugin_config.load(paths, "mine") == changed
    plugin_config.remove(paths, "mine")
    assert paths.plugins_cfg.read_text().rstrip() == before.rstrip()
    assert stat.S_IMODE(paths.plugins_cfg.stat().st_mode) == 0o600


def test_a_change_keeps_what_we_do_not_know(paths):
    write(paths)
    found = plugin_config.load(paths, "example_plugin")
    plugin_config.change(paths, PluginInstance(found.id, found.type, "hetzner", found.data))
    assert "\tlater-release kept\n" in paths.plugins_cfg.read_text()
    assert "\tapi hetzner\n" in paths.plugins_cfg.read_text()


def test_a_third_partys_type_stays_out_of_their_file(paths):
    write(paths)
    before = paths.plugins_cfg.read_bytes()
    plugin_config.add(paths, PluginInstance("tls", "challenge", "tlsalpn", {"port": "443"}))
    assert paths.plugins_cfg.read_bytes() == before
    assert plugin_config.load(paths, "tls").data == {"port": "443"}
    plugin_config.remove(paths, "tls")
    with pytest.raises(NotFound):
        plugin_config.load(paths, "tls")


def test_ids(paths):
    write(paths)
    with pytest.raises(UsageError, match="is taken"):
        plugin_config.add(paths, PluginInstance("example_plugin", "dns", "cf"))
    with pytest.raises(UsageError, match="is not a plugin instance's id"):
        plugin_config.add(paths, PluginInstance("a b", "dns", "cf"))
    with pytest.raises(NotFound) as caught:
        plugin_config.load(paths, "exmaple")
    assert "example_plugin, standalone" in caught.value.hint


def test_a_digest_guards_a_change(paths):
    write(paths)
    found = plugin_config.load(paths, "example_plugin")
    with pytest.raises(DigestMismatch):
        plugin_config.change(paths, found, expected_digest="0" * 40)
    with pytest.raises(DigestMismatch):
        plugin_config.remove(paths, found.id, expected_digest="0" * 40)


@pytest.mark.parametrize("delay", ["-1", "172801", "soon"])
def test_a_damaged_delay(paths, delay):
    files.replace(paths.plugins_cfg, f"dns: x\n\tapi y\n\tvalidation-delay {delay}\n".encode())
    with pytest.raises(ConfigError, match="dns: x: validation-delay"):
        plugin_config.load_all(paths)
