"""The DNS kit passes a good provider, and catches each seeded bug with a sentence about it."""

import inspect
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from pvefw.core.errors import CredentialsRejected, ProviderError, PvefwError, Unavailable
from pvefw.core.hookspecs import hookimpl
from pvefw.core.settings import setting
from pvefw.testing.dns import DnsConformance
from pvefw.testing.dns_care import DnsCare
from pvefw.testing.fakes import FakeTask

ZONE = "example.test."
TOKEN = "correct-token"
END = datetime(2030, 1, 1, tzinfo=UTC)


class Cloud:
    """A provider: record sets of its zones by name, a front door that wants the right token, and servers
    that show what was published.
    """

    def __init__(self):
        self.sets: dict[str, list[str]] = {}
        self.published: dict[str, set[str]] = {}
        self.maintenance = False

    def check(self, token):
        if token != TOKEN:
            raise CredentialsRejected("401 Unauthorized")

    def publish(self):
        if self.maintenance:
            self.maintenance = False
            raise Unavailable("503 maintenance")
        self.published = {name: set(values) for name, values in self.sets.items()}

    def fail_publishing(self):
        self.maintenance = True

    def shows(self, name):
        return self.published.get(name, set())


@dataclass
class Good:
    """As it should be."""

    cloud: str = setting(help="Which cloud.")
    token: str = setting(help="The API token.", secret=True, default=TOKEN)

    @hookimpl
    def dns_add(self, zone, records):
        self.cloud.check(self.token)
        for record in records:
            self.add(zone, record)
        self.cloud.publish()

    @hookimpl
    def dns_remove(self, zone, records):
        self.cloud.check(self.token)
        for record in records:
            self.remove(zone, record)
        self.cloud.publish()

    @hookimpl
    def dns_zones(self):
        return [ZONE]

    @hookimpl
    def dns_credentials_end(self):
        return END

    def at(self, name):
        return self.cloud.sets.setdefault(name, [])

    def add(self, zone, record):
        if record.value not in self.at(record.name):
            self.at(record.name).append(record.value)

    def remove(self, zone, record):
        if record.value in self.at(record.name):
            self.at(record.name).remove(record.value)


class Overwrites(Good):
    def add(self, zone, record):
        self.cloud.sets[record.name] = [record.value]


class OverwritesWithinACall(Good):
    @hookimpl
    def dns_add(self, zone, records):
        self.cloud.check(self.token)
        for name, value in {record.name: record.value for record in records}.items():
            if value not in self.at(name):
                self.at(name).append(value)
        self.cloud.publish()


class DeletesTheWholeSet(Good):
    def remove(self, zone, record):
        self.at(record.name).clear()


class DeletesByValueEverywhere(Good):
    def remove(self, zone, record):
        for values in self.cloud.sets.values():
            if record.value in values:
                values.remove(record.value)


class DeletesBelow(Good):
    """Takes the end of a name for the name."""

    def remove(self, zone, record):
        for name, values in self.cloud.sets.items():
            if name.endswith(record.name) and record.value in values:
                values.remove(record.value)


class AddsWithoutCase(Good):
    def add(self, zone, record):
        if record.value.lower() not in map(str.lower, self.at(record.name)):
            super().add(zone, record)


class RemovesWithoutCase(Good):
    def remove(self, zone, record):
        wanted = record.value.lower()
        self.at(record.name)[:] = [v for v in self.at(record.name) if v.lower() != wanted]


class TakesAPartForTheWhole(Good):
    def add(self, zone, record):
        if not any(record.value in value for value in self.at(record.name)):
            super().add(zone, record)


class RemovesWhatHasThePart(Good):
    def remove(self, zone, record):
        self.at(record.name)[:] = [v for v in self.at(record.name) if record.value not in v]


class StopsWhereOneIsThere(Good):
    @hookimpl
    def dns_add(self, zone, records):
        self.cloud.check(self.token)
        for record in records:
            if record.value in self.at(record.name):
                break
            self.add(zone, record)
        self.cloud.publish()


