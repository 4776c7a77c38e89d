"""Proxmox VE's formats: read as they are, written so that they are read there, bytes kept."""

import string
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pvefw.core.errors import UsageError
from pvefw.store import oddities
from pvefw.store.node_config import NodeConfig, decode, encode, parse_property_string
from pvefw.store.pvefw_config import PvefwConfig
from pvefw.store.section_config import Section, SectionConfig

NODE = b"""#Rack 7%3A left
#%E2%98%8E 4711
acme: account=default,domains=pve1.example.com
acmedomain0: gui.example.com,plugin=example_plugin
startall-onboot-delay: 10
unknown-key: of a later release
wakeonlan: 00:11:22:33:44:55
"""
PLUGINS = b"""dns: example_plugin
\tapi ovh
\tdata T1ZIX0FLPWFiYwpPVkhfQVM9ZGVmCg
\tnodes pve1,pve2
\tunknown of a later release

# somebody's note
standalone: standalone

"""

words = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
keys = words.filter(lambda word: word[0].isalpha() and word != "description")
values = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=30
)


# --- node configuration ---------------------------------------------------------------------------


def test_a_node_configuration_of_proxmox_ve():
    config = NodeConfig.parse(NODE, "config")
    assert config.render() == NODE
    assert config.description == "Rack 7: left\n☎ 4711\n"
    assert config.values["unknown-key"] == "of a later release"


def test_a_change_keeps_everything_else():
    changed = NodeConfig.parse(NODE, "config").changed({"acme": None, "ballooning-target": "80"})
    expected = NODE.replace(b"acme: account=default,domains=pve1.example.com\n", b"")
    expected = expected.replace(b"startall", b"ballooning-target: 80\nstartall")
    assert changed.render() == expected


def test_a_change_to_what_is_there_keeps_the_bytes():
    unsorted = b"wakeonlan: 00:11:22:33:44:55\nacme: domains=a.example"
    config = NodeConfig.parse(unsorted, "config")
    assert config.changed({"acme": "domains=a.example"}).render() == unsorted


@given(st.dictionaries(keys, values), st.text(st.characters(codec="utf-8")))
def test_whatever_is_set_is_read_again(properties, notes):
    notes = "\n".join(notes.splitlines())
    config = NodeConfig().changed(properties).described(notes)
    again = NodeConfig.parse(config.render(), "config")
    assert again.values == properties
    assert again.description.removesuffix("\n") == notes.removesuffix("\n")
    assert again.render() == config.render()
    assert [line for line in config.render().split(b"\n") if line.startswith(b"#")] == [
        line for line in config.render().split(b"\n")[: len(notes.split("\n"))] if b"#" in line[:1]
    ]


@given(st.text(st.characters(codec="utf-8")))
def test_descriptions_are_encoded_in_plain_ascii(text):
    encoded = encode(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert decode(encoded) == text


@given(st.dictionaries(keys, values, min_size=1), st.data())
def test_changing_one_property_changes_nothing_else(properties, data):
    config = NodeConfig().changed(properties)
    key = data.draw(st.sampled_from(sorted(properties)))
    changed = config.changed({key: "changed"})
    before = set(config.render().split(b"\n")) - {f"{key}: {properties[key]}".encode()}
    after = set(changed.render().split(b"\n")) - {f"{key}: changed".encode()}
    assert before == after


HAND_MADE = b"""# the first note

wakeonlan: 00:11:22:33:44:55
# about acme
acme:   domains=a.example
later-release: kept
acme: domains=b.example"""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"wakeonlan": None}, HAND_MADE.replace(b"wakeonlan: 00:11:22:33:44:55\n", b"") + b"\n"),
        (
            {"acme": "domains=c.example"},
            HAND_MADE.replace(b"  domains=a", b"domains=c").replace(
                b"\nacme: domains=b.example", b""
            )
            + b"\n",
        ),
        (
            {"zone": "1", "aa": "2", "later": "3"},
            HAND_MADE.replace(b"wake", b"aa: 2\nwake") + b"\nlater: 3\nzone: 1\n",
        ),
    ],
)
def test_a_file_made_by_hand_keeps_its_order_its_notes_and_its_blank_lines(values, expected):
    assert NodeConfig.parse(HAND_MADE, "config").changed(values).render() == expected


