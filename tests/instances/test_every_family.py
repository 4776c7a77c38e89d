"""What holds for the instances of every family alike."""

import base64
import json
from dataclasses import replace

import click
import pytest

from pvefw import instances
from pvefw.boot.loaders import Loaders
from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW
from pvefw.cli.run import run
from pvefw.core.errors import ConfigError, DigestMismatch, NotFound, PluginMissing, UsageError
from pvefw.core.model import BootSyncedEvent
from pvefw.guests import backends
from pvefw.instances import Instance, instance_binding
from pvefw.store import files, oddities
from pvefw.store.node import Node
from pvefw.store.plugin_sections import KINDS
from pvefw.tasks import events
from pvefw.testing.fakes import FakeTask

ALL = sorted(KINDS)
OURS = [family for family in ALL if not KINDS[family].acme]
ACME = [family for family in ALL if KINDS[family].acme]
NAMED = [family for family in ALL if KINDS[family].named_like_plugin]
FREE = [family for family in ALL if not KINDS[family].named_like_plugin]

every_family = pytest.mark.parametrize("family", ALL)


def config_file(paths, family):
    own = {"dns": paths.plugins_cfg, "challenge": paths.own_plugins_cfg}
    return own.get(family, paths.cluster_pvefw_cfg)


def configure(paths, family, *lines, id_="every"):
    """Write one instance as by hand."""
    text = "\n".join([f"{family}: {id_}", *(f"\t{line}" for line in lines), ""])
    files.replace(config_file(paths, family), text.encode())


def encoded(*lines):
    text = "".join(f"{line}\n" for line in lines)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def used(paths, family):
    return [
        instance.id
        for instance in instances.load_used(Node.open(paths), family)
        if instance.id == "every"
    ]


@pytest.fixture
def pvefw(paths, monkeypatch, capsys):
    """Run a command; what it printed, and its exit status."""
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)
    paths.root.mkdir(exist_ok=True)

    def do(family, *arguments, status=0):
        capsys.readouterr()
        assert run([*KINDS[family].command.split(), *map(str, arguments)]) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    return do


def test_every_family_has_instances():
    assert sorted(KINDS) == ALL


# --- one dialect ----------------------------------------------------------------------------------


@every_family
@pytest.mark.parametrize(
    "lines",
    [
        ["place here", "size 2"],
        [f"data {encoded('place=here', 'size=2')}"],
        ["size 2", f"data {encoded('place=here')}"],
        ["place there", f"data {encoded('place=here', 'size=2')}"],
    ],
    ids=["lines", "data", "both", "data wins"],
)
def test_settings_are_lines_or_data(paths, everyone, family, lines):
    configure(paths, family, "api every", *lines)
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    assert (everyone.MADE[-1].place, everyone.MADE[-1].size) == ("here", 2)


@every_family
def test_without_api_the_id_is_the_plugins_name(paths, everyone, family):
    configure(paths, family, "place here")
    assert instances.load(Node.open(paths), family, "every").plugin == "every"
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))


@every_family
@pytest.mark.parametrize("nodes", ["pve2,pve1", "pve2, pve1", "pve2 pve1", "pve2;pve1"])
def test_nodes_of_one_that_this_node_uses(paths, family, nodes):
    configure(paths, family, f"nodes {nodes}")
    assert instances.load(Node.open(paths), family, "every").nodes == ("pve2", "pve1")
    assert used(paths, family) == ["every"]


@every_family
def test_nodes_of_one_that_only_others_use(paths, family, pvefw):
    configure(paths, family, "nodes pve2,pve3")
    assert used(paths, family) == []
    with pytest.raises(ConfigError, match="is not for node pve1") as caught:
        instances.check_used(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    follow(caught.value.hint, pvefw)
    assert used(paths, family) == ["every"]


@every_family
@pytest.mark.parametrize(
    ("line", "disabled"),
    [
        ("disable 1", True),
        ("disable", True),
        ("disable yes", True),
        ("disable 0", False),
        ("disable no", False),
        ("disable Off", False),
        ("disable false", False),
        ("size 1", False),
    ],
)
def test_disable(paths, family, line, disabled):
    configure(paths, family, line)
    assert instances.load(Node.open(paths), family, "every").disabled is disabled
    assert used(paths, family) == ([] if disabled else ["every"])


@every_family
def test_disable_is_not_a_setting(paths, everyone, family):
    configure(paths, family, "place here", "disable 1", "nodes pve1")
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))


