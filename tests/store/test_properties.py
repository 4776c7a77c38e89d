"""Every property over its whole format: what is in it is kept, what is not is refused and shown it.

``PVE`` is Proxmox VE's side, written down from its API schema (``PUT /nodes/{node}/config``): whatever
lies in its file has to pass it.
"""

import ipaddress
import re
import shutil
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pvefw.core.errors import ConfigError, UsageError
from pvefw.store import files, host_names, node_settings, properties
from pvefw.store.node import Node
from pvefw.store.node_config import NodeConfig

HEX = "0123456789abcdefABCDEF"
LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?"

# --- values in their formats ------------------------------------------------------------------------

names = st.from_regex(
    rf"(?:\*\.)?{LABEL}(?:\.{LABEL}){{0,3}}", fullmatch=True, alphabet=st.characters(codec="ascii")
)
names = names.filter(lambda name: not host_names.is_address(name.removeprefix("*.")))
addresses = st.ip_addresses().map(str)
international = st.sampled_from(
    ["bücher.example", "παράδειγμα.example", "例え.テスト", "*.bücher.example"]
)
ids = st.sampled_from(["standalone", "p1", "ovh-x", "A_b", "mine"])
"""Of plugin instances: ``mine`` is in our own file, the others are in Proxmox VE's."""
accounts = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,12}", fullmatch=True)
octets = st.text(HEX, min_size=2, max_size=2)
macs = st.lists(octets, min_size=6, max_size=6).map(":".join)
macs = macs.filter(lambda mac: int(mac[:2], 16) % 2 == 0)
interfaces = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,14}", fullmatch=True)


def parts(first, **others):
    """``[KEY=]VALUE`` and some of the others, in any order, perhaps with blank parts between."""
    key, values = first
    head = st.tuples(st.sampled_from(["", f"{key}="]), values).map("".join)
    rest = [st.none() | values.map(f"{name}={{}}".format) for name, values in others.items()]

    def joined(found):
        given_, blanks = found
        return ("," + "," * blanks).join(part for part in given_ if part)

    return st.tuples(st.tuples(head, *rest).flatmap(st.permutations), st.integers(0, 1)).map(joined)


VALUES = {
    "wakeonlan": parts(
        ("mac", macs),
        **{"bind-interface": interfaces, "broadcast-address": st.ip_addresses(v=4).map(str)},
    ),
    "acmedomain0": parts(("domain", names | addresses | international), plugin=ids, alias=names),
    "acmedomain999": parts(("domain", names | addresses | international), plugin=ids, alias=names),
    "acme": st.one_of(
        accounts.map("account={}".format),
        st.lists(names | addresses, min_size=1, max_size=8, unique_by=str.lower)
        .filter(lambda found: len({same(name) for name in found}) == len(found))
        .map(lambda found: "domains=" + ";".join(found)),
    ),
    "startall-onboot-delay": st.integers(0, 300).map(str),
    "ballooning-target": st.integers(0, 100).map(str),
}


def begin(paths):
    """A tree with nothing in it but plugin instances."""
    shutil.rmtree(paths.root, ignore_errors=True)
    theirs = b"".join(b"dns: %s\n\tapi ovh\n\n" % id_ for id_ in (b"p1", b"ovh-x", b"A_b"))
    files.replace(paths.plugins_cfg, theirs, private=True)
    files.replace(paths.own_plugins_cfg, b"dns: mine\n\tapi hetzner\n", private=True)


def same(name):
    return str(ipaddress.ip_address(name)) if host_names.is_address(name) else name.lower()


# --- Proxmox VE's side --------------------------------------------------------------------------------