def test_the_first_property_stands_below_the_description():
    assert NodeConfig.parse(b"#a\n#b\n", "x").changed({"key": "v"}).render() == b"#a\n#b\nkey: v\n"
    assert NodeConfig.parse(b"", "x").changed({"key": "v"}).render() == b"key: v\n"
    assert NodeConfig.parse(b"key: v\n", "x").changed({"key": None}).render() == b""


def test_the_older_form_of_a_description_is_read_and_replaced():
    config = NodeConfig.parse(b"acme: domains=a.example\ndescription: Rack%3A 7\n", "config")
    assert config.description == "Rack: 7\n"
    assert "description" not in config.values
    assert config.described("new").render() == b"#new\nacme: domains=a.example\n"


def test_what_is_no_code_in_a_description_is_shown_as_it_is():
    assert (
        NodeConfig.parse("#100%, %zz, ü, %FF\n".encode(), "x").description
        == "100%, %zz, ü, \ufffd\n"
    )


hand_made = st.lists(
    st.sampled_from(["b: 1", "d:  2 ", "b: 3", "# note", "", "unknown_9: x", "#%41"]), max_size=10
).map(lambda lines: "\n".join(lines).encode())


@given(
    hand_made,
    st.dictionaries(st.sampled_from("abcde"), st.none() | st.sampled_from(["1", "2", "x y"])),
)
def test_a_change_touches_no_line_but_those_of_its_keys(data, values):
    config = NodeConfig.parse(data, "x")
    assert config.render() == data
    changed = config.changed(values)
    again = NodeConfig.parse(changed.render(), "x")
    wanted = {**config.values, **values}
    assert again.values == {key: value for key, value in wanted.items() if value is not None}
    assert again.description == config.description

    def others(text):
        lines = [line for line in text.split(b"\n") if line[:1].decode() not in values]
        return b"\n".join(lines).rstrip(b"\n")

    assert others(changed.render()) == others(data)


@pytest.mark.parametrize("line", [b"no colon here", b"empty:", b"key : x", b"\xff\xfe", b"\0"])
def test_a_damaged_line_of_a_node_configuration_costs_that_line(line):
    heard = []
    data = b"first: 1\n%s\n  indented: x\r\n" % line
    with oddities.listening(heard.append):
        config = NodeConfig.parse(data, "config")
    assert config.values == {"first": "1", "indented": "x"}
    assert [warning.partition(": ")[0] for warning in heard] == ["config:2"]
    assert config.render() == data
    assert config.changed({"first": None}).render() == data.removeprefix(b"first: 1\n")


def test_property_strings():
    assert parse_property_string("a.example,plugin=x", "domain") == {
        "domain": "a.example",
        "plugin": "x",
    }
    assert parse_property_string(" ,a.example,,plugin=x,", "domain") == {
        "domain": "a.example",
        "plugin": "x",
    }
    for wrong in ("a,b", "plugin=", "=x", "a.example,domain=b.example"):
        with pytest.raises(ValueError, match="'"):
            parse_property_string(wrong, "domain")


# --- section config -------------------------------------------------------------------------------


def test_a_plugins_cfg_of_proxmox_ve():
    config = SectionConfig.parse(PLUGINS, "plugins.cfg")
    assert config.render() == PLUGINS
    assert config.get("example_plugin").values["nodes"] == "pve1,pve2"
    assert config.get("standalone").values == {}


def test_a_section_is_changed_and_everything_else_is_kept():
    config = SectionConfig.parse(PLUGINS, "plugins.cfg")
    section = config.get("example_plugin").changed({"api": "cf", "nodes": None, "disable": "1"})
    expected = PLUGINS.replace(b"\tapi ovh", b"\tapi cf").replace(b"\tnodes pve1,pve2\n", b"")
    expected = expected.replace(b"release\n", b"release\n\tdisable 1\n")
    changed = config.with_section(section).render()
    assert sorted(changed.split(b"\n")) == sorted(expected.split(b"\n"))
    assert b"# somebody's note" in changed
    assert SectionConfig.parse(changed, "again").get("standalone") is not None


sections = st.builds(
    lambda kind, id_, values: Section(kind, id_).changed(values),
    st.sampled_from(["dns", "standalone"]),
    keys,
    st.dictionaries(keys, values.filter(lambda value: not value.startswith("#")), max_size=4),
)


