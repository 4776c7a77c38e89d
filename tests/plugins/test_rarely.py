"""Plugins and instances that few have: broken ones in the middle of others, settings of an odd kind."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pvefw import instances
from pvefw.cli.run import run
from pvefw.core import causes, finding, notices, settings
from pvefw.core.errors import ConfigError, PluginBroken, ProviderError, PvefwError, UsageError
from pvefw.core.families import DNS, DNS_CATALOG
from pvefw.core.settings import setting
from pvefw.host import concurrency
from pvefw.instances import instance_binding, trial
from pvefw.store.node import Node

# --- settings and metadata ------------------------------------------------------------------------------


def test_a_type_that_nobody_has_defined_is_the_plugins_fault():
    @dataclass
    class Odd:
        token: "Tokn" = setting(help="x")  # noqa: F821 - so it is meant

    with pytest.raises(PluginBroken) as caught:
        settings.declared(Odd)
    assert caught.value.message == (
        "Odd: its field types cannot be read: name 'Tokn' is not defined"
    )


@dataclass
class Slow:
    """For tests."""

    slow: bool = setting(help="Take your time.", default=False)


def test_a_boolean_is_one_of_eight_words():
    infos = settings.declared(Slow)
    for word in ("1", "Yes", "true", "on", "0", "no", "FALSE", "off"):
        settings.check(infos, {"slow": word}, "mine")
    with pytest.raises(ConfigError, match="slow: 'maybe' is not of type boolean"):
        settings.check(infos, {"slow": "maybe"}, "mine")


def test_a_requirement_that_is_none_is_passed_over(install):
    install("dns", "odd", requires="==nothing at all\nRequires-Dist: pvefw>=1,<2")
    assert finding.find(DNS, "odd").api == 1


def test_a_distribution_that_lies_in_two_places_counts_once(install, tmp_path, monkeypatch):
    install("dns", "odd")
    again = tmp_path / "again"
    again.symlink_to(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [*sys.path, str(again)])
    assert [info.name for info in finding.installed(DNS)].count("odd") == 1


def test_errors_that_come_from_each_other_for_ever_have_an_end():
    first = second = ValueError("first")
    for number in range(50):
        second = ValueError(f"number {number}")
        second.__cause__, first = first, second
    assert causes.of(second)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pve-ssl.pem", "pvefw cert node refresh"),
        ("pve-root-ca.pem", "pvefw cert ca rollover"),
        ("pveproxy-ssl.pem", "pvefw acme cert renew"),
        ("web.pem", "pvefw acme cert renew web"),
    ],
)
def test_the_command_that_renews_a_certificate_exists(name, command, capsys):
    assert notices._renewing(Path("/etc/pve") / name) == command
    assert run([*command.split()[1:4], "--help"]) == 0
    assert "Usage: pvefw " in capsys.readouterr().out


# --- instances ------------------------------------------------------------------------------------------


def test_the_plugin_of_the_standalone_instance_stays(paths):
    with pytest.raises(UsageError) as caught:
        instances.change(paths, "dns", "standalone", lambda old: replace(old, plugin="ovh"))
    assert "the plugin of standalone is always standalone" in caught.value.message
    assert caught.value.hint.startswith("Add another instance: pvefw acme plugin add ")
    assert not paths.plugins_cfg.exists()


def test_what_cannot_be_reset_is_named_with_what_can(paths, monkeypatch, capsys):
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)
    paths.root.mkdir(exist_ok=True)
    assert run(["acme", "plugin", "set", "standalone", "--delete", "colour"]) == 2
    said = capsys.readouterr().err
    assert "acme plugin set: colour cannot be deleted" in said
    assert "Known: " in said
    assert "validation-delay" in said


def test_a_plugin_that_does_not_answer_a_question(monkeypatch):
    def late(_work, seconds, _name):
        raise concurrency.DidNotReturn(seconds)

    monkeypatch.setattr(concurrency, "call_within", late)
    with pytest.raises(ProviderError) as caught:
        trial.ask(list, "dns/mine")
    assert caught.value.message == "dns/mine: it does not answer within 60 seconds"
    assert caught.value.hint == "Check whether the service behind it hangs."


def test_an_event_that_there_is_not(paths):
    class Bound:
        implemented = frozenset({"on_notice"})
        name = "mine"

    with pytest.raises(UsageError) as caught:
        trial._notify(Node.unread(paths), Bound, "sunrise", None)
    assert caught.value.message == "observer test: there is no event sunrise"
    assert caught.value.hint.startswith("Events: ")


@pytest.fixture
def catalogues(monkeypatch):
    """Two catalogues, of which the first is broken."""

    class Hooks:
        def catalog_names(self, root):
            return ["inside"]

        def catalog_entry(self, name, root):
            raise PvefwError("its form cannot be read")

    class Info:
        def __init__(self, name):
            self.name = name

    def catalog(_node, name):
        if name == "broken":
            raise PluginBroken("broken: its import fails")
        return type("Bound", (), {"hooks": Hooks(), "name": name})()

    monkeypatch.setattr(
        instance_binding.finding,
        "installed",
        lambda family: [Info("broken"), Info("good")] if family is DNS_CATALOG else [],
    )
    monkeypatch.setattr(instance_binding, "_catalog", catalog)


@pytest.mark.usefixtures("catalogues")
def test_a_broken_catalogue_hides_no_name_of_another(paths):
    node = Node.unread(paths)
    assert instance_binding.names(node) == ["inside"]
    assert instance_binding.declared_by_name(node) == {}


@pytest.mark.usefixtures("catalogues")
def test_a_provider_that_nobody_offers_comes_with_a_catalogue_that_is_not_there(paths):
    hint = instance_binding._how_to_get(Node.unread(paths), "nobody-has-this")
    assert hint.startswith("All names: pvefw plugin list --providers\n")
    assert "More names come with: pipx inject pvefw pvefw-" in hint
