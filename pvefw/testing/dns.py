"""The conformance kit of the dns family.

Inherit from :class:`DnsConformance`, and say how to make the plugin, which zone it may change, and how to
see what the provider has::

    class TestAcmecorp(DnsConformance):
        zone = "example.com."

        @pytest.fixture
        def make_plugin(self, server):
            return lambda: Acmecorp(token=server.token)

        @pytest.fixture
        def values(self, server):
            return lambda name: server.txt(name)          # a list, one item for each record
"""

from collections.abc import Callable, Iterator

import pytest

from pvefw import plugins, settings
from pvefw.errors import CredentialsRejected, PvefwError
from pvefw.hookspecs.dns import DNS, DnsSpec
from pvefw.model import TxtRecord
from pvefw.testing.fakes import FakeTask

Make = Callable[[], object]
Values = Callable[[str], list[str]]

FOREIGN = "foreign-value-of-somebody-else"
"""A record that no plugin may touch."""


class DnsConformance:
    """What every DNS plugin must do. Each failure says in one sentence what is wrong."""

    zone = ""
    """The zone that the tests may change, absolute: ``example.com.``"""

    @pytest.fixture
    def make_plugin(self) -> Make:
        """Makes the plugin from its settings, anew at every call. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'make_plugin': return a function that makes your plugin."
        )

    @pytest.fixture
    def values(self) -> Values:
        """What the provider has: all values of the TXT records at a name. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'values': return a function that takes an absolute name and "
            "returns a list with one string for each TXT record there."
        )

    @pytest.fixture
    def rejected_plugin(self) -> object | None:
        """The plugin with credentials that the provider refuses; without one, that is not tested."""
        return None

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task that hooks get."""
        return FakeTask()

    @pytest.fixture
    def hooks(self, make_plugin: Make, task: FakeTask) -> Iterator[DnsSpec]:
        """The plugin's hooks, bound as core binds them; the zone is cleaned up after the test."""
        yield self.bind(make_plugin())
        everything = [*self.records(4), *self.records(1, FOREIGN), self.record("", "apex")]
        everything += [self.record("deep.er.down", f"value-{number}") for number in range(2)]
        self.bind(make_plugin()).dns_remove(zone=self.zone, records=everything, task=task)

    def bind(self, plugin: object) -> DnsSpec:
        """A plugin's hooks, as core calls them."""
        hooks: DnsSpec = plugins.bind_object(DNS, plugin, type(plugin).__name__).hooks
        return hooks

    def record(self, label: str, value: str) -> TxtRecord:
        """A record at ``_acme-challenge`` below a label of the zone."""
        inner = f"{label}." if label else ""
        return TxtRecord(f"_acme-challenge.{inner}{self.zone}", value)

    def records(self, count: int, value: str = "") -> list[TxtRecord]:
        """Different values at one name, as for a wildcard and its base."""
        letters = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLm"
        return [self.record("kit", value or f"{letters}{number:02d}") for number in range(count)]

    # --- adding ---

    def test_settings_have_help(self, make_plugin: Make) -> None:
        """Every setting says what it is for, and secrets do not show in repr."""
        plugin = make_plugin()
        for info in settings.declared(type(plugin)):
            assert info.help, f"the setting {info.key} has no help: declare it with setting(help=…)"

    def test_a_record_is_added(self, hooks: DnsSpec, values: Values, task: FakeTask) -> None:
        """One record, at exactly its name, with exactly its value."""
        [one] = self.records(1)
        hooks.dns_add(zone=self.zone, records=[one], task=task)
        found = values(one.name)
        assert found == [one.value], (
            f"after dns_add the provider has {found!r} at {one.name} instead of {[one.value]!r}: "
            "use the name and value as they are (names are absolute, with the final dot)"
        )

    def test_two_values_stand_side_by_side(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """A wildcard and its base need two values at one name, in one call."""
        both = self.records(2)
        hooks.dns_add(zone=self.zone, records=both, task=task)
        found = values(both[0].name)
        assert sorted(found) == sorted(one.value for one in both), (
            f"of two records at one name the provider has {found!r}: "
            "add each value beside the others, do not replace the record set"
        )

    def test_a_later_value_stands_beside(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """Another order's value is added in another call."""
        first, second = self.records(2)
        hooks.dns_add(zone=self.zone, records=[first], task=task)
        hooks.dns_add(zone=self.zone, records=[second], task=task)
        found = values(first.name)
        assert first.value in found, "dns_add replaced a value that was there: add beside it"
        assert second.value in found, "a value at a name that is taken already was not added"

    def test_several_names_in_one_call(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """Everything of the list, at different depths, the zone's own name included."""
        wanted = [self.record("", "apex"), self.record("deep.er.down", "value-0"), *self.records(1)]
        hooks.dns_add(zone=self.zone, records=wanted, task=task)
        for one in wanted:
            assert values(one.name) == [one.value], (
                f"{one.name} was not added: dns_add gets several records, at several names, "
                "the zone's own name among them"
            )

    def test_adding_again_changes_nothing(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """A repeated call succeeds and doubles nothing."""
        [one] = self.records(1)
        hooks.dns_add(zone=self.zone, records=[one], task=task)
        hooks.dns_add(zone=self.zone, records=[one], task=task)
        found = values(one.name)
        assert found == [one.value], (
            f"after adding a record twice the provider has {found!r}: "
            "a record that is there already is not added again, and is no error"
        )

    # --- removing ---

    def test_a_record_is_removed(self, hooks: DnsSpec, values: Values, task: FakeTask) -> None:
        """Nothing is left of it."""
        [one] = self.records(1)
        hooks.dns_add(zone=self.zone, records=[one], task=task)
        hooks.dns_remove(zone=self.zone, records=[one], task=task)
        assert values(one.name) == [], "after dns_remove the record is still there"

    def test_exactly_the_value_is_removed(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """Other values at the name stay: ours and those of others."""
        first, second = self.records(2)
        [foreign] = self.records(1, FOREIGN)
        hooks.dns_add(zone=self.zone, records=[foreign, first, second], task=task)
        hooks.dns_remove(zone=self.zone, records=[first], task=task)
        found = values(first.name)
        assert first.value not in found, "dns_remove left the value that it was to remove"
        assert second.value in found, (
            "dns_remove took another value at the same name along: remove exactly (name, value)"
        )
        assert FOREIGN in found, (
            "dns_remove took somebody else's value along: remove exactly (name, value)"
        )

    def test_other_names_stay(self, hooks: DnsSpec, values: Values, task: FakeTask) -> None:
        """The same value at another name is another record."""
        here, there = self.record("kit", "value-1"), self.record("deep.er.down", "value-1")
        hooks.dns_add(zone=self.zone, records=[here, there], task=task)
        hooks.dns_remove(zone=self.zone, records=[here], task=task)
        assert values(there.name) == ["value-1"], (
            "dns_remove took the same value at another name along: remove exactly (name, value)"
        )

    def test_several_are_removed_in_one_call(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """Everything of the list goes."""
        wanted = [*self.records(2), self.record("", "apex")]
        hooks.dns_add(zone=self.zone, records=wanted, task=task)
        hooks.dns_remove(zone=self.zone, records=wanted, task=task)
        for one in wanted:
            assert values(one.name) == [], (
                f"{one.name} was left behind: dns_remove gets several records"
            )

    def test_removing_what_is_gone_is_no_error(
        self, hooks: DnsSpec, values: Values, task: FakeTask
    ) -> None:
        """Clean-up may come twice, or after an add that never happened; the rest still goes."""
        first, second = self.records(2)
        hooks.dns_remove(zone=self.zone, records=[first], task=task)
        hooks.dns_add(zone=self.zone, records=[second], task=task)
        hooks.dns_remove(zone=self.zone, records=[first, second], task=task)
        hooks.dns_remove(zone=self.zone, records=[first, second], task=task)
        assert values(second.name) == [], (
            "a record that was gone kept dns_remove from removing the next one"
        )

    def test_another_process_can_remove(
        self, hooks: DnsSpec, make_plugin: Make, values: Values, task: FakeTask
    ) -> None:
        """After a crash a fresh instance removes what another one added."""
        one, other = self.records(2)
        hooks.dns_add(zone=self.zone, records=[one, other], task=task)
        fresh = self.bind(make_plugin())
        fresh.dns_remove(zone=self.zone, records=[one], task=task)
        assert values(one.name) == [other.value], (
            "a fresh instance does not remove what another one added: look records up at the "
            "provider, do not remember them"
        )

    # --- the rest of the contract ---

    def test_zones_are_absolute_and_hold_the_zone(self, hooks: DnsSpec) -> None:
        """``dns_zones``, where it is there, tells of the zone of this test."""
        zones = hooks.dns_zones()
        if zones is None:
            return
        for name in zones:
            assert name.endswith("."), f"dns_zones gives {name!r}: names end with a dot"
            assert name == name.lower(), f"dns_zones gives {name!r}: names are in lower case"
        assert self.zone in zones, f"dns_zones does not give {self.zone}: list every zone"

    def test_refused_credentials_are_said_to_be(
        self, rejected_plugin: object | None, task: FakeTask
    ) -> None:
        """A refusal is a :class:`CredentialsRejected`, so that core does not try again."""
        if rejected_plugin is None:
            return
        try:
            self.bind(rejected_plugin).dns_add(zone=self.zone, records=self.records(1), task=task)
        except CredentialsRejected:
            return
        except PvefwError as error:
            raise AssertionError(
                f"refused credentials raise {type(error).__name__} ({error}): "
                "raise CredentialsRejected, in the provider's words"
            ) from error
        raise AssertionError(
            "dns_add returned although the provider refused the credentials: raise "
            "CredentialsRejected"
        )
