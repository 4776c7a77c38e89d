"""One set of properties for the administrator, each in the file where it belongs."""

import pytest

from pvefw.errors import ConfigError, DigestMismatch, NotFound, UsageError
from pvefw.store import node_settings, properties


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
        ("acmedomain5", "a.example,plugin=x,alias=b.example", True),
        ("acmedomain6", "a.example", False),
        ("acmedomain0", "*.example", False),
        ("acmedomain1", "192.0.2.1", False),
        ("acmedomain1", "2001:db8::1", False),
        ("acmedomain2", "bücher.example", False),
        ("acme", "account=a,domains=a.example;b.example", True),
        ("acme", "domains=a.example;*.b.example", False),
        ("wakeonlan", "00:11:22:33:44:55,bind-interface=vmbr0", True),
        ("startall-onboot-delay", "300", True),
        ("ballooning-target", "0", True),
        ("key-type", "rsa2048", False),
        ("reload-command", "systemctl reload nginx", False),
        ("resolvers", "127.0.0.1:5353,2001:db8::53", False),
    ],
)
def test_each_property_goes_where_it_belongs(paths, key, value, in_theirs):
    node_settings.change(paths, {key: value})
    assert node_settings.get(paths, key) == value
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
    ],
)
def test_a_wrong_value_shows_the_format_and_changes_nothing(paths, key, value):
    with pytest.raises(UsageError, match=f"config set: {key}: ") as caught:
        node_settings.change(paths, {"ballooning-target": "50", key: value})
    assert properties.find(key).format in caught.value.hint
    assert node_settings.load(paths) == {}


def test_an_unknown_property_lists_those_that_are_known(paths):
    with pytest.raises(UsageError, match="acmedomian0 is not a property") as caught:
        node_settings.change(paths, {"acmedomian0": "a.example"})
    assert "wakeonlan" in caught.value.hint


def test_a_name_that_stands_twice_names_both_places(paths):
    node_settings.change(paths, {"acme": "domains=a.example;b.example"})
    with pytest.raises(ConfigError, match=r"b\.example stands in acme and in acmedomain7"):
        node_settings.change(paths, {"acmedomain7": "B.Example"})
    assert "acmedomain7" not in node_settings.load(paths)


def test_names_in_order_with_plugin_alias_and_identifier(paths):
    values = {
        "acmedomain10": "*.example,plugin=p2",
        "acmedomain2": "2001:DB8:0::1",
        "acme": "domains=Bücher.example",
        "acmedomain0": "gui.example,alias=alias.example,plugin=p",
    }
    node_settings.change(paths, values)
    found = node_settings.certificate_names(paths)
    assert [(one.name, one.plugin, one.alias, one.identifier.type) for one in found] == [
        ("xn--bcher-kva.example", "standalone", "", "dns"),
        ("gui.example", "p", "alias.example", "dns"),
        ("2001:db8::1", "standalone", "", "ip"),
        ("*.example", "p2", "", "dns"),
    ]


def test_the_clusters_values_are_defaults(paths):
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    paths.cluster_pvefw_cfg.write_text("key-type: ec384\nrenew-before: 20\n")
    node_settings.change(paths, {"key-type": "rsa2048"})
    assert node_settings.load(paths) == {"key-type": "rsa2048", "renew-before": "20"}


def test_deleting(paths):
    node_settings.change(
        paths, {"acmedomain0": "a.example", "key-type": "ec384", "description": "Rack 7"}
    )
    node_settings.change(paths, {}, ["acmedomain0", "key-type", "description"])
    assert node_settings.load(paths) == {}
    with pytest.raises(NotFound, match="acmedomain0: the property is not set"):
        node_settings.change(paths, {}, ["acmedomain0"])


def test_a_digest_guards_a_change(paths):
    seen = node_settings.digest(paths)
    node_settings.change(paths, {"acmedomain0": "a.example"}, expected_digest=seen)
    with pytest.raises(DigestMismatch):
        node_settings.change(paths, {"acmedomain0": "b.example"}, expected_digest=seen)
    assert node_settings.get(paths, "acmedomain0") == "a.example"


@pytest.mark.parametrize("text", ["one\ntwo\n\nfour", "☎ 100% : #", "trailing\n", "\tindented"])
def test_descriptions(paths, text):
    node_settings.change(paths, {"description": text, "ballooning-target": "7"})
    assert node_settings.get(paths, "description").removesuffix("\n") == text.removesuffix("\n")
    assert theirs(paths).startswith("#")
    assert theirs(paths).endswith("ballooning-target: 7\n")
