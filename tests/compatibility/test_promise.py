"""What docs/compatibility.md promises to plugins, with plugins."""

import inspect
import sys
from types import SimpleNamespace

import pytest

from pvefw import PLUGIN_API
from pvefw.core import binding, families, finding
from pvefw.core.errors import PluginBroken, PluginFailed
from pvefw.core.families import DNS, Family
from pvefw.core.hookspecs import hookimpl, optional, required
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.core.model import TxtRecord
from pvefw.testing.fakes import FakeTask


def plugin_of(family, body):
    """A plugin object whose required hooks are all this function."""
    names = [name for name, needed in family.hooks.items() if needed] or list(family.hooks)[:1]
    members = {name: hookimpl(body) for name in names}
    return type("Old", (), members)(), names


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=lambda family: family.name)
def test_a_plugin_declares_only_the_arguments_that_it_uses(family):
    """None at all, in any family: it is bound, and called with everything."""
    calls = []
    plugin, names = plugin_of(family, lambda self: calls.append("called"))
    hooks = binding.bind_object(family, plugin, "old").hooks
    for name in names:
        wanted = list(inspect.signature(getattr(family.spec, name)).parameters)[1:]
        arguments = dict.fromkeys(wanted)
        if "task" in arguments:
            arguments["task"] = FakeTask()
        try:
            getattr(hooks, name)(**arguments)
        except PluginFailed as error:
            assert "its contract says" in error.message  # it returns None, whatever is asked for
    assert len(calls) == len(names)


class LaterSpec(DnsSpec):
    """The DNS family of some later release: another argument, another optional hook."""

    @required
    def dns_add(self, zone, records, task, deadline) -> None: ...

    @required
    def dns_remove(self, zone, records, task) -> None: ...

    @optional
    def dns_sign(self, zone) -> None: ...


def test_a_plugin_of_this_release_works_with_a_later_family(monkeypatch):
    later = Family("dns", f"{__name__}:{LaterSpec.__name__}")
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(LaterSpec=LaterSpec))
    seen = []

    class Plugin:
        @hookimpl
        def dns_add(self, records, zone):
            seen.append((zone, records))

        @hookimpl
        def dns_remove(self): ...

    hooks = binding.bind_object(later, Plugin(), "old").hooks
    records = [TxtRecord("a.example.", "b")]
    hooks.dns_add(zone="example.", records=records, task=FakeTask(), deadline=5.0)
    assert seen == [("example.", records)]
    assert hooks.dns_sign(zone="example.") is None


def test_a_plugin_of_a_later_release_is_told_apart_here(monkeypatch):
    """It asks for an argument that this core does not have: refused when it is bound, not when called."""

    class Plugin:
        @hookimpl
        def dns_add(self, zone, records, deadline): ...

        @hookimpl
        def dns_remove(self): ...

    with pytest.raises(PluginBroken, match="dns_add asks for deadline, which core does not have"):
        binding.bind_object(DNS, Plugin(), "new")


def test_a_later_argument_can_be_declared_with_a_default():
    """So that one release of a plugin works with both."""
    seen = []

    class Plugin:
        @hookimpl
        def dns_add(self, zone, deadline=None):
            seen.append(deadline)

        @hookimpl
        def dns_remove(self): ...

    hooks = binding.bind_object(DNS, Plugin(), "both").hooks
    hooks.dns_add(zone="example.", records=[], task=FakeTask())
    assert seen == [None]


@pytest.mark.parametrize(
    ("requires", "number", "said"),
    [
        (
            f"pvefw>={PLUGIN_API + 1},<{PLUGIN_API + 2}",
            PLUGIN_API + 1,
            "for this pvefw, or upgrade pvefw",
        ),
        (
            f"pvefw>={PLUGIN_API - 1},<{PLUGIN_API}",
            PLUGIN_API - 1,
            "for this pvefw, or upgrade pvefw",
        ),
        (f"pvefw>={PLUGIN_API}.999", PLUGIN_API, "or upgrade pvefw"),
    ],
    ids=["newer", "older", "a later minor release"],
)
def test_another_plugin_api_number(tmp_path, monkeypatch, requires, number, said):
    """Refused by name and number before anything is imported."""
    info = tmp_path / "dist_acme-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: dist-acme\nVersion: 1.5\nRequires-Dist: {requires}\n"
    )
    (info / "entry_points.txt").write_text("[pvefw.dns]\nacme = dist_acme:Plugin\n")
    (tmp_path / "dist_acme.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    [listed] = [plugin for plugin in finding.installed(DNS) if plugin.name == "acme"]
    assert listed.api == number
    with pytest.raises(PluginBroken, match=r"dist-acme 1\.5\): it requires pvefw") as caught:
        binding.bind(DNS, "acme", {})
    assert f"(plugin API {PLUGIN_API})" in caught.value.message
    assert said in caught.value.hint
