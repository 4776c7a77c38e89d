"""One set of properties for the administrator, each in the file where it belongs."""

import contextlib
import hashlib
import re
import shutil
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.core.errors import ConfigError, DigestMismatch, NotFound, StoreError, UsageError
from pvefw.store import files, node_settings, oddities, properties
from pvefw.store.node import Node


@pytest.fixture(autouse=True)
def _instances(paths):
    theirs = b"".join(b"dns: %s\n\tapi ovh\n\n" % id_ for id_ in (b"web", b"pp"))
    files.replace(paths.plugins_cfg, theirs, private=True)
    own = b"".join(b"dns: %s\n\tapi mine\n\n" % id_ for id_ in (b"p", b"x", b"p2", b"mine"))
    files.replace(paths.own_plugins_cfg, own, private=True)


def theirs(paths):
    path = paths.node_config()
    return path.read_text() if path.exists() else ""


def ours(paths):
    path = paths.node_pvefw_cfg()
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("key", "value", "in_theirs"),
    [
        ("acmedomain0", "a.example", True),
        ("acmedomain5", "a.example,plugin=web,alias=b.example", True),
        ("acmedomain5", "domain=a.example,alias=_acme-challenge.b.example", True),
        ("acmedomain5", "a.example,plugin=x", False),  # too short for its pve-configid
        ("acmedomain5", "a.example,plugin=mine", False),  # it is in our file
        ("acmedomain0", "_a.example", False),
        ("acmedomain0", "a.example.", False),
        ("acmedomain0", "localhost", False),
        ("acmedomain6", "a.example", False),
        ("acmedomain0", "*.example", False),
        ("acmedomain1", "192.0.2.1", True),
        ("acmedomain1", "2001:db8::1", False),
        ("acmedomain2", "bücher.example", False),
        ("acme", "account=corp,domains=a.example;b.example", True),
        ("acme", "account=corp", True),
        ("acme", "account=a,domains=a.example", False),
        ("acme", "domains=a.example;*.b.example", False),
        ("wakeonlan", "00:11:22:33:44:55,bind-interface=vmbr0", True),
        ("startall-onboot-delay", "300", True),
        ("ballooning-target", "0", True),
        ("key-type", "rsa2048", False),
        ("reload-command", "systemctl reload nginx", False),
        ("resolvers", "127.0.0.1:5353,2001:db8::53,[2001:db8::54]:5353", False),
    ],
)
def test_each_property_goes_where_it_belongs(paths, key, value, in_theirs):
    node_settings.change(paths, {key: value})
    assert Node.open(paths).properties.get(key) == value
    assert (f"{key}: {value}" in theirs(paths)) == in_theirs
    assert (f"{key}: {value}" in ours(paths)) != in_theirs


def test_a_property_that_moves_is_in_one_file_only(paths):
    node_settings.change(paths, {"acmedomain0": "a.example"})
    node_settings.change(paths, {"acmedomain0": "*.example"})
    assert "acmedomain0" not in theirs(paths)
    node_settings.change(paths, {"acmedomain0": "a.example"})
    assert "acmedomain0" not in ours(paths)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acmedomain0", "not a domain"),
        ("acmedomain0", "a.example,plugin=1x"),
        ("acmedomain0", "a.example,nonsense=1"),
        ("acmedomain0", "plugin=x"),
        ("acmedomain0", "a.example,a.example"),
        ("acme", "a.example"),
        ("wakeonlan", "00:11:22:33:44"),
        ("wakeonlan", "mac=00:11:22:33:44:55,broadcast-address=nowhere"),
        ("startall-onboot-delay", "301"),
        ("ballooning-target", "-1"),
        ("key-type", "dsa"),
        ("renew-before", "soon"),
        ("resolvers", "dns.example"),
        ("resolvers", "[::1]:0"),
        ("acmedomain0", "*.192.0.2.1"),
        ("acmedomain0", "a.example,\nplugin=web"),
        ("acmedomain0", "a..example"),
        ("acmedomain0", "a" * 64 + ".example"),
        ("acmedomain0", ""),
        ("ballooning-target", "\u0663"),
        ("reload-command", "true\nkey-type: ec384"),
        ("profile", " "),
    ],
)
def test_a_wrong_value_shows_the_format_and_changes_nothing(paths, key, value):
    with pytest.raises(UsageError, match=f"config set: {key}: ") as caught:
        node_settings.change(paths, {"ballooning-target": "50", key: value})
    assert properties.find(key).format in caught.value.hint
    assert Node.open(paths).properties == {}


def test_an_unknown_property_lists_those_that_are_known(paths):
    with pytest.raises(UsageError, match="acmedomian0 is not a property") as caught:
        node_settings.change(paths, {"acmedomian0": "a.example"})
    assert "wakeonlan" in caught.value.hint


def test_a_name_that_stands_twice_names_both_places(paths):
    node_settings.change(paths, {"acme": "domains=a.example;b.example"})
    with pytest.raises(ConfigError, match=r"b\.example is configured twice: acme and acmedomain7"):
        node_settings.change(paths, {"acmedomain7": "B.Example"})
    assert "acmedomain7" not in Node.open(paths).properties