class StopsWhereOneIsGone(Good):
    @hookimpl
    def dns_remove(self, zone, records):
        self.cloud.check(self.token)
        for record in records:
            if record.value not in self.at(record.name):
                break
            self.remove(zone, record)
        self.cloud.publish()


class AddsWhereTheLastIsNotThere(Good):
    @hookimpl
    def dns_add(self, zone, records):
        self.cloud.check(self.token)
        for record in records if records[-1].value not in self.at(records[-1].name) else []:
            self.add(zone, record)
        self.cloud.publish()


class TakesTheSetBelow(Good):
    """The first whose name ends so."""

    def at(self, name):
        sets = [values for key, values in self.cloud.sets.items() if values and key.endswith(name)]
        return sets[0] if sets else super().at(name)


class FindsItBelow(Good):
    def add(self, zone, record):
        names = [name for name, values in self.cloud.sets.items() if record.value in values]
        if not any(name.endswith(record.name) for name in names):
            super().add(zone, record)


class WrongZone(Good):
    """Takes the last three labels for the zone, whatever it is told."""

    def add(self, zone, record):
        assumed = ".".join(record.name.split(".")[-4:])
        host = record.name.removesuffix(f".{assumed}")
        self.at(f"{host}.{zone}").append(record.value)


class AppendsTheZoneToAbsoluteNames(Good):
    def add(self, zone, record):
        self.at(f"{record.name}{zone}").append(record.value)


class StripsADotThatIsNotThere(Good):
    """The zone's own name stays whole, and becomes ``example.test.example.test.``"""

    def add(self, zone, record):
        host = record.name.removesuffix(f".{zone}")
        if record.value not in self.at(f"{host}.{zone}"):
            self.at(f"{host}.{zone}").append(record.value)


class OnlyTwoLevels(Good):
    """Keeps one label of what stands before the zone, and loses the rest of deep names."""

    def add(self, zone, record):
        labels = record.name.removesuffix(f".{zone}").split(".")
        super_name = ".".join(labels[:3]) + f".{zone}"
        if record.value not in self.at(super_name):
            self.at(super_name).append(record.value)


@dataclass
class RemembersInMemory(Good):
    def __post_init__(self):
        self.added = set()

    def add(self, zone, record):
        super().add(zone, record)
        self.added.add((record.name, record.value))

    def remove(self, zone, record):
        if (record.name, record.value) in self.added:
            super().remove(zone, record)


@dataclass
class ComparesTheTtl(Good):
    def __post_init__(self):
        self.cloud.ttls = getattr(self.cloud, "ttls", {})

    def add(self, zone, record):
        super().add(zone, record)
        self.cloud.ttls[record.name, record.value] = record.ttl

    def remove(self, zone, record):
        if self.cloud.ttls.get((record.name, record.value)) == record.ttl:
            super().remove(zone, record)


class Doubles(Good):
    def add(self, zone, record):
        self.at(record.name).append(record.value)


class RefusesDuplicates(Good):
    def add(self, zone, record):
        if record.value in self.at(record.name):
            raise ProviderError("409 record exists")
        super().add(zone, record)


class MissesTheMissing(Good):
    def remove(self, zone, record):
        if record.value not in self.at(record.name):
            raise ProviderError("404 no such record")
        super().remove(zone, record)


class RemovesTheFirstIfMissing(Good):
    def remove(self, zone, record):
        values = self.at(record.name)
        if values:
            values.remove(record.value if record.value in values else values[0])


class OnlyTheFirst(Good):
    @hookimpl
    def dns_add(self, zone, records):
        super().dns_add(zone, records[:1])


class RemovesOnlyTheFirst(Good):
    @hookimpl
    def dns_remove(self, zone, records):
        super().dns_remove(zone, records[:1])


class NeverRemoves(Good):
    def remove(self, zone, record):
        pass


