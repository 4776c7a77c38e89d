"""The DNS kit passes a good plugin, and catches each seeded bug with a sentence about it."""

import inspect
from dataclasses import dataclass, field

import pytest

from pvefw.errors import CredentialsRejected, PvefwError
from pvefw.hookspecs import hookimpl
from pvefw.settings import setting
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask

ZONE = "example.test."


class Provider:
    """What lies at the provider: a list of (name, value)."""

    def __init__(self):
        self.records = []

    def values(self, name):
        return [value for there, value in self.records if there == name]


PROVIDER = Provider()


@dataclass
class Good:
    """Does what the contract says."""

    token: str = setting(help="The token.", default="good", secret=True)
    provider: Provider = field(default_factory=lambda: PROVIDER, init=False, repr=False)

    def check(self):
        if self.token != "good":
            raise CredentialsRejected("no such token")

    @hookimpl
    def dns_zones(self):
        return [ZONE]

    @hookimpl
    def dns_add(self, zone, records):
        self.check()
        for one in records:
            self.add(one)

    def add(self, one):
        if (one.name, one.value) not in self.provider.records:
            self.provider.records.append((one.name, one.value))

    @hookimpl
    def dns_remove(self, zone, records):
        self.check()
        for one in records:
            self.remove(one)

    def remove(self, one):
        if (one.name, one.value) in self.provider.records:
            self.provider.records.remove((one.name, one.value))


class Overwrites(Good):
    def add(self, one):
        self.provider.records = [r for r in self.provider.records if r[0] != one.name]
        super().add(one)


class DeletesAllValues(Good):
    def remove(self, one):
        self.provider.records = [r for r in self.provider.records if r[0] != one.name]


class DeletesTheValueEverywhere(Good):
    def remove(self, one):
        self.provider.records = [r for r in self.provider.records if r[1] != one.value]


class WrongZone(Good):
    def add(self, one):
        self.provider.records.append((f"{one.name}{ZONE}", one.value))

    def remove(self, one):
        gone = (f"{one.name}{ZONE}", one.value)
        self.provider.records = [r for r in self.provider.records if r != gone]


@dataclass
class RemembersInMemory(Good):
    mine: set = field(default_factory=set, init=False)

    def add(self, one):
        super().add(one)
        self.mine.add((one.name, one.value))

    def remove(self, one):
        if (one.name, one.value) in self.mine:
            super().remove(one)


class Doubles(Good):
    def add(self, one):
        self.provider.records.append((one.name, one.value))


class RefusesWhatIsThere(Good):
    def add(self, one):
        if (one.name, one.value) in self.provider.records:
            raise ValueError("record exists")
        super().add(one)


class RefusesWhatIsGone(Good):
    def remove(self, one):
        self.provider.records.remove((one.name, one.value))


class OnlyTheFirst(Good):
    @hookimpl
    def dns_add(self, zone, records):
        self.check()
        self.add(records[0])


class RemovesOnlyTheFirst(Good):
    @hookimpl
    def dns_remove(self, zone, records):
        self.check()
        self.remove(records[0])


class NotAtTheApex(Good):
    def add(self, one):
        if one.name != f"_acme-challenge.{ZONE}":
            super().add(one)


class ReturnsAStatus(Good):
    @hookimpl
    def dns_add(self, zone, records):
        super().dns_add(zone, records)
        return True


class SwallowsErrors(Good):
    def check(self):
        pass


class WrongError(Good):
    def check(self):
        if self.token != "good":
            raise PermissionError("401")


class ChangesCase(Good):
    def add(self, one):
        self.provider.records.append((one.name, one.value.lower()))


class RelativeZones(Good):
    @hookimpl
    def dns_zones(self):
        return [ZONE.rstrip(".")]


def run_kit(plugin_class):
    """Run every test of the kit by hand; the failures by test."""

    class Kit(DnsConformance):
        zone = ZONE

    failures = {}
    for name, test in inspect.getmembers(Kit(), inspect.ismethod):
        if not name.startswith("test_"):
            continue
        PROVIDER.records.clear()
        available = {
            "make_plugin": plugin_class,
            "hooks": Kit().bind(plugin_class()),
            "values": PROVIDER.values,
            "rejected_plugin": plugin_class(token="bad"),
            "task": FakeTask(),
        }
        try:
            test(**{one: available[one] for one in inspect.signature(test).parameters})
        except (AssertionError, PvefwError) as error:
            failures[name] = str(error)
    return failures


def test_a_good_plugin_passes():
    assert run_kit(Good) == {}


class TestGood(DnsConformance):
    """The kit as authors use it; it leaves the zone as it found it."""

    zone = ZONE

    @pytest.fixture
    def make_plugin(self):
        PROVIDER.records.clear()
        yield Good
        assert PROVIDER.records == []

    @pytest.fixture
    def values(self):
        return PROVIDER.values

    @pytest.fixture
    def rejected_plugin(self):
        return Good(token="bad")


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (Overwrites, "do not replace the record set"),
        (DeletesAllValues, "took another value at the same name along"),
        (DeletesTheValueEverywhere, "took the same value at another name along"),
        (WrongZone, "use the name and value as they are"),
        (RemembersInMemory, "look records up at the provider, do not remember them"),
        (Doubles, "a record that is there already is not added again"),
        (RefusesWhatIsThere, "dns_add failed: ValueError: record exists"),
        (RefusesWhatIsGone, "dns_remove failed: ValueError"),
        (OnlyTheFirst, "dns_add gets several records"),
        (RemovesOnlyTheFirst, "was left behind: dns_remove gets several records"),
        (NotAtTheApex, "the zone's own name among them"),
        (ReturnsAStatus, "returned True, its contract says nothing"),
        (SwallowsErrors, "returned although the provider refused the credentials"),
        (WrongError, "refused credentials raise PluginFailed"),
        (ChangesCase, "use the name and value as they are"),
        (RelativeZones, "names end with a dot"),
    ],
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    failures = run_kit(bug)
    assert any(sentence in said for said in failures.values()), failures