def follow(hint, pvefw):
    """Run the command that a hint ends with."""
    words = hint.rpartition("pvefw ")[2].split()
    family = next(
        key for key, kind in KINDS.items() if words[:2] == (kind.command + " set").split()[:2]
    )
    pvefw(family, *words[len(KINDS[family].command.split()) :])


@every_family
@pytest.mark.parametrize("line", ["disable", "disable 1"])
def test_the_advice_for_a_disabled_instance_enables_it(paths, family, pvefw, line):
    configure(paths, family, line)
    with pytest.raises(ConfigError, match="is disabled") as caught:
        instances.check_used(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    follow(caught.value.hint, pvefw)
    assert used(paths, family) == ["every"]


@every_family
def test_an_instance_says_where_it_is(paths, family):
    head = "# about the next\n\n"
    text = f"{head}{family}: first\n\tapi x\n\n{family}: every\n\tapi every\n"
    files.replace(config_file(paths, family), text.encode())
    assert (
        instances.load(Node.open(paths), family, "every").where == f"{config_file(paths, family)}:6"
    )


@pytest.mark.parametrize("family", OURS)
def test_lines_are_counted_from_the_files_begin_and_of_the_file_that_counts(paths, family):
    configure(paths, family)
    text = f"key-type: ec384\nrenew-before: 30\n\n{family}: every\n\tapi every\n"
    files.replace(paths.node_pvefw_cfg(), text.encode())
    assert instances.load(Node.open(paths), family, "every").where == f"{paths.node_pvefw_cfg()}:4"


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", OURS)
@pytest.mark.parametrize("line", ["token s3cr3t", f"data {encoded('token=s3cr3t')}"])
def test_a_secret_in_plain_text_is_refused_where_others_can_read_it(paths, everyone, family, line):
    configure(paths, family, "place here", line)
    with pytest.raises(ConfigError, match="token is a secret in plain text") as caught:
        instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    assert f"{paths.cluster_pvefw_cfg}:1" in caught.value.message
    assert "s3cr3t" not in f"{caught.value.message}{caught.value.hint}"
    assert everyone.MADE == []


@pytest.mark.parametrize("family", OURS)
def test_a_secret_in_plain_text_is_not_even_written_there(paths, everyone, family):
    with pytest.raises(ConfigError, match="token is a secret in plain text"):
        put(paths, family, {"place": "here", "token": "s3cr3t"})
    assert not paths.cluster_pvefw_cfg.exists()


@pytest.mark.parametrize("family", ACME)
def test_a_secret_in_plain_text_is_fine_where_only_root_can_read_it(paths, everyone, family):
    put(paths, family, {"place": "here", "token": "s3cr3t"})
    assert config_file(paths, family).stat().st_mode & 0o777 == 0o600
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    assert everyone.MADE[-1].token == "s3cr3t"


@every_family
def test_a_reference_to_a_secret_is_resolved_when_it_is_used(paths, everyone, family, tmp_path):
    (tmp_path / "token").write_text("s3cr3t\n")
    put(paths, family, {"place": "here", "token": f"file:{tmp_path}/token"})
    assert "s3cr3t" not in config_file(paths, family).read_text()
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    assert everyone.MADE[-1].token == "s3cr3t"


@every_family
def test_a_secret_is_masked_also_where_the_plugin_is_missing(paths, everyone, family):
    for plugin in ("every", "nowhere"):
        id_ = "every" if plugin == "every" or family in FREE else plugin
        configure(paths, family, f"api {plugin}", f"data {encoded('token=s3cr3t')}", id_=id_)
        found = instances.load(Node.open(paths), family, id_)
        assert "s3cr3t" not in f"{found!r}{instances.describe(Node.open(paths), found)}"
        assert "s3cr3t" in str(instances.describe(Node.open(paths), found, show_secrets=True))


# --- what does not fit ----------------------------------------------------------------------------


def put(paths, family, settings):
    """Add an instance, in the way of its family."""
    if family in NAMED:
        instances.change(
            paths, family, "every", lambda instance: replace(instance, settings=settings)
        )
    else:
        instances.add(paths, Instance(family, "every", "every", settings))


@every_family
def test_unknown_settings_are_refused_with_all_findings(paths, everyone, family):
    with pytest.raises(ConfigError, match="plcae is not a setting") as caught:
        put(paths, family, {"plcae": "here", "size": "much"})
    for part in ("did you mean place?", "place is missing", "size: 'much' is not of type integer"):
        assert part in caught.value.message
    assert KINDS[family].noun in caught.value.message
    assert not config_file(paths, family).exists()


@every_family
def test_unknown_settings_are_ignored_with_a_warning_when_it_is_used(paths, everyone, family):
    configure(paths, family, f"data {encoded('place=here', 'plcae=there')}")
    warned_of_plcae(paths, family)


def warned_of_plcae(paths, family):
    """A stray setting keeps no guest from starting."""
    heard = []
    node = Node.open(paths)
    with oddities.listening(heard.append):
        instances.bind(node, instances.load(node, family, "every"))
    [warning] = heard
    assert "plcae is not a setting of every; it is ignored" in warning
    assert warning.startswith(f"{config_file(paths, family)}:")


@pytest.mark.parametrize("family", OURS)
def test_an_unknown_line_of_our_file_is_an_unknown_setting(paths, everyone, family):
    configure(paths, family, "place here", "plcae there")
    warned_of_plcae(paths, family)


@pytest.mark.parametrize("family", ACME)
def test_an_unknown_line_of_proxmox_ves_file_is_a_newer_proxmox_ves(paths, everyone, family):
    configure(paths, family, "place here", "later-release yes")
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    instances.change(paths, family, "every", lambda instance: replace(instance, disabled=True))
    assert "\tlater-release yes\n" in config_file(paths, family).read_text()


BROKEN = {
    "missing plugin": ["api nowhere", "place here"],
    "missing setting": ["api every", "size 2"],
    "unknown setting": ["api every", f"data {encoded('plcae=here')}"],
    "damaged data": ["api every", "data %%%"],
}


def broken(paths, family, kind):
    """Write a broken instance by hand; its id."""
    lines = BROKEN[kind]
    id_ = "nowhere" if kind == "missing plugin" and family in NAMED else "every"
    configure(paths, family, *lines, "# note", id_=id_)
    return id_


every_fault = pytest.mark.parametrize("kind", BROKEN)


@every_family
@every_fault
def test_a_broken_instance_can_be_listed_and_shown(paths, everyone, pvefw, family, kind):
    id_ = broken(paths, family, kind)
    rows = json.loads(pvefw(family, "list", "--output-format", "json"))
    assert id_ in [row.get("id", row.get("plugin")) for row in rows]
    shown = json.loads(pvefw(family, "config", id_, "--output-format", "json"))
    if family in OURS:  # that of the others has the keys of Proxmox VE's
        assert shown["where"] == f"{config_file(paths, family)}:1"
    assert ("problem" in shown) == (kind == "damaged data")


@every_family
@every_fault
def test_a_broken_instance_cannot_be_used_and_says_why(paths, everyone, pvefw, family, kind):
    id_ = broken(paths, family, kind)
    said = pvefw(family, "test", id_, status=1)
    assert id_ in said
    assert "internal" not in said


@every_family
@every_fault
def test_a_broken_instance_can_be_changed_and_keeps_the_rest(paths, everyone, pvefw, family, kind):
    id_ = broken(paths, family, kind)
    before = config_file(paths, family).read_text()
    pvefw(family, "set", id_, "--disable", "--nodes", "pve2,pve3")
    found = instances.load(Node.open(paths), family, id_)
    assert (found.disabled, found.nodes) == (True, ("pve2", "pve3"))
    pvefw(family, "set", id_, "--delete", "disable,nodes")
    assert config_file(paths, family).read_text().split() == before.split()


@every_family
@every_fault
def test_a_broken_instance_can_be_removed(paths, everyone, pvefw, family, kind):
    id_ = broken(paths, family, kind)
    pvefw(family, "remove", id_)
    with pytest.raises(NotFound):
        instances.load(Node.open(paths), family, id_)


@every_family
@every_fault
def test_a_broken_instance_can_be_put_right(paths, everyone, pvefw, family, kind, tmp_path):
    if family in NAMED and kind == "missing plugin":
        pytest.skip("its name is its plugin's")
    id_ = broken(paths, family, kind)
    (tmp_path / "data").write_text("place=here\nsize=3\n")
    api = [] if family in NAMED else ["--api", "every"]
    pvefw(family, "set", id_, *api, "--data", tmp_path / "data")
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, id_))
    assert everyone.MADE[-1].size == 3