class SwallowsErrors(Good):
    @hookimpl
    def dns_add(self, zone, records):
        try:
            super().dns_add(zone, records)
        except ProviderError:
            return


class ReturnsAStatus(Good):
    @hookimpl
    def dns_add(self, zone, records):
        super().dns_add(zone, records)
        return True


class RaisesSomethingElse(Good):
    @hookimpl
    def dns_remove(self, zone, records):
        if self.token != TOKEN:
            raise ConnectionError("401 Unauthorized")
        super().dns_remove(zone, records)


class SaysOnlyThatItFailed(Good):
    @hookimpl
    def dns_add(self, zone, records):
        if self.token != TOKEN:
            raise ProviderError("401 Unauthorized")
        super().dns_add(zone, records)


class LowersTheCase(Good):
    def add(self, zone, record):
        if record.value.lower() not in self.at(record.name):
            self.at(record.name).append(record.value.lower())


class KeepsTheQuotes(Good):
    def add(self, zone, record):
        if f'"{record.value}"' not in self.at(record.name):
            self.at(record.name).append(f'"{record.value}"')


class PublishesOnlyWhatItAdds(Good):
    @hookimpl
    def dns_add(self, zone, records):
        if any(record.value not in self.at(record.name) for record in records):
            super().dns_add(zone, records)


class PublishesOnlyWhatItRemoves(Good):
    @hookimpl
    def dns_remove(self, zone, records):
        self.cloud.check(self.token)
        if any(record.value in self.at(record.name) for record in records):
            super().dns_remove(zone, records)


class GivesUpOnMaintenance(Good):
    @hookimpl
    def dns_add(self, zone, records):
        try:
            super().dns_add(zone, records)
        except Unavailable as error:
            raise ProviderError(str(error)) from error


class RelativeZones(Good):
    @hookimpl
    def dns_zones(self):
        return [ZONE.rstrip(".")]


class FirstPageOfZones(Good):
    @hookimpl
    def dns_zones(self):
        return ["another.test."]


class NaiveEnd(Good):
    @hookimpl
    def dns_credentials_end(self):
        return END.replace(tzinfo=None)


class AsksForTheEnd(Good):
    @hookimpl
    def dns_credentials_end(self):
        with socket.socket() as bug_:
            bug_.connect(("127.0.0.1", 9))


class ShowsItsToken(Good):
    def __repr__(self):
        return f"ShowsItsToken({self.token})"


@dataclass
class NoHelp(Good):
    region: str = "eu"


def fixtures(plugin_class):
    """What the kit's tests ask for, for one plugin class."""
    cloud, kit = Cloud(), DnsConformance()
    plugin = plugin_class(cloud)
    return {
        "plugin": plugin,
        "zone": ZONE,
        "records": cloud.shows,
        "fresh_plugin": lambda: plugin_class(cloud),
        "broken_plugin": plugin_class(cloud, token="wrong-token"),
        "fail_publishing": cloud.fail_publishing,
        "task": FakeTask(),
        "hooks": kit.bind(plugin),
        "monkeypatch": pytest.MonkeyPatch(),
    }


def run_kit(plugin_class):
    """Run every test of the kit by hand; what the failures say, by test."""
    failures = {}
    for name, test in inspect.getmembers(Impatient(), inspect.ismethod):
        if not name.startswith("test_") or hasattr(DnsCare, name):
            continue
        for position in (2, 3, 4):
            available = {
                **fixtures(plugin_class),
                "position": position,
                "at": position % 2,
            }
            wanted = {
                parameter: available[parameter] for parameter in inspect.signature(test).parameters
            }
            try:
                test(**wanted)
            except (AssertionError, PvefwError, pytest.fail.Exception) as error:
                failures[name] = str(error)
    return failures


class Impatient(DnsConformance):
    __test__ = False
    patience = 0.0


def test_a_good_provider_passes():
    assert run_kit(Good) == {}


