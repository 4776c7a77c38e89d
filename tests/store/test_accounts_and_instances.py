"""ACME accounts and plugin instances, in Proxmox VE's files."""

import base64
import json
import stat
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.core.errors import ConfigError, DigestMismatch, Locked, NotFound, StoreError, UsageError
from pvefw.store import accounts, files, locks, plugin_config
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
    plugin_config.change(paths, "mine", lambda _old: changed)
    assert plugin_config.load(paths, "mine") == changed
    plugin_config.remove(paths, "mine")
    assert paths.plugins_cfg.read_text().rstrip() == before.rstrip()
    assert stat.S_IMODE(paths.plugins_cfg.stat().st_mode) == 0o600


def test_a_change_keeps_what_we_do_not_know(paths):
    write(paths)
    before = paths.plugins_cfg.read_text()
    plugin_config.change(paths, "example_plugin", lambda old: replace(old, api="hetzner"))
    assert paths.plugins_cfg.read_text() == before.replace("api ovh", "api hetzner")


def test_what_is_not_changed_keeps_its_form(paths):
    padded = base64.b64encode(b"# note\n\nOVH_AK = abc\n").decode()
    text = f"dns: web\n\tapi ovh\n\tdata {padded}\n\tnodes pve1, pve2\n\tvalidation-delay 30\n\n"
    files.replace(paths.plugins_cfg, text.encode(), private=True)
    plugin_config.change(paths, "web", lambda old: replace(old, disable=True))
    expected = text.replace("\tvalidation-delay 30\n", "\tvalidation-delay 30\n\tdisable 1\n")
    assert paths.plugins_cfg.read_text() == expected
    found = plugin_config.load(paths, "web")
    assert (found.nodes, found.data, found.disable) == (("pve1", "pve2"), {"OVH_AK": "abc"}, True)


def test_a_flag_without_a_value_is_set(paths):
    files.replace(paths.plugins_cfg, b"dns: web\n\tapi ovh\n\tdisable\n")
    assert plugin_config.load(paths, "web").disable


@pytest.mark.parametrize("data", ["@@@", "abc", "w7w=", "/w==", "ü"])
def test_one_damaged_instance_is_in_nobody_elses_way(paths, data):
    text = f"dns: bad1\n\tapi x\n\tdata {data}\n\ndns: good\n\tapi y\n"
    files.replace(paths.plugins_cfg, text.encode())
    with pytest.raises(ConfigError, match="dns: bad1: "):
        plugin_config.load(paths, "bad1")
    assert plugin_config.load(paths, "good").api == "y"
    plugin_config.add(paths, PluginInstance("other", "dns", "cf"))
    plugin_config.remove(paths, "bad1")
    assert [one.id for one in plugin_config.load_all(paths)] == ["good", "other", "standalone"]


def test_a_third_partys_type_stays_out_of_their_file(paths):
    write(paths)
    before = paths.plugins_cfg.read_bytes()
    plugin_config.add(paths, PluginInstance("tls", "challenge", "tlsalpn", {"port": "443"}))
    assert paths.plugins_cfg.read_bytes() == before
    assert plugin_config.load(paths, "tls").data == {"port": "443"}
    plugin_config.remove(paths, "tls")
    with pytest.raises(NotFound):
        plugin_config.load(paths, "tls")


# what Proxmox VE's schema has a place for, and what not


def known_apis(paths, *names):
    """As on a Proxmox VE host."""
    files.replace(paths.pve_dns_apis, json.dumps({name: {"fields": {}} for name in names}).encode())


@pytest.mark.parametrize(
    ("instance", "in_theirs"),
    [
        (PluginInstance("web", "standalone", "standalone", nodes=("pve1",), disable=True), True),
        (PluginInstance("web", "standalone", "standalone", {"port": "81"}), False),
        (PluginInstance("web", "standalone", "standalone", validation_delay=5), False),
        (PluginInstance("web", "dns", "ovh", {"OVH_AK": "x"}, validation_delay=5), True),
        (PluginInstance("web", "dns", "acmesh/hetzner", {"K": "x"}), False),
        (PluginInstance("w", "dns", "ovh"), False),
        (PluginInstance("web", "challenge", "tlsalpn"), False),
    ],
)
def test_an_instance_goes_where_proxmox_ve_does_not_stumble_over_it(paths, instance, in_theirs):
    known_apis(paths, "ovh", "cf")
    plugin_config.add(paths, instance)
    home, other = paths.plugins_cfg, paths.own_plugins_cfg
    if not in_theirs:
        home, other = other, home
    assert f"{instance.type}: {instance.id}\n" in home.read_text()
    assert not other.exists()
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    assert plugin_config.load(paths, instance.id) == instance
    plugin_config.remove(paths, instance.id)
    assert home.read_bytes() == b""