@given(st.lists(sections, unique_by=lambda section: section.id, max_size=5))
def test_whatever_sections_are_added_are_read_again(wanted):
    config = SectionConfig()
    for section in wanted:
        config = config.with_section(section)
    again = SectionConfig.parse(config.render(), "x")
    assert again.render() == config.render()
    assert {(other.type, other.id): other.values for other in again.sections} == {
        (section.type, section.id): section.values for section in wanted
    }
    for section in wanted:
        again = again.without(section.id)
    assert again.sections == ()


def test_a_new_property_stands_above_the_blank_line_that_ends_a_section_for_proxmox_ve():
    text = b"dns: a1\n\tapi x\n\n# about b1\n\ndns: b1\n\tapi y\n"
    config = SectionConfig.parse(text, "x")
    changed = config.with_section(config.get("a1").changed({"nodes": "pve1"}))
    assert changed.render() == text.replace(b"\tapi x\n", b"\tapi x\n\tnodes pve1\n")


@pytest.mark.parametrize(
    ("text", "removed", "left"),
    [
        (
            b"dns: a1\n\tapi x\n\n# about b1\ndns: b1\n\tapi y\n",
            "a1",
            b"# about b1\ndns: b1\n\tapi y\n",
        ),
        (
            b"dns: a1\n\tapi x\ndns: b1\n\tapi y\n\n# end",
            "b1",
            b"dns: a1\n\tapi x\n# end\n",
        ),
        (b"dns: a1\n\t# within\n\tapi x\n", "a1", b""),
        (b"# head\ndns: a1\n", "a1", b"# head\n"),
        (b"dns: a1\ndns: b1\n", "b1", b"dns: a1\n"),
    ],
)
def test_comments_between_sections_survive_the_removal_of_one(text, removed, left):
    assert SectionConfig.parse(text, "x").without(removed).render() == left


sparse = st.lists(
    st.sampled_from(
        ["dns: a1", "standalone:  b1 ", "x:c1", "\tapi x", "  data   d ", "# note", "", "\t", "\tf"]
    ),
    max_size=12,
).map(lambda lines: "\n".join(lines).encode())


@given(sparse, st.sampled_from(["api", "data", "new"]), st.sampled_from([None, "v", "two words"]))
def test_a_change_to_one_section_touches_no_line_of_the_others(data, key, value):
    config = SectionConfig.parse(data, "x")
    assert config.render() == data
    for section in in_use(config):
        changed = config.with_section(section.changed({key: value}))
        again = SectionConfig.parse(changed.render(), "x")
        wanted = {**section.values, key: value}
        assert again.get(section.id).values == {k: v for k, v in wanted.items() if v is not None}
        others = [other for other in config.sections if other is not section]
        same = again.get(section.id)
        assert [other for other in again.sections if other is not same] == others
        kept = [line for line in section.lines if line.split()[:1] != [key]]
        assert [line for line in again.get(section.id).lines if line.split()[:1] != [key]] == kept


@given(sparse)
def test_removing_one_section_keeps_all_others_and_every_comment_below_it(data):
    config = SectionConfig.parse(data, "x")
    assume(len(in_use(config)) == len(config.sections))
    for section in config.sections:
        left = SectionConfig.parse(config.without(section.id).render(), "x")
        others = [other for other in config.sections if other.id != section.id]
        assert [(other.type, other.id, other.values) for other in left.sections] == [
            (other.type, other.id, other.values) for other in others
        ]
        assert left.render().count(b"#") == data.count(b"#") - inner_comments(section)


def in_use(config):
    """The sections without those whose id stands twice, but for the last."""
    return [other for other in config.sections if config.get(other.id) is other]


def inner_comments(section):
    """Those above its last property: they go with it."""
    properties = [n for n, line in enumerate(section.lines) if line[:1].isspace() and line.strip()]
    end = properties[-1] if properties else 0
    return sum(line.startswith("#") for line in section.lines[:end])


def test_a_value_of_several_lines_cannot_smuggle_in_a_section():
    with pytest.raises(UsageError, match="more than one line"):
        Section("dns", "a1").changed({"api": "x\ndns: evil"})