class TestGood(DnsConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def cloud(self):
        return Cloud()

    @pytest.fixture
    def plugin(self, cloud):
        return Good(cloud)

    @pytest.fixture
    def zone(self):
        return ZONE

    @pytest.fixture
    def records(self, cloud):
        return cloud.shows

    @pytest.fixture
    def fail_publishing(self, cloud):
        return cloud.fail_publishing

    @pytest.fixture
    def broken_plugin(self, cloud):
        return Good(cloud, token="wrong-token")


SEEDED = [
    (Overwrites, "overwrote the one at"),
    (OverwritesWithinACall, "in one call not both are there"),
    (DeletesTheWholeSet, "took another one away: remove exactly the pairs"),
    (DeletesByValueEverywhere, "which has the same value: compare the name, too"),
    (DeletesBelow, "compare the name, too, the whole of it"),
    (AddsWithoutCase, "compare the whole value, letter by letter"),
    (RemovesWithoutCase, "there is nothing: compare"),
    (TakesAPartForTheWhole, "compare the whole value, letter by letter"),
    (RemovesWhatHasThePart, "there is nothing: compare"),
    (StopsWhereOneIsThere, "go on with the next record where one is there"),
    (StopsWhereOneIsGone, "go on with the next record where one is gone"),
    (AddsWhereTheLastIsNotThere, "go on with the next record where one is there"),
    (TakesTheSetBelow, "look for the whole name, not for one that ends so"),
    (FindsItBelow, "compare whole names"),
    (WrongZone, "take the zone's name, once, off the end"),
    (AppendsTheZoneToAbsoluteNames, "create the record at exactly that name"),
    (StripsADotThatIsNotThere, "none for the zone itself"),
    (OnlyTwoLevels, "whatever the number of labels"),
    (RemembersInMemory, "nothing may be remembered from dns_add"),
    (ComparesTheTtl, "nor may the TTL count"),
    (Doubles, "must not double the record"),
    (RefusesDuplicates, "core repeats calls"),
    (MissesTheMissing, "clean-up is repeated until it succeeds"),
    (RemovesTheFirstIfMissing, "took another one away: compare the value"),
    (OnlyTheFirst, "must add every record of the list"),
    (RemovesOnlyTheFirst, "must remove every record of the list"),
    (NeverRemoves, "after dns_remove the value is still at"),
    (SwallowsErrors, "returns as if all were well"),
    (ReturnsAStatus, "its contract says nothing"),
    (RaisesSomethingElse, "raises PluginFailed"),
    (SaysOnlyThatItFailed, "raise CredentialsRejected with the provider's words"),
    (LowersTheCase, "with its upper and lower case and without quotes"),
    (KeepsTheQuotes, "with its upper and lower case and without quotes"),
    (PublishesOnlyWhatItAdds, "that the record is there does not mean that it was published"),
    (PublishesOnlyWhatItRemoves, "that the record is gone does not mean that this was published"),
    (GivesUpOnMaintenance, "raise Unavailable, core then calls again"),
    (NaiveEnd, "return an aware time"),
    (AsksForTheEnd, "tell from the settings alone"),
    (RelativeZones, "return absolute lower-case names"),
    (FirstPageOfZones, "return every zone that these credentials can change"),
    (ShowsItsToken, "repr() shows the setting token"),
    (NoHelp, "the setting region has no help"),
]


@pytest.mark.parametrize(("bug", "sentence"), SEEDED, ids=[bug.__name__ for bug, _ in SEEDED])
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    said = run_kit(bug)
    assert any(sentence in value for value in said.values()), said


@pytest.mark.parametrize("fixture", ["plugin", "zone", "records"])
def test_what_the_author_must_write_says_so(fixture):
    """Overriding nothing fails with what to write."""
    definition = getattr(DnsConformance, fixture)
    with pytest.raises(NotImplementedError, match=f"Override the fixture '{fixture}'"):
        definition._fixture_function(DnsConformance())