@pytest.mark.parametrize("family", NAMED)
def test_another_plugin_than_the_name_says_is_put_right_by_set(
    paths, everyone, pvefw, family, tmp_path
):
    configure(paths, family, "api other", "place here")
    with pytest.raises(ConfigError, match="api is other") as caught:
        instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))
    exists(caught.value.hint)
    (tmp_path / "data").write_text("place=here\n")
    pvefw(family, "set", "every", "--data", tmp_path / "data")
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))


@pytest.mark.parametrize("family", ACME)
@pytest.mark.parametrize("option", [["--validation-delay", "30"], ["--delete", "validation-delay"]])
def test_a_damaged_delay_is_put_right_by_set(paths, everyone, pvefw, family, option):
    configure(paths, family, "place here", "validation-delay soon")
    pvefw(family, "set", "every", "--disable")
    assert "validation-delay soon" in config_file(paths, family).read_text()
    pvefw(family, "set", "every", *option)
    instances.bind(Node.open(paths), instances.load(Node.open(paths), family, "every"))


@every_family
def test_new_settings_for_a_missing_plugin_are_refused(paths, family):
    configure(paths, family, "api nowhere", id_="nowhere")
    with pytest.raises(PluginMissing):
        instances.change(
            paths, family, "nowhere", lambda instance: replace(instance, settings={"place": "here"})
        )