@given(st.binary(max_size=200))
def test_rubbish_is_kept_as_it_is(data):
    for form in (SectionConfig, NodeConfig, PvefwConfig):
        assert form.parse(data, "x").render() == data


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"rubbish\ndns: a\n\tapi y\n", 1),
        (b"dns: a\n\xff\n\tapi y\n", 2),
        (b"\tlost 1\ndns: a\n\tapi y\n", 1),
        (b"dns: a\n\tapi x\nstandalone: a\n\tapi y\n", 1),
    ],
)
def test_what_is_damaged_in_a_section_config_costs_that_only(data, line):
    heard = []
    with oddities.listening(heard.append):
        config = SectionConfig.parse(data, "x.cfg")
    assert config.get("a").values == {"api": "y"}
    assert [warning.partition(": ")[0] for warning in heard] == [f"x.cfg:{line}"]
    changed = config.with_section(config.get("a").changed({"api": "z"}))
    assert changed.render() == data.replace(b"api y", b"api z")


# --- pvefw.cfg ------------------------------------------------------------------------------------

OURS = b"""# note
reload-command: systemctl reload nginx
renew-before: 30

observer: tell-admin
\tapi exec
\tunknown kept
"""


def test_properties_then_sections():
    config = PvefwConfig.parse(OURS, "pvefw.cfg")
    assert config.render() == OURS
    assert config.properties.values["reload-command"] == "systemctl reload nginx"
    assert config.sections.get("tell-admin").values == {"api": "exec", "unknown": "kept"}


def test_a_note_above_the_first_section_stays_with_it():
    text = b"renew-before: 30\n\n# tells the admin\nobserver: tell-admin\n\tapi exec\n"
    config = PvefwConfig.parse(text, "pvefw.cfg")
    changed = replace(config, properties=config.properties.changed({"zz": "1", "aa": "2"}))
    assert changed.render() == b"aa: 2\n" + text.replace(b"30\n", b"30\nzz: 1\n")
    only_sections = PvefwConfig.parse(text.partition(b"\n\n")[2], "pvefw.cfg")
    changed = replace(only_sections, properties=only_sections.properties.changed({"aa": "2"}))
    assert changed.render() == b"aa: 2\n\n" + text.partition(b"\n\n")[2]


def test_a_property_below_a_section_is_ignored_with_a_warning():
    heard = []
    data = OURS + b"\nkey-type: ec384\n"
    with oddities.listening(heard.append):
        config = PvefwConfig.parse(data, "pvefw.cfg")
    [warning] = heard
    assert warning.startswith("pvefw.cfg:9: 'key-type: ec384' is below the first section")
    assert "observer" in warning
    assert config.render() == data
    assert "key-type" not in config.properties.values


def test_what_is_said_about_a_file_names_it_once():
    heard = []
    with oddities.listening(heard.append):
        oddities.report("/etc/x", 0, "/etc/x: could not read the file", "it counts as empty")
        oddities.report("/etc/x", 3, "'y' is odd", "it is ignored")
    assert heard == [
        "/etc/x: could not read the file; it counts as empty",
        "/etc/x:3: 'y' is odd; it is ignored",
    ]


def test_of_a_key_that_occurs_twice_in_a_section_the_first_counts_as_for_proxmox_ve():
    said = []
    text = b"dns: one\n\tapi ovh\n\tdata Zmlyc3Q\n\tdata c2Vjb25k\n\n"
    with oddities.listening(said.append):
        found = SectionConfig.parse(text, "plugins.cfg")
    section = found.get("one")
    assert section is not None
    assert section.values["data"] == "Zmlyc3Q"
    assert said == ["plugins.cfg:4: dns: one: data occurs twice; that of line 3 wins"]
    assert section.line_of("data") == 3
    assert found.render() == text


def test_a_byte_order_mark_costs_none_of_our_properties_or_sections():
    for text in (b"certificate: web\n\tacmedomain0 a.example\n", b"renew-before: 30\n"):
        said = []
        with oddities.listening(said.append):
            found = PvefwConfig.parse(b"\xef\xbb\xbf" + text, "pvefw.cfg")
        assert said == []
        assert found.render() == text


def test_a_file_that_is_no_text_does_not_fill_the_screen():
    said = []
    with oddities.listening(said.append):
        for name in ("one", "two"):
            SectionConfig.parse(b"rubbish\n" * 1000, name)
    assert len(said) == 42
    assert said[20] == ("one: more of it makes no sense; only the first 20 warnings are shown")
