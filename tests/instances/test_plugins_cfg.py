"""Instances that answer challenges, in Proxmox VE's file and in ours beside it."""

import base64
import json
import stat
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw import instances
from pvefw.core.errors import ConfigError, DigestMismatch, Locked, NotFound, StoreError, UsageError
from pvefw.instances import Instance
from pvefw.instances.codec import decode_data, encode_data
from pvefw.store import files, locks, oddities
from pvefw.store.node import Node

THEIRS = """dns: example_plugin
\tapi ovh
\tdata {data}
\tvalidation-delay 60
\tlater-release kept

"""


@pytest.fixture(autouse=True)
def _plugins_are_not_asked(monkeypatch):
    """What is written where is the same for every plugin, and most of these do not exist."""
    monkeypatch.setattr(instances, "_check", lambda _paths, _instance: None)


def write(paths, data=b"OVH_AK=abc\nOVH_AS=d=e\n"):
    encoded = base64.urlsafe_b64encode(data).decode().rstrip("=")
    files.replace(paths.plugins_cfg, THEIRS.format(data=encoded).encode(), private=True)


def test_an_instance_of_proxmox_ve(paths):
    write(paths)
    found = instances.load(Node.open(paths), "dns", "example_plugin")
    assert found.plugin == "ovh"
    assert found.settings == {"OVH_AK": "abc", "OVH_AS": "d=e"}
    assert found.validation_delay == 60
    assert "abc" not in repr(found)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["", "="])
def test_every_form_of_base64_is_read(encode, padding):
    data = b"KEY=\xc3\xbc?>~~\n"
    text = encode(data).decode()
    text = text if padding else text.rstrip("=")
    assert decode_data(text) == {"KEY": "ü?>~~"}


def test_standalone_is_always_there(paths):
    [found] = instances.load_all(Node.open(paths), "dns", "challenge")
    assert (found.id, found.type, found.plugin) == ("standalone", "standalone", "standalone")


def test_add_change_remove_keep_the_rest(paths):
    write(paths)
    before = paths.plugins_cfg.read_text()
    instances.add(paths, Instance("dns", "mine", "cf", {"K": "v"}, ("pve1",)))
    assert paths.plugins_cfg.read_text().startswith(before)
    changed = Instance("dns", "mine", "cf", {"K": "w"}, disabled=True, validation_delay=5)
    instances.change(paths, "dns", "mine", lambda _old: changed)
    assert instances.load(Node.open(paths), "dns", "mine") == changed
    instances.remove(paths, "dns", "mine")
    assert paths.plugins_cfg.read_text().rstrip() == before.rstrip()
    assert stat.S_IMODE(paths.plugins_cfg.stat().st_mode) == 0o600


def test_a_change_keeps_what_we_do_not_know(paths):
    write(paths)
    before = paths.plugins_cfg.read_text()
    instances.change(paths, "dns", "example_plugin", lambda old: replace(old, plugin="rfc2136"))
    assert paths.plugins_cfg.read_text() == before.replace("api ovh", "api rfc2136")


def test_what_is_not_changed_keeps_its_form(paths):
    padded = base64.b64encode(b"# note\n\nOVH_AK = abc\n").decode()
    text = f"dns: web\n\tapi ovh\n\tdata {padded}\n\tnodes pve1, pve2\n\tvalidation-delay 30\n\n"
    files.replace(paths.plugins_cfg, text.encode(), private=True)
    instances.change(paths, "dns", "web", lambda old: replace(old, disabled=True))
    expected = text.replace("\tvalidation-delay 30\n", "\tvalidation-delay 30\n\tdisable 1\n")
    assert paths.plugins_cfg.read_text() == expected
    found = instances.load(Node.open(paths), "dns", "web")
    assert (found.nodes, found.settings, found.disabled) == (
        ("pve1", "pve2"),
        {"OVH_AK": "abc"},
        True,
    )


def test_a_flag_without_a_value_is_set(paths):
    files.replace(paths.plugins_cfg, b"dns: web\n\tapi ovh\n\tdisable\n")
    assert instances.load(Node.open(paths), "dns", "web").disabled


@pytest.mark.parametrize("data", ["@@@", "abc", "w7w=", "/w==", "ü"])
def test_one_damaged_instance_is_in_nobody_elses_way(paths, data):
    text = f"dns: bad1\n\tapi x\n\tdata {data}\n\ndns: good\n\tapi y\n"
    files.replace(paths.plugins_cfg, text.encode())
    with pytest.raises(ConfigError, match=r"plugins\.cfg:1: dns: bad1: .*data"):
        instances.bind(Node.open(paths), instances.load(Node.open(paths), "dns", "bad1"))
    assert instances.load(Node.open(paths), "dns", "good").plugin == "y"
    instances.add(paths, Instance("dns", "other", "cf"))
    instances.remove(paths, "dns", "bad1")
    assert [
        instance.id for instance in instances.load_all(Node.open(paths), "dns", "challenge")
    ] == [
        "good",
        "other",
        "standalone",
    ]