# --- commands -------------------------------------------------------------------------------------


def add(pvefw, family, data, *options, status=0):
    if family in NAMED:
        return pvefw(family, "set", "every", "--data", data, *options, status=status)
    type_ = [family] if family in ACME else []
    return pvefw(
        family, "add", *type_, "every", "--api", "every", "--data", data, *options, status=status
    )


@every_family
def test_a_life(paths, everyone, pvefw, family, tmp_path):
    """Add, look, test, change, remove: by commands alone."""
    (tmp_path / "data").write_text("place=here\n")
    add(pvefw, family, tmp_path / "data", "--nodes", "pve1,pve2", "--disable")
    shown = json.loads(pvefw(family, "config", "every", "--output-format", "json"))
    assert (shown["api"], shown["data"]) == ("every", {"place": "here"})
    assert (shown["nodes"], shown["disable"]) == ("pve1,pve2", True)
    assert "Task OK" in pvefw(family, "test", "every")
    pvefw(family, "set", "every", "--no-disable", "--delete", "nodes", "--digest", shown["digest"])
    found = instances.load(Node.open(paths), family, "every")
    assert (found.disabled, found.nodes, found.settings) == (False, (), {"place": "here"})
    said = pvefw(family, "set", "every", "--disable", "--digest", shown["digest"], status=1)
    assert "digest mismatch" in said
    assert "digest mismatch" in pvefw(
        family, "remove", "every", "--digest", shown["digest"], status=1
    )
    pvefw(family, "remove", "every")
    assert config_file(paths, family).read_text().strip() == ""


