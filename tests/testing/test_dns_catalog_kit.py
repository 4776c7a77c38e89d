"""The catalogue kit passes a good catalogue, and catches each seeded bug with a sentence about it."""

import inspect
import socket
from dataclasses import dataclass, replace

import pytest

from pvefw.core import binding
from pvefw.core.errors import ProviderError, PvefwError
from pvefw.core.families import DNS_CATALOG
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import CatalogEntry, SettingInfo
from pvefw.testing.dns_catalog import DnsCatalogConformance

SAMPLE = ("acmecorp", {"token": "s3cr3t-word"})


class Provider:
    def __init__(self, token):
        self.token = token

    @hookimpl
    def dns_add(self, records): ...

    @hookimpl
    def dns_remove(self, records): ...


@dataclass
class Good:
    """Two providers."""

    names = ("acmecorp", "otherdns")

    @hookimpl
    def catalog_names(self):
        return list(self.names)

    @hookimpl
    def catalog_entry(self, name):
        if name not in self.names:
            raise ProviderError(f"there is no {name}")
        return CatalogEntry(name, name.title(), [SettingInfo("token", "The token.", secret=True)])

    @hookimpl
    def catalog_make(self, name, values):
        self.catalog_entry(name)
        return Provider(values["token"])


class Unsorted(Good):
    names = ("otherdns", "acmecorp")


class Twice(Good):
    names = ("acmecorp", "acmecorp", "otherdns")


class Nothing(Good):
    names = ()


class OddNames(Good):
    names = ("Other DNS", "acmecorp")


class AsksTheNetwork(Good):
    @hookimpl
    def catalog_names(self):
        socket.getaddrinfo("localhost", 80)
        return list(self.names)


class NoTitle(Good):
    @hookimpl
    def catalog_entry(self, name):
        return replace(super().catalog_entry(name), title="")


class NoHelp(Good):
    @hookimpl
    def catalog_entry(self, name):
        return replace(super().catalog_entry(name), settings=[SettingInfo("token", "")])


class ForgetsASetting(Good):
    @hookimpl
    def catalog_entry(self, name):
        return replace(super().catalog_entry(name), settings=[])


class MakesUpUnknownNames(Good):
    @hookimpl
    def catalog_entry(self, name):
        return CatalogEntry(name, name, [SettingInfo("token", "The token.", secret=True)])


class RaisesKeyError(Good):
    @hookimpl
    def catalog_make(self, name, values):
        return dict.fromkeys(self.names, Provider)[name](values["token"])


class MakesNoPlugin(Good):
    @hookimpl
    def catalog_make(self, name, values):
        self.catalog_entry(name)
        return object()


class Shares(Good):
    shared = Provider("x")

    @hookimpl
    def catalog_make(self, name, values):
        self.catalog_entry(name)
        return self.shared


class ShowsTheToken(Good):
    @hookimpl
    def catalog_make(self, name, values):
        made = super().catalog_make(name, values)
        shown = type("Shown", (Provider,), {"__repr__": lambda self: f"Shown({self.token})"})
        return shown(made.token)


class NamesChange(Good):
    asked = 0

    @hookimpl
    def catalog_names(self):
        self.asked += 1
        return [*self.names, f"z{self.asked}"]


class Connects(Good):
    @hookimpl
    def catalog_names(self):
        with socket.socket() as client:
            client.connect(("127.0.0.1", 9))
        return list(self.names)


class TheEntryOfAnother(Good):
    @hookimpl
    def catalog_entry(self, name):
        return replace(super().catalog_entry(name), name="acmecorp")


class TwiceTheSetting(Good):
    @hookimpl
    def catalog_entry(self, name):
        entry = super().catalog_entry(name)
        return replace(entry, settings=[*entry.settings, *entry.settings])


class SaysNotWhy(Good):
    @hookimpl
    def catalog_entry(self, name):
        if name == "otherdns":
            raise ProviderError("")
        return super().catalog_entry(name)


class RequiresTooMuch(Good):
    @hookimpl
    def catalog_entry(self, name):
        more = SettingInfo("account", "The account.", required=True)
        entry = super().catalog_entry(name)
        return replace(entry, settings=[*entry.settings, more])


class EntryOfNobody(Good):
    @hookimpl
    def catalog_entry(self, name):
        known = {word: CatalogEntry(word, word, []) for word in self.names}
        return replace(known[name], settings=[SettingInfo("token", "The token.", secret=True)])