_PVE_DOMAIN = r"[a-zA-Z0-9][a-zA-Z0-9-]*(?:\.[a-zA-Z0-9][a-zA-Z0-9-]*)+"
_PVE_ID = r"[a-zA-Z][a-zA-Z0-9_-]+"
_PVE_PARTS = {
    "account": _PVE_ID,
    "domains": rf"(?:{_PVE_DOMAIN})?(?:[;\s]+{_PVE_DOMAIN})*",
    "domain": _PVE_DOMAIN,
    "plugin": "standalone|p1|ovh-x|A_b",
    "alias": r"[a-zA-Z0-9_][a-zA-Z0-9_-]*(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]*)+",
    "mac": r"[0-9a-fA-F][02468aceACE](?::[0-9a-fA-F]{2}){5}",
    "bind-interface": r"[a-zA-Z][a-zA-Z0-9_]{1,20}(?:[:.][0-9]+)?",
    "broadcast-address": r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.|$)){4}",
}
_PVE_DEFAULT = {"wakeonlan": "mac"} | {f"acmedomain{n}": "domain" for n in range(6)}
_PVE_RANGES = {"startall-onboot-delay": 300, "ballooning-target": 100}


def pve_reads(text):
    """The properties of a node configuration, or AssertionError where Proxmox VE would refuse it."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        key, _, value = line.partition(": ")
        assert key not in found
        found[key] = value
        if key in _PVE_RANGES:
            assert re.fullmatch(r"\d+", value)
            assert int(value) <= _PVE_RANGES[key]
            continue
        assert key == "acme" or key in _PVE_DEFAULT, key
        seen = set()
        for part in filter(str.strip, value.split(",")):
            name, equals, said = part.partition("=")
            if not equals:
                name, said = _PVE_DEFAULT[key], part
            assert name not in seen
            seen.add(name)
            assert re.fullmatch(_PVE_PARTS[name], said), part
    return found


# --- in its format --------------------------------------------------------------------------------------

fresh = settings(
    max_examples=settings.default.max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@fresh
@given(st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key])))
@example(("wakeonlan", "00:11:22:33:44:55,bind-interface=br-lan"))
@example(("acmedomain0", "1.2.3"))
def test_what_is_in_the_format_is_kept_and_proxmox_ve_never_stumbles(paths, setting):
    key, value = setting
    begin(paths)
    node_settings.change(paths, {key: value})
    assert Node.open(paths).properties.get(key) == value
    there = paths.node_config().read_text() if paths.node_config().exists() else ""
    assert key in {**pve_reads(there), **_ours(paths)}
    node_settings.change(paths, {}, [key])
    assert Node.open(paths).properties == {}


def _ours(paths):
    path = paths.node_pvefw_cfg()
    return NodeConfig.parse(path.read_bytes(), "ours").values if path.exists() else {}


def shown(description):
    """Notes as they are shown: their lines may have been ended as on other systems."""
    return "\n".join(line.removesuffix("\r") for line in description.split("\n"))


@fresh
@given(st.fixed_dictionaries({}, optional=VALUES), st.text(st.characters(codec="utf-8")))
@example({}, "\n")
@example({}, "one\r\ntwo\r")
def test_everything_together(paths, values, description):
    begin(paths)
    wanted = {**values, **({"description": description} if description else {})}
    try:
        node_settings.change(paths, wanted)
    except ConfigError as error:
        assume("configured twice" not in error.message)  # two properties drew the same name
        raise
    found = Node.open(paths).properties
    said = found.pop("description", "").removesuffix("\n")
    assert said == shown(description).removesuffix("\n")
    assert found == values
    if paths.node_config().exists():
        pve_reads(paths.node_config().read_text())


# --- not in its format ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wakeonlan", "01:00:5e:00:00:01"),  # a group
        ("wakeonlan", "ff:ff:ff:ff:ff:ff"),
        ("wakeonlan", "00-11-22-33-44-55"),
        ("wakeonlan", "00:11:22:33:44:5g"),
        ("wakeonlan", "bind-interface=vmbr0"),
        ("wakeonlan", "00:11:22:33:44:55,bind-interface=name-of-16-chars"),
        ("wakeonlan", "00:11:22:33:44:55,bind-interface=a/b"),
        ("wakeonlan", "00:11:22:33:44:55,broadcast-address=2001:db8::1"),
        ("wakeonlan", "00:11:22:33:44:55,broadcast-address=10.0.0.256"),
        ("wakeonlan", "00:11:22:33:44:55,port=7"),
        ("wakeonlan", "00:11:22:33:44:55,mac=00:11:22:33:44:55"),
        ("startall-onboot-delay", "-0"),
        ("startall-onboot-delay", "1.5"),
        ("startall-onboot-delay", "1e2"),
        ("ballooning-target", "101"),
        ("ballooning-target", "80%"),
        ("acme", "account=1st"),
        ("acme", "domains=*"),
        ("acme", "domains=a.example;*.*.example"),
        ("acmedomain3", "a.*.example"),
        ("acmedomain3", "*"),
        ("acmedomain3", "10.0.0.0/8"),
        ("acmedomain3", "a.example:443"),
        ("acmedomain3", "https://a.example"),
    ],
)
def test_what_is_not_in_the_format_is_refused_and_shows_it(paths, key, value):
    with pytest.raises(UsageError, match=f"config set: {key}: ") as caught:
        node_settings.change(paths, {key: value})
    assert caught.value.hint == f"The format is: {properties.find(key).format}"
    assert Node.open(paths).properties == {}


@fresh
@given(st.sampled_from(sorted(VALUES)), st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_taken_as_it_is_or_refused_with_the_format(paths, key, text):
    begin(paths)
    try:
        node_settings.change(paths, {key: text})
    except UsageError as error:
        assert properties.find(key).format in error.hint
        assert Node.open(paths).properties == {}
    except ConfigError as error:
        assert "configured twice" in error.message
    else:
        assert Node.open(paths).properties == {key: text.strip()}


def test_a_description_of_proxmox_ves_longest_and_one_more(paths):
    node_settings.change(paths, {"description": "☎" * 65536})
    with pytest.raises(UsageError, match="description: it has 65537 characters") as caught:
        node_settings.change(paths, {"description": "☎" * 65537})
    assert "65536" in caught.value.hint
    assert Node.open(paths).properties == {"description": "☎" * 65536 + "\n"}


def test_a_name_that_stands_twice_in_one_property_says_so(paths):
    with pytest.raises(ConfigError, match=r"a\.example is configured twice in acme"):
        node_settings.change(paths, {"acme": "domains=a.example;A.Example."})


# --- a file that Proxmox VE wrote -----------------------------------------------------------------------


def pve_writes(values, description):
    """A node configuration as its writer makes it: notes first, its own escapes, sorted keys."""
    notes = (
        [f"#{quote(line, safe=_PLAIN)}\n" for line in description.split("\n")]
        if description
        else []
    )
    return "".join([*notes, *(f"{key}: {value}\n" for key, value in sorted(values.items()))])


_PLAIN = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) not in "%:")

pve_values = st.fixed_dictionaries(
    {},
    optional={
        "acme": st.just("account=default,domains=a.example;b.example"),
        "acmedomain0": st.just("gui.example,plugin=p1"),
        "acmedomain5": st.just("domain=c.example,,alias=_x.d.example"),
        "ballooning-target": st.integers(0, 100).map(str),
        "wakeonlan": st.just("00:11:22:33:44:55,bind-interface=vmbr0"),
        "of-a-later-release": st.just("kept=as,it=is"),
    },
)


@fresh
@given(pve_values, st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])))
@example({}, "\n")
@example({}, "one\r\ntwo\r")
def test_a_file_of_proxmox_ves_is_read_whole_and_a_change_leaves_the_rest(
    paths, values, description
):
    begin(paths)
    text = pve_writes(values, description)
    paths.node_config().parent.mkdir(parents=True)
    paths.node_config().write_text(text, newline="")
    found = Node.open(paths).properties
    assert found.pop("description", "").removesuffix("\n") == shown(description)
    assert found == values
    assert NodeConfig.parse(text.encode(), "x").render() == text.encode()
    node_settings.change(paths, {"startall-onboot-delay": "7"})
    lines = paths.node_config().read_bytes().split(b"\n")
    lines.remove(b"startall-onboot-delay: 7")
    assert "\n".join(line.decode() for line in lines).removesuffix("\n") == text.removesuffix("\n")
    notes = [line[1:] for line in text.split("\n") if line.startswith("#")]
    assert "\n".join(map(unquote, notes)) == description