@every_family
def test_what_set_does_not_change_keeps_its_form(paths, everyone, family):
    configure(paths, family, "place here", "# note", "nodes pve1, pve2", "size 01")
    before = config_file(paths, family).read_text()
    instances.change(paths, family, "every", lambda instance: replace(instance, disabled=True))
    assert config_file(paths, family).read_text() == before.rstrip() + "\n\tdisable 1\n"


@pytest.mark.parametrize("family", OURS)
def test_new_settings_take_the_form_that_is_there(paths, everyone, family):
    configure(paths, family, "place here", "# note", "size 2")
    instances.change(
        paths, family, "every", lambda instance: replace(instance, settings={"place": "there"})
    )
    assert config_file(paths, family).read_text() == f"{family}: every\n\tplace there\n\t# note\n"
    configure(paths, family, "size 2", f"data {encoded('place=here')}")
    new = {"place": "there", "size": "2"}
    instances.change(paths, family, "every", lambda instance: replace(instance, settings=new))
    expected = f"{family}: every\n\tsize 2\n\tdata {encoded('place=there')}\n"
    assert config_file(paths, family).read_text() == expected


@every_family
def test_a_digest_guards_every_change(paths, family):
    configure(paths, family)
    seen = instances.digest(Node.open(paths), family)
    configure(paths, family, "disable")
    for change in (
        lambda: instances.remove(paths, family, "every", expected_digest=seen),
        lambda: instances.change(
            paths, family, "every", lambda instance: instance, expected_digest=seen
        ),
    ):
        with pytest.raises(DigestMismatch):
            change()


@pytest.mark.parametrize("family", FREE)
def test_an_id_is_taken_once(paths, everyone, family):
    configure(paths, family)
    with pytest.raises(UsageError, match="the id every is taken"):
        put(paths, family, {"place": "here"})


@pytest.mark.parametrize("family", OURS)
@pytest.mark.parametrize("other", OURS)
def test_an_id_of_another_family_is_never_overwritten(paths, everyone, family, other):
    """One file has one section of a name."""
    if family == other:
        return
    configure(paths, other, "place theirs")
    with pytest.raises(UsageError, match=f"is taken by '{other}: every'"):
        put(paths, family, {"place": "here"})
    assert instances.load(Node.open(paths), other, "every").settings == {"place": "theirs"}


@pytest.mark.parametrize("family", OURS)
@pytest.mark.parametrize("other", OURS)
def test_removing_one_leaves_that_of_another_family(paths, family, other):
    """The cluster's file and the node's can have the same id for different things."""
    if family == other:
        return
    configure(paths, family)
    files.replace(paths.node_pvefw_cfg(), f"{other}: every\n\tplace theirs\n".encode())
    instances.remove(paths, family, "every")
    assert instances.load(Node.open(paths), other, "every").settings == {"place": "theirs"}


@pytest.mark.parametrize("family", OURS)
def test_an_instance_of_the_nodes_file_is_changed_there(paths, family):
    configure(paths, family, "size 1")
    before = paths.cluster_pvefw_cfg.read_bytes()
    text = f"key-type: ec384\n\n{family}: every\n\tsize 2\n"
    files.replace(paths.node_pvefw_cfg(), text.encode())
    instances.change(paths, family, "every", lambda instance: replace(instance, disabled=True))
    assert paths.node_pvefw_cfg().read_text() == f"{text}\tdisable 1\n"
    assert paths.cluster_pvefw_cfg.read_bytes() == before


@every_family
def test_the_hint_for_an_unknown_id_names_a_command_that_exists(paths, family):
    with pytest.raises(NotFound) as caught:
        instances.load(Node.open(paths), family, "nobody")
    exists(caught.value.hint)


@every_family
def test_every_command_that_hints_name_exists(family):
    kind = KINDS[family]
    for text in (kind.example("ID"), instances.set_command(Instance(family, "x", "x"))):
        exists(f"{text}")
    verbs = {"set", "list", "config", "test", "remove"}
    verbs |= set() if kind.named_like_plugin else {"add"}
    group = PVEFW
    ctx = click.Context(PVEFW, obj=App())
    for word in kind.command.split():
        group = group.get_command(ctx, word)
    assert verbs <= set(group.list_commands(ctx))