class MakesAnything(Good):
    @hookimpl
    def catalog_make(self, name, values):
        return Provider(values.get("token", ""))


class CannotRemove(Good):
    @hookimpl
    def catalog_make(self, name, values):
        self.catalog_entry(name)
        return type("Half", (), {"dns_add": Provider.dns_add})()


class ForgetsTheMark(Good):
    @hookimpl
    def catalog_make(self, name, values):
        self.catalog_entry(name)
        plain = {"dns_add": lambda self, records: None, "dns_remove": lambda self, records: None}
        return type("Plain", (), plain)()


class HidesTheSample(Good):
    @hookimpl
    def catalog_names(self):
        return ["otherdns"]


# --- other styles that are right ---------------------------------------------------------------------


class Open(Good):
    """It does not know all settings, and takes whatever there is."""

    @hookimpl
    def catalog_entry(self, name):
        return replace(super().catalog_entry(name), settings=[], open=True)


class NeedsAProgram(Good):
    """One of its providers cannot be used here, and it says why."""

    names = ("acmecorp", "otherdns", "third")

    @hookimpl
    def catalog_entry(self, name):
        if name == "third":
            raise ProviderError("third: the program third-dns is not installed")
        return super().catalog_entry(name)


def run_kit(plugin_class):
    """Run every test of the kit by hand; what the failures say, by test."""
    failures = {}
    for name, test in inspect.getmembers(DnsCatalogConformance(), inspect.ismethod):
        if not name.startswith("test_"):
            continue
        plugin = plugin_class()
        with pytest.MonkeyPatch.context() as monkeypatch:
            available = {
                "plugin": plugin,
                "hooks": binding.bind_object(DNS_CATALOG, plugin, "it").hooks,
                "sample": SAMPLE,
                "monkeypatch": monkeypatch,
            }
            wanted = {
                parameter: available[parameter] for parameter in inspect.signature(test).parameters
            }
            try:
                test(**wanted)
            except (AssertionError, PvefwError, pytest.fail.Exception) as error:
                failures[name] = str(error)
    return failures


@pytest.mark.parametrize("good", [Good, Open, NeedsAProgram])
def test_a_good_catalogue_passes(good):
    assert run_kit(good) == {}


class TestGood(DnsCatalogConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def plugin(self):
        return Good()

    @pytest.fixture
    def sample(self):
        return SAMPLE


SEEDED = [
    (Unsorted, "return sorted(names)"),
    (Twice, "has a name twice"),
    (Nothing, "name every provider that can be made"),
    (OddNames, "cannot be typed"),
    (AsksTheNetwork, "keep the list in the package"),
    (NoTitle, "has no title"),
    (NoHelp, "settings without help: token"),
    (ForgetsASetting, "the entry refuses settings that do"),
    (MakesUpUnknownNames, "catalog_entry of an unknown name must raise a ProviderError"),
    (RaisesKeyError, "it raised PluginFailed"),
    (MakesNoPlugin, "it lacks the hook dns_add, dns_remove"),
    (Shares, "returns the same object twice"),
    (ShowsTheToken, "shows a secret setting"),
    (NamesChange, "it must be constant"),
    (Connects, "keep the list in the package"),
    (TheEntryOfAnother, "the entry of otherdns is that of acmecorp"),
    (TwiceTheSetting, "has a setting twice"),
    (SaysNotWhy, "nobody says why"),
    (RequiresTooMuch, "the entry refuses settings that do"),
    (EntryOfNobody, "catalog_entry of an unknown name must raise a ProviderError"),
    (MakesAnything, "catalog_make of an unknown name must raise a ProviderError"),
    (CannotRemove, "methods dns_add and dns_remove are marked"),
    (ForgetsTheMark, "methods dns_add and dns_remove are marked"),
    (HidesTheSample, "is not in catalog_names"),
]


@pytest.mark.parametrize(("bug", "sentence"), SEEDED, ids=[bug.__name__ for bug, _ in SEEDED])
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    said = run_kit(bug)
    assert any(sentence in value for value in said.values()), said


@pytest.mark.parametrize("fixture", ["plugin", "sample"])
def test_what_the_author_must_write_says_so(fixture):
    definition = getattr(DnsCatalogConformance, fixture)
    with pytest.raises(NotImplementedError, match=f"Override the fixture '{fixture}'"):
        definition._fixture_function(DnsCatalogConformance())