def test_names_in_order_with_plugin_alias_and_identifier(paths):
    values = {
        "acmedomain10": "*.example,plugin=p2",
        "acmedomain2": "2001:DB8:0::1",
        "acme": "domains=Bücher.example",
        "acmedomain0": "gui.example,alias=alias.example,plugin=p",
    }
    node_settings.change(paths, values)
    found = Node.open(paths).certificate_names()
    assert [(entry.name, entry.plugin, entry.alias, entry.identifier.type) for entry in found] == [
        ("xn--bcher-kva.example", "standalone", "", "dns"),
        ("gui.example", "p", "alias.example", "dns"),
        ("2001:db8::1", "standalone", "", "ip"),
        ("*.example", "p2", "", "dns"),
    ]


def test_a_number_that_proxmox_ve_gave_to_another_name_is_an_error_that_names_both_files(paths):
    node_settings.change(paths, {"acmedomain0": "*.example"})
    paths.node_config().write_text("acmedomain0: gui.example\n")
    with pytest.raises(ConfigError, match=r"acmedomain0 is '\*\.example' in .*pvefw\.cfg and 'gui"):
        Node.open(paths).certificate_names()
    node_settings.change(paths, {"acmedomain0": "gui.example", "acmedomain1": "*.example"})
    found = [name.name for name in Node.open(paths).certificate_names()]
    assert found == ["gui.example", "*.example"]


@pytest.mark.parametrize(
    "line", ["acmedomain0: plugin=web", "acme: nonsense", "acmedomain1: a.example,what=ever"]
)
def test_a_damaged_value_costs_that_property_and_the_warning_shows_the_format(paths, line):
    files.replace(paths.node_config(), f"acmedomain3: b.example\n{line}\n".encode())
    heard = []
    with oddities.listening(heard.append):
        node = Node.open(paths)
        assert [name.name for name in node.certificate_names()] == ["b.example"]
    key, _, _ = line.partition(": ")
    [warning] = heard
    assert warning.startswith(f"{paths.node_config()}:2: {key}: ")
    assert "the format is" in warning
    assert warning.endswith("the property is ignored")
    node_settings.change(paths, {}, [key])
    assert theirs(paths) == "acmedomain3: b.example\n"


def test_what_only_looks_like_a_domain_property_is_left_alone(paths):
    files.replace(paths.node_config(), b"acmedomain: x\nacmedomain07: y\n")
    assert Node.open(paths).certificate_names() == []
    node_settings.change(paths, {"acmedomain0": "a.example"})
    assert theirs(paths) == "acmedomain: x\nacmedomain0: a.example\nacmedomain07: y\n"


def test_names_apart_by_blanks_as_proxmox_ve_reads_them(paths):
    files.replace(paths.node_config(), b"acme: domains=a.example b.example;c.example\n")
    found = [name.name for name in Node.open(paths).certificate_names()]
    assert found == ["a.example", "b.example", "c.example"]


def test_a_value_of_ours_that_is_not_in_its_format_is_ignored(paths):
    files.replace(paths.cluster_pvefw_cfg, b"renew-before: 20\n")
    files.replace(paths.node_pvefw_cfg(), b"\nrenew-before: soon\n")
    heard = []
    with oddities.listening(heard.append):
        assert Node.open(paths).get("renew-before") == "20"
    [warning] = heard
    assert warning.startswith(f"{paths.node_pvefw_cfg()}:2: renew-before: 'soon' is not a whole")
    assert "DAYS" in warning


def test_a_value_that_is_no_text(paths):
    for key in ("description", "profile"):
        with pytest.raises(UsageError, match=f"{key}: the value is not UTF-8 text"):
            node_settings.change(paths, {key: "\udcff"})


def test_our_file_is_private_since_its_sections_may_hold_secrets(paths):
    files.replace(paths.node_pvefw_cfg(), b"guest: g1\n\tdata c2VjcmV0\n", private=True)
    node_settings.change(paths, {"key-type": "ec384"})
    assert stat.S_IMODE(paths.node_pvefw_cfg().stat().st_mode) == 0o600
    assert ours(paths) == "key-type: ec384\n\nguest: g1\n\tdata c2VjcmV0\n"


def writes(monkeypatch, fail_at=None):
    """The files that are written, in order; the n-th write fails."""
    seen = []
    original = files.replace

    def replace(path, data, **options):
        seen.append(path.name)
        if len(seen) == fail_at:
            raise StoreError("no space left on device")
        original(path, data, **options)

    monkeypatch.setattr(files, "replace", replace)
    return seen