def test_a_third_partys_type_stays_out_of_their_file(paths):
    write(paths)
    before = paths.plugins_cfg.read_bytes()
    instances.add(paths, Instance("challenge", "tls", "tlsalpn", {"port": "443"}))
    assert paths.plugins_cfg.read_bytes() == before
    assert instances.load(Node.open(paths), "dns", "tls").settings == {"port": "443"}
    instances.remove(paths, "dns", "tls")
    with pytest.raises(NotFound):
        instances.load(Node.open(paths), "dns", "tls")


# what Proxmox VE's schema has a place for, and what not


def known_apis(paths, *names):
    """As on a Proxmox VE host."""
    files.replace(paths.pve_dns_apis, json.dumps({name: {"fields": {}} for name in names}).encode())


@pytest.mark.parametrize(
    ("instance", "in_theirs"),
    [
        (Instance("challenge", "web", "standalone", nodes=("pve1",), disabled=True), True),
        (Instance("challenge", "web", "standalone", {"port": "81"}), False),
        (Instance("challenge", "web", "standalone", validation_delay=5), False),
        (Instance("dns", "web", "ovh", {"OVH_AK": "x"}, validation_delay=5), True),
        (Instance("dns", "web", "acmesh/hetzner", {"K": "x"}), False),
        (Instance("dns", "w", "ovh"), False),
        (Instance("challenge", "web", "tlsalpn"), False),
    ],
)
def test_an_instance_goes_where_proxmox_ve_does_not_stumble_over_it(paths, instance, in_theirs):
    known_apis(paths, "ovh", "cf")
    instances.add(paths, instance)
    home, other = paths.plugins_cfg, paths.own_plugins_cfg
    if not in_theirs:
        home, other = other, home
    assert f"{instance.type}: {instance.id}\n" in home.read_text()
    assert not other.exists()
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    assert instances.load(Node.open(paths), "dns", instance.id) == instance
    instances.remove(paths, "dns", instance.id)
    assert home.read_bytes() == b""


def test_an_instance_moves_with_its_notes_and_unknown_properties(paths):
    text = "dns: web\n\tapi ovh\n\t# note\n\tlater kept\n\n# about next\ndns: next\n\tapi cf\n"
    files.replace(paths.plugins_cfg, text.encode(), private=True)
    known_apis(paths, "ovh", "cf")
    instances.change(paths, "dns", "web", lambda old: replace(old, plugin="exec"))
    assert paths.plugins_cfg.read_text() == "# about next\ndns: next\n\tapi cf\n"
    moved = "dns: web\n\tapi exec\n\t# note\n\tlater kept\n\n"
    assert paths.own_plugins_cfg.read_text() == moved
    instances.change(paths, "dns", "web", lambda old: replace(old, plugin="cf"))
    assert paths.own_plugins_cfg.read_bytes() == b""
    assert moved.replace("exec", "cf") in paths.plugins_cfg.read_text()


@pytest.mark.parametrize(("before", "after"), [("ovh", "exec"), ("exec", "ovh")])
@pytest.mark.parametrize("last", [1, 2])
def test_an_instance_that_moves_is_never_lost(paths, monkeypatch, before, after, last):
    known_apis(paths, "ovh")
    instances.add(paths, Instance("dns", "web", before))
    original, seen = files.replace, []

    def replace_and_stop(path, data, **options):
        seen.append(path)
        if len(seen) == last:
            raise StoreError("no space left on device")
        original(path, data, **options)

    with monkeypatch.context() as context:
        context.setattr(files, "replace", replace_and_stop)
        with pytest.raises(StoreError):
            instances.change(paths, "dns", "web", lambda old: replace(old, plugin=after))
    assert instances.load(Node.open(paths), "dns", "web").plugin in (before, after)
    instances.change(paths, "dns", "web", lambda old: replace(old, plugin=after))
    assert instances.load(Node.open(paths), "dns", "web").plugin == after
    held = [b"dns: web" in (files.read_if_exists(path) or b"") for path in both(paths)]
    assert held == [after == "ovh", after == "exec"]


def both(paths):
    return paths.plugins_cfg, paths.own_plugins_cfg


def test_standalone_has_settings_whatever_proxmox_ve_writes_of_it(paths):
    change = partial(instances.change, paths, "dns", "standalone")
    change(lambda old: replace(old, settings={"port": "81"}))
    files.replace(paths.plugins_cfg, b"standalone: standalone\n\n", private=True)
    assert instances.load(Node.open(paths), "dns", "standalone").settings == {"port": "81"}
    change(lambda old: replace(old, settings={}, disabled=True))
    assert instances.load(Node.open(paths), "dns", "standalone").settings == {}
    assert paths.plugins_cfg.read_text() == "standalone: standalone\n\tdisable 1\n\n"
    instances.remove(paths, "dns", "standalone")
    assert instances.load(Node.open(paths), "dns", "standalone") == Instance(
        "challenge", "standalone", "standalone"
    )