def test_an_instance_moves_with_its_notes_and_unknown_properties(paths):
    text = "dns: web\n\tapi ovh\n\t# note\n\tlater kept\n\n# about next\ndns: next\n\tapi cf\n"
    files.replace(paths.plugins_cfg, text.encode(), private=True)
    known_apis(paths, "ovh", "cf")
    plugin_config.change(paths, "web", lambda old: replace(old, api="exec"))
    assert paths.plugins_cfg.read_text() == "# about next\ndns: next\n\tapi cf\n"
    moved = "dns: web\n\tapi exec\n\t# note\n\tlater kept\n\n"
    assert paths.own_plugins_cfg.read_text() == moved
    plugin_config.change(paths, "web", lambda old: replace(old, api="cf"))
    assert paths.own_plugins_cfg.read_bytes() == b""
    assert moved.replace("exec", "cf") in paths.plugins_cfg.read_text()


@pytest.mark.parametrize(("before", "after"), [("ovh", "exec"), ("exec", "ovh")])
@pytest.mark.parametrize("last", [1, 2])
def test_an_instance_that_moves_is_never_lost(paths, monkeypatch, before, after, last):
    known_apis(paths, "ovh")
    plugin_config.add(paths, PluginInstance("web", "dns", before))
    original, seen = files.replace, []

    def replace_and_stop(path, data, **options):
        seen.append(path)
        if len(seen) == last:
            raise StoreError("no space left on device")
        original(path, data, **options)

    with monkeypatch.context() as context:
        context.setattr(files, "replace", replace_and_stop)
        with pytest.raises(StoreError):
            plugin_config.change(paths, "web", lambda old: replace(old, api=after))
    assert plugin_config.load(paths, "web").api in (before, after)
    plugin_config.change(paths, "web", lambda old: replace(old, api=after))
    assert plugin_config.load(paths, "web").api == after
    held = [b"dns: web" in (files.read_if_exists(one) or b"") for one in both(paths)]
    assert held == [after == "ovh", after == "exec"]


def both(paths):
    return paths.plugins_cfg, paths.own_plugins_cfg


def test_standalone_has_settings_whatever_proxmox_ve_writes_of_it(paths):
    change = partial(plugin_config.change, paths, "standalone")
    change(lambda old: replace(old, data={"port": "81"}))
    files.replace(paths.plugins_cfg, b"standalone: standalone\n\n", private=True)
    assert plugin_config.load(paths, "standalone").data == {"port": "81"}
    change(lambda old: replace(old, data={}, disable=True))
    assert plugin_config.load(paths, "standalone").data == {}
    assert paths.plugins_cfg.read_text() == "standalone: standalone\n\tdisable 1\n\n"
    plugin_config.remove(paths, "standalone")
    assert plugin_config.load(paths, "standalone") == PluginInstance(
        "standalone", "standalone", "standalone"
    )


def test_a_damaged_list_of_apis_is_an_error(paths):
    files.replace(paths.pve_dns_apis, b"[1]")
    with pytest.raises(ConfigError, match="dns-challenge-schema"):
        plugin_config.add(paths, PluginInstance("web", "dns", "ovh"))


def test_a_change_sees_what_another_has_just_changed(paths):
    """The new instance is made of the old one while the lock is held."""
    write(paths)

    def refuse_others(old):
        with (
            pytest.raises(Locked),
            locks.cluster_lock(paths, "file-priv_acme_plugins_cfg", timeout=0),
        ):
            pass
        return replace(old, disable=True)

    plugin_config.change(paths, "example_plugin", refuse_others)
    assert plugin_config.load(paths, "example_plugin").disable


lines = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20
)
data_keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(st.dictionaries(data_keys, lines, max_size=5))
def test_data_is_read_as_it_was_written(values):
    assert plugin_config.decode_data(plugin_config.encode_data(values), "x") == values


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
    seen = plugin_config.digest(paths)
    assert seen == files.digest(paths.plugins_cfg.read_bytes())
    plugin_config.add(paths, PluginInstance("tls", "challenge", "tlsalpn"))
    with pytest.raises(DigestMismatch):
        plugin_config.change(paths, "example_plugin", lambda old: old, expected_digest=seen)
    with pytest.raises(DigestMismatch):
        plugin_config.remove(paths, "tls", expected_digest=seen)
    plugin_config.remove(paths, "tls", expected_digest=plugin_config.digest(paths))


@pytest.mark.parametrize("delay", ["-1", "172801", "soon"])
def test_a_damaged_delay(paths, delay):
    files.replace(paths.plugins_cfg, f"dns: x\n\tapi y\n\tvalidation-delay {delay}\n".encode())
    with pytest.raises(ConfigError, match="dns: x: validation-delay"):
        plugin_config.load_all(paths)