MOVES = [
    ({"acmedomain0": "a.example"}, {"acmedomain0": "*.example"}),
    ({"acmedomain0": "*.example"}, {"acmedomain0": "a.example"}),
    (
        {"acmedomain0": "*.example", "acmedomain1": "a.example", "key-type": "ec384"},
        {"acmedomain0": "b.example", "acmedomain1": "*.b.example", "key-type": "rsa2048"},
    ),
]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_change_of_both_files_that_fails_changes_nothing(paths, monkeypatch, before, after):
    node_settings.change(paths, before)
    with monkeypatch.context() as context:
        seen = writes(context)
        node_settings.change(paths, after)
        steps = len(seen)
    assert Node.open(paths).properties == after
    for step in range(1, steps):
        node_settings.change(paths, before)
        with monkeypatch.context() as context:
            writes(context, fail_at=step)
            with pytest.raises(StoreError, match="no space"):
                node_settings.change(paths, after)
        assert Node.open(paths).properties == before


class Stopped(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_property_that_moves_is_never_lost(paths, monkeypatch, before, after):
    """Whichever write is the last one that a process lives to see."""
    for last in range(1, 4):
        node_settings.change(paths, before)
        seen = []
        with monkeypatch.context() as context:
            original = files.replace

            def replace(path, data, last=last, seen=seen, original=original, **options):
                original(path, data, **options)
                seen.append(path)
                if len(seen) == last:
                    raise Stopped

            context.setattr(files, "replace", replace)
            with contextlib.suppress(Stopped):
                node_settings.change(paths, after)
        found = Node.open(paths).properties
        assert all(found[key] in (before[key], after[key]) for key in before)


def test_the_clusters_values_are_defaults(paths):
    paths.cluster_pvefw_cfg.write_text("key-type: ec384\nrenew-before: 20\n")
    node_settings.change(paths, {"key-type": "rsa2048"})
    assert Node.open(paths).properties == {"key-type": "rsa2048", "renew-before": "20"}
    node_settings.change(paths, {}, ["key-type"])
    assert Node.open(paths).properties == {"key-type": "ec384", "renew-before": "20"}
    assert not paths.node_pvefw_cfg().exists()
    with pytest.raises(NotFound, match="the property is set for all nodes"):
        node_settings.change(paths, {}, ["key-type"])


def test_deleting(paths):
    node_settings.change(
        paths, {"acmedomain0": "a.example", "key-type": "ec384", "description": "Rack 7"}
    )
    node_settings.change(paths, {}, ["acmedomain0", "key-type", "description"])
    assert Node.open(paths).properties == {}
    node_settings.change(paths, {}, ["acmedomain0", "description"])  # as the reference: no error
    with pytest.raises(UsageError, match="acmedomian0: there is no such property"):
        node_settings.change(paths, {}, ["acmedomian0"])


def test_a_digest_guards_a_change(paths):
    seen = Node.open(paths).digest
    node_settings.change(paths, {"acmedomain0": "a.example"}, expected_digest=seen)
    with pytest.raises(DigestMismatch):
        node_settings.change(paths, {"acmedomain0": "b.example"}, expected_digest=seen)
    assert Node.open(paths).properties.get("acmedomain0") == "a.example"


def test_the_digest_is_proxmox_ves_where_only_its_file_is_there_and_guards_ours_too(paths):
    node_settings.change(paths, {"acmedomain0": "a.example"})
    seen = Node.open(paths).digest
    assert seen == hashlib.sha1(theirs(paths).encode()).hexdigest()
    node_settings.change(paths, {"key-type": "ec384"})
    with pytest.raises(DigestMismatch):
        node_settings.change(paths, {"key-type": "rsa2048"}, expected_digest=seen)


domain_names = st.from_regex(r"(\*\.)?[a-z]{1,8}(\.[a-z]{2,6}){0,2}", fullmatch=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.integers(0, 12), domain_names, max_size=6).filter(
        lambda found: len(set(found.values())) == len(found)
    ),
    st.data(),
)
def test_whatever_is_set_is_read_again_from_the_file_it_belongs_to(paths, wanted, data):
    shutil.rmtree(paths.root, ignore_errors=True)
    values = {f"acmedomain{number}": name for number, name in wanted.items()}
    node_settings.change(paths, values)
    assert Node.open(paths).properties == values
    assert {name.name for name in Node.open(paths).certificate_names()} == set(wanted.values())
    for line in theirs(paths).splitlines():
        assert re.fullmatch(r"acmedomain[0-5]: [a-z]+(\.[a-z]+)+", line)
    gone = data.draw(st.sets(st.sampled_from(sorted(values)))) if values else set()
    node_settings.change(paths, {}, sorted(gone))
    assert Node.open(paths).properties == {key: values[key] for key in values if key not in gone}


@pytest.mark.parametrize("text", ["one\ntwo\n\nfour", "☎ 100% : #", "trailing\n", "\tindented"])
def test_descriptions(paths, text):
    node_settings.change(paths, {"description": text, "ballooning-target": "7"})
    assert Node.open(paths).properties.get("description").removesuffix("\n") == text.removesuffix(
        "\n"
    )
    assert theirs(paths).startswith("#")
    assert theirs(paths).endswith("ballooning-target: 7\n")