def exists(hint):
    """A hint's command is one, with these options."""
    words = hint.rpartition("pvefw ")[2].replace("--data FILE", "").split()
    command, ctx = PVEFW, PVEFW.make_context("pvefw", words, obj=App())
    while isinstance(command, click.Group) and (rest := [*ctx._protected_args, *ctx.args]):
        name, command, rest = command.resolve_command(ctx, rest)
        ctx = command.make_context(name, rest, parent=ctx)
    assert not isinstance(command, click.Group)


# --- those that use them --------------------------------------------------------------------------


def test_a_boot_loader_gets_its_settings(paths, everyone):
    assert "place is missing" in Loaders.load(paths).failures["every"].message
    configure(paths, "bootloader", "place here")
    assert "every" in Loaders.load(paths).bound
    assert everyone.MADE[-1].place == "here"


@pytest.mark.parametrize("line", ["disable", "nodes pve2"])
def test_a_boot_loader_that_is_not_used_here_is_no_fault(paths, everyone, line):
    configure(paths, "bootloader", "place here", line)
    found, task = Loaders.load(paths), FakeTask()
    found.warn(task)
    assert ("every" in found.bound, "every" in found.failures, task.warnings) == (False, False, [])
    with pytest.raises(ConfigError) as caught:
        found.get("every")
    exists(caught.value.hint)


def test_a_damaged_file_keeps_no_boot_loader_from_a_refresh(paths, everyone):
    whole = Loaders.load(paths)
    files.replace(paths.cluster_pvefw_cfg, b"this is no property\n")
    heard = []
    with oddities.listening(heard.append):
        found = Loaders.load(paths)
    assert (set(found.bound), set(found.failures)) == (set(whole.bound), set(whole.failures))
    assert any("pvefw.cfg:1: " in line for line in heard)


def test_a_file_that_cannot_be_read_keeps_no_boot_loader_from_a_refresh(paths, everyone):
    whole = Loaders.load(paths)
    paths.cluster_pvefw_cfg.mkdir(parents=True)
    found, task = Loaders.load(paths), FakeTask()
    assert (set(found.bound), set(found.failures)) == (set(whole.bound), set(whole.failures))
    found.warn(task)
    assert any("pvefw.cfg: could not read" in line for line in task.warnings)


def test_the_advice_for_a_disabled_backend_is_not_to_write_what_is_there(paths, pvefw):
    with pytest.raises(NotFound) as caught:
        backends.configured(Node.open(paths))
    exists(caught.value.hint)
    configure(paths, "guest", "disable 1")
    with pytest.raises(NotFound) as caught:
        backends.configured(Node.open(paths))
    follow(caught.value.hint, pvefw)
    assert [instance.id for instance in backends.configured(Node.open(paths))] == ["every"]


def test_observers_of_other_nodes_are_not_told(paths, everyone):
    text = (
        "observer: here\n\tapi every\n\tplace here\n\nobserver: there\n\tapi every\n\tplace there\n"
    )
    files.replace(paths.cluster_pvefw_cfg, f"{text}\tnodes pve2\n".encode())
    event = BootSyncedEvent(paths.node, ["6.8.0"], [], {})
    told = events.tell(Node.open(paths), "on_boot_synced", event, FakeTask())
    assert told == [events.Outcome("here")]
    assert [made.place for made in everyone.MADE] == ["here"]


def test_a_catalogue_that_is_disabled_offers_nothing(paths, everyone):
    configure(paths, "dns_catalog", "place here")
    assert "inside" in instance_binding.names(Node.open(paths))
    configure(paths, "dns_catalog", "place here", "disable")
    assert "inside" not in instance_binding.names(Node.open(paths))
    with pytest.raises(ConfigError, match="the DNS catalogue every is disabled"):
        instance_binding.declared(Node.open(paths), "dns", "every/inside")