def test_an_instance_that_gets_a_plugin_of_another_type_changes_its_header(paths):
    files.replace(paths.plugins_cfg, b"standalone: mine\n\tnodes pve1\n", private=True)
    instances.change(paths, "challenge", "mine", lambda old: replace(old, plugin="tls-alpn"))
    assert b"mine" not in paths.plugins_cfg.read_bytes()
    found = instances.load(Node.open(paths), "challenge", "mine")
    assert (found.plugin, found.nodes) == ("tls-alpn", ("pve1",))
    assert paths.own_plugins_cfg.read_bytes().startswith(b"challenge: mine\n")
    instances.change(paths, "challenge", "mine", lambda old: replace(old, plugin="standalone"))
    assert b"standalone: mine\n\tnodes pve1\n" in paths.plugins_cfg.read_bytes()
    assert b"mine" not in paths.own_plugins_cfg.read_bytes()


def test_with_a_damaged_list_of_apis_an_instance_goes_where_proxmox_ve_does_not_stumble(paths):
    files.replace(paths.pve_dns_apis, b"[1]")
    heard = []
    with oddities.listening(heard.append):
        instances.add(paths, Instance("dns", "web", "ovh"))
    assert "dns-challenge-schema" in heard[0]
    assert b"dns: web" in paths.own_plugins_cfg.read_bytes()
    assert not paths.plugins_cfg.exists()


def test_a_change_sees_what_another_has_just_changed(paths):
    """The new instance is made of the old one while the lock is held."""
    write(paths)

    def refuse_others(old):
        with (
            pytest.raises(Locked),
            locks.cluster_lock(paths, "file-priv_acme_plugins_cfg", timeout=0),
        ):
            pass
        return replace(old, disabled=True)

    instances.change(paths, "dns", "example_plugin", refuse_others)
    assert instances.load(Node.open(paths), "dns", "example_plugin").disabled


lines = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20
)
data_keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@given(st.dictionaries(data_keys, lines, max_size=5))
def test_data_is_read_as_it_was_written(values):
    assert decode_data(encode_data(values)) == values


def test_ids(paths):
    write(paths)
    with pytest.raises(UsageError, match="is taken"):
        instances.add(paths, Instance("dns", "example_plugin", "cf"))
    with pytest.raises(UsageError, match="is not the id of a plugin instance"):
        instances.add(paths, Instance("dns", "a b", "cf"))
    with pytest.raises(NotFound) as caught:
        instances.load(Node.open(paths), "dns", "exmaple")
    assert "example_plugin, standalone" in caught.value.hint


def test_a_digest_guards_a_change(paths):
    write(paths)
    seen = instances.digest(Node.open(paths), "dns")
    assert seen == files.digest(paths.plugins_cfg.read_bytes())
    instances.add(paths, Instance("challenge", "tls", "tlsalpn"))
    with pytest.raises(DigestMismatch):
        instances.change(paths, "dns", "example_plugin", lambda old: old, expected_digest=seen)
    with pytest.raises(DigestMismatch):
        instances.remove(paths, "dns", "tls", expected_digest=seen)
    instances.remove(paths, "dns", "tls", expected_digest=instances.digest(Node.open(paths), "dns"))


@pytest.mark.parametrize("delay", ["-1", "172801", "soon"])
def test_a_damaged_delay(paths, delay):
    files.replace(paths.plugins_cfg, f"dns: x\n\tapi y\n\tvalidation-delay {delay}\n".encode())
    with pytest.raises(ConfigError, match="dns: x: validation-delay"):
        instances.bind(Node.open(paths), instances.load(Node.open(paths), "dns", "x"))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"DNS: mine", "1: 'DNS: mine' is of no known type; it is ignored: sections are "),
        (b"\xef\xbb\xbfdns: mine", "1: a byte order mark hides 'dns: mine'; it is ignored: "),
    ],
)
def test_a_section_of_no_known_type_is_said_and_kept(paths, first, said):
    """Proxmox VE leaves it out with a warning, too; without one, the instance was just not there."""
    paths.plugins_cfg.parent.mkdir(parents=True, exist_ok=True)
    paths.plugins_cfg.write_bytes(first + b"\n\tapi ovh\n\nstandalone: other\n\n")
    heard = []
    with oddities.listening(heard.append):
        instances.load_all(Node.open(paths), "dns")
    assert [warning for warning in heard if said in warning], heard
