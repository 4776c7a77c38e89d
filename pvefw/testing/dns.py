"""The conformance kit of the DNS family.

Inherit from :class:`DnsConformance` and say how to make the plugin, which zone it may change, and how to
ask what is there::

    class TestAcmecorp(DnsConformance):
        @pytest.fixture
        def plugin(self, fake):
            return Acmecorp(token=fake.token)

        @pytest.fixture
        def zone(self):
            return "example.com."

        @pytest.fixture
        def records(self, fake):
            return lambda name: fake.txt(name)  # the set of values, as the server shows them

        @pytest.fixture
        def broken_plugin(self):
            return Acmecorp(token="wrong")

The kit writes below ``pvefw-kit`` in the zone, at the zone's own ``_acme-challenge`` and at its own name,
and cleans up. Where the API is one of :func:`pvefw.testing.http_api.http_api`, it plays a bad day, too:
:mod:`pvefw.testing.surroundings`.

It calls hooks as core does: after RateLimited and Unavailable again, with fewer records after a limit.

What it cannot see: whether the fake answers as the real API does; whether changes reach all of the
provider's servers; what two orders at once do to each other; errors that the API says with status 200,
but for ids that it does not have; records of other types, where neither the fake has ``put`` and
``everything`` nor the API says of each record that it is ``TXT``; sleeping otherwise than with
``time.sleep``; credentials that the API gets under a name that does not say so; certificates that are not
verified, where the plugin does not use requests; answers that end too early. ``pvefw dns test`` with a
real account shows the first two.
"""

import dataclasses
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, cast

import pytest

from pvefw import seam
from pvefw.api import (
    CredentialsRejected,
    RateLimited,
    SettingInfo,
    TxtRecord,
    Unavailable,
    Unsupported,
)
from pvefw.seam import DnsSpec, PvefwError
from pvefw.testing._dns import AsCore, InTime, Records, make_value, shown, values
from pvefw.testing.dns_care import DnsCare
from pvefw.testing.fakes import FakeTask

__all__ = ["DnsConformance", "Records", "make_value"]

_LONGEST_WAIT = 2.0
"""Seconds that ``task.wait`` really takes at most: waiting for a limit must work, and not for ever."""


class DnsConformance(DnsCare):
    """What every DNS plugin must do. Each failure says in one sentence what is wrong."""

    patience = 5.0
    """Seconds until a change that was accepted must show in ``records``; class attribute to override."""

    # --- what the author says ---------------------------------------------------------------------

    @pytest.fixture
    def plugin(self) -> object:
        """The plugin, made from its settings. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'plugin': return your plugin, ready to use."
        )

    @pytest.fixture
    def zone(self) -> str:
        """A zone that the plugin may change, absolute. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'zone': return a zone that the plugin may change, such as "
            "'example.com.', with the final dot."
        )

    @pytest.fixture
    def records(self) -> Records:
        """Asks the server. To be overridden."""
        raise NotImplementedError(
            "Override the fixture 'records': return a function that takes an absolute name and "
            "returns the set of TXT values that the server shows there."
        )

    @pytest.fixture
    def fresh_plugin(self, plugin: object) -> Callable[[], object]:
        """Makes another instance, as another process would. Override it where a copy does not do."""
        return lambda: dataclasses.replace(plugin)  # type: ignore[type-var]  # plugins are dataclasses

    @pytest.fixture
    def fail_publishing(self) -> Callable[[], None] | None:
        """Lets the next publishing fail, once, after the records are stored.

        To be overridden where publishing is a step of its own (a refresh, an apply, a commit), or a job
        that the API makes of a change: return a function that makes the server answer that step with
        status 503, or lose its connection, or lets the next job fail.
        """
        return None

    @pytest.fixture
    def broken_plugin(self) -> object | None:
        """The plugin with credentials that the provider rejects; ``None`` where there are none."""
        return None

    # --- what the kit makes of it -----------------------------------------------------------------

    @pytest.fixture
    def task(self) -> FakeTask:
        """The task that hooks get."""
        return FakeTask(longest=_LONGEST_WAIT)

    @pytest.fixture
    def hooks(
        self, plugin: object, zone: str, records: Records, task: FakeTask
    ) -> Iterator[AsCore]:
        """The plugin's hooks, bound and repeated as in core; what a test left is removed after it."""
        hooks = self.bind(plugin)
        yield hooks
        for name in self.names(zone):
            there = records(name)
            left = [
                record
                for record in self.values(name, 10)
                if record in hooks.added or record.value in there
            ]
            if left:
                hooks.dns_remove(zone=zone, records=left, task=task)

    @staticmethod
    def bind(plugin: object) -> AsCore:
        """The hooks of a plugin, guarded and repeated as in core."""
        return AsCore(cast("DnsSpec", InTime(seam.bind("dns", plugin).hooks)))

    @staticmethod
    def names(zone: str) -> list[str]:
        """The names that the kit uses: two ordinary ones, a deep one, the apex's challenge, the apex,
        one below the first, and one that has the zone's name twice.

        An alias may lead to the zone's own name.
        """
        return [
            f"_acme-challenge.one.pvefw-kit.{zone}",
            f"_acme-challenge.two.pvefw-kit.{zone}",
            f"_acme-challenge.a.b.c.d.e.pvefw-kit.{zone}",
            f"_acme-challenge.{zone}",
            zone,
            f"below._acme-challenge.one.pvefw-kit.{zone}",
            f"_acme-challenge.{zone}pvefw-kit.{zone}",
        ]

    @staticmethod
    def values(name: str, count: int, start: int = 0) -> list[TxtRecord]:
        """Some values for one name."""
        return values(name, count, start)

    def shown(self, records: Records, name: str, expected: Sequence[TxtRecord]) -> set[str]:
        """What the server shows once it shows what is expected, or when patience is at its end."""
        return shown(records, name, expected, self.patience)

    # --- adding -------------------------------------------------------------------------------------

    def test_a_record_is_added(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """The value is at the name, character by character."""
        [record] = self.values(self.names(zone)[0], 1)
        hooks.dns_add(zone=zone, records=[record], task=task)
        texts = self.shown(records, record.name, [record])
        assert texts, (
            f"after dns_add there is nothing at {record.name}: create the record at exactly that name "
            "(it is absolute; many APIs want it relative to the zone), wait until a job that the API "
            "makes of it is done, or raise a ProviderError"
        )
        assert texts == {record.value}, (
            f"after dns_add there is {sorted(texts)} at {record.name} instead of {record.value!r}: "
            "store the value as it is, with its upper and lower case and without quotes"
        )

    @pytest.mark.parametrize("position", [2, 3, 4, 6], ids=["deep", "apex", "zone", "twice"])
    def test_every_depth_works(
        self, position: int, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """A name with many labels below the zone, the zone's own challenge name, and its own name.

        For its own name an API may have no way: then ``Unsupported`` says so, and nothing is written.
        """
        name = self.names(zone)[position]
        added = self.values(name, 1)
        try:
            hooks.dns_add(zone=zone, records=added, task=task)
        except Unsupported:
            assert name == zone, (
                f"{name} cannot be written: only the zone's own name may be refused"
            )
            assert not records(name), (
                f"{name} was refused as unsupported, and written all the same: refuse it before you write"
            )
            return
        assert self.shown(records, name, added) == {added[0].value}, (
            f"{name} in the zone {zone} does not get its value: take the zone's name, once, off the end "
            "of the record's, whatever the number of labels that are left (none for the zone itself)"
        )
        hooks.dns_remove(zone=zone, records=added, task=task)
        assert not self.shown(records, name, []), (
            f"{name} is still there: find what is to be removed under the name that it was added at"
        )

    def test_values_stand_side_by_side(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """A value that is added later does not replace the first one."""
        first, second = self.values(self.names(zone)[0], 2)
        hooks.dns_add(zone=zone, records=[first], task=task)
        hooks.dns_add(zone=zone, records=[second], task=task)
        texts = self.shown(records, first.name, [first, second])
        assert first.value in texts, (
            f"adding a value overwrote the one at {first.name}: add beside what is there, "
            "others have their own challenges at the same name"
        )
        assert texts == {first.value, second.value}, (
            f"a second value at {first.name} was not added: a TXT record set holds many values"
        )

    def test_wildcard_and_apex_in_one_call(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Two values at one name in one call, as for ``example.com`` with ``*.example.com``."""
        name = self.names(zone)[3]
        added = self.values(name, 2)
        hooks.dns_add(zone=zone, records=added, task=task)
        assert self.shown(records, name, added) == {record.value for record in added}, (
            f"of two values for {name} in one call not both are there: a name may occur twice in "
            "'records', group by name before you replace a record set"
        )

    def test_several_names_in_one_call(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Every record of the list is added, each at its own name, and every one removed."""
        names = [name for name in self.names(zone) if name != zone]
        added = [record for name in names for record in self.values(name, 1)]
        hooks.dns_add(zone=zone, records=added, task=task)
        for record in added:
            assert self.shown(records, record.name, [record]) == {record.value}, (
                f"{record.name} is not as it was asked for: dns_add must add every record of the list, "
                "each at its own name"
            )
        hooks.dns_remove(zone=zone, records=added, task=task)
        for record in added:
            assert not self.shown(records, record.name, []), (
                f"{record.name} is still there: dns_remove must remove every record of the list"
            )

    def test_adding_again_changes_nothing(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Core repeats a call that failed half-way: what already exists is not an error."""
        [record] = self.values(self.names(zone)[0], 1)
        hooks.dns_add(zone=zone, records=[record], task=task)
        try:
            hooks.dns_add(zone=zone, records=[record], task=task)
        except PvefwError as error:
            pytest.fail(
                f"adding a record that already exists raises {error}: it must be no error, core "
                "repeats calls"
            )
        assert self.shown(records, record.name, [record]) == {record.value}
        hooks.dns_remove(zone=zone, records=[record], task=task)
        assert not self.shown(records, record.name, []), (
            f"after adding {record.name} twice, one removal leaves it: a repeated dns_add must not "
            "double the record"
        )

    @pytest.mark.parametrize("at", [0, 1], ids=["first", "last"])
    def test_what_is_there_hides_nothing(
        self, at: int, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Of the records of one call some are there: the others are added, and removed, all the same."""
        [record], [other] = (self.values(name, 1) for name in self.names(zone)[:2])
        both = [record, other]
        hooks.dns_add(zone=zone, records=[both[at]], task=task)
        hooks.dns_add(zone=zone, records=both, task=task)
        for added in both:
            assert self.shown(records, added.name, [added]) == {added.value}, (
                f"of two records {both[at].name} was there, and dns_add does not add {added.name}: go on "
                "with the next record where one is there, core repeats calls that are half done"
            )
        hooks.dns_remove(zone=zone, records=[both[at]], task=task)
        hooks.dns_remove(zone=zone, records=both, task=task)
        for removed in both:
            assert not self.shown(records, removed.name, []), (
                f"of two records {both[at].name} was gone, and dns_remove leaves {removed.name}: go on "
                "with the next record where one is gone, core repeats calls that are half done"
            )

    def test_values_that_are_alike_are_two(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """One in other cases, and one that is a part of it: digests differ in a letter."""
        [record] = self.values(self.names(zone)[0], 1)
        others = [dataclasses.replace(record, value=record.value.swapcase())]
        others += [
            dataclasses.replace(record, value=part)
            for part in (record.value[:-1], record.value[1:])
        ]
        for other in others:
            wanted, whole = {record.value, other.value}, "compare the whole value, letter by letter"
            hooks.dns_add(zone=zone, records=[record], task=task)
            hooks.dns_add(zone=zone, records=[other], task=task)
            assert self.shown(records, record.name, [record, other]) == wanted, (
                f"{record.value} is at {record.name}, and dns_add does not add {other.value}: {whole}"
            )
            hooks.dns_remove(zone=zone, records=[other], task=task)
            left = self.shown(records, record.name, [record])
            assert left == {record.value}, (
                f"dns_remove was to take {other.value} at {record.name} and to leave {record.value}, "
                f"and there is {', '.join(sorted(left)) or 'nothing'}: {whole}"
            )
            hooks.dns_remove(zone=zone, records=[record], task=task)

    # --- removing -----------------------------------------------------------------------------------

    def test_removal_is_exact(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Only this value goes; the others at the name, and other names, stay."""
        ours, foreign = self.values(self.names(zone)[0], 2)
        elsewhere = [TxtRecord(self.names(zone)[at], ours.value) for at in (1, 5)]
        hooks.dns_add(zone=zone, records=[foreign, *elsewhere], task=task)
        hooks.dns_add(zone=zone, records=[ours], task=task)
        assert self.shown(records, ours.name, [ours, foreign]) == {ours.value, foreign.value}, (
            f"{ours.name} does not get a value that {elsewhere[1].name} has: compare whole names"
        )
        hooks.dns_remove(zone=zone, records=[ours], task=task)
        texts = self.shown(records, ours.name, [foreign])
        assert ours.value not in texts, (
            f"after dns_remove the value is still at {ours.name}: remove it, or raise a ProviderError"
        )
        assert texts == {foreign.value}, (
            f"removing one value at {ours.name} took another one away: remove exactly the pairs of "
            "name and value that you were given"
        )
        for record in elsewhere:
            assert self.shown(records, record.name, [record]) == {record.value}, (
                f"removing {ours.name} took {record.name} away, which has the same value: "
                "compare the name, too, the whole of it"
            )

    def test_a_name_below_is_another_name(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """Where it alone has records, whose name ends like that of ours."""
        ours, other = self.values(self.names(zone)[0], 2)
        below = TxtRecord(self.names(zone)[5], other.value)
        advice = "look for the whole name, not for one that ends so"
        hooks.dns_add(zone=zone, records=[below], task=task)
        hooks.dns_add(zone=zone, records=[ours], task=task)
        assert self.shown(records, ours.name, [ours]) == {ours.value}, (
            f"{below.name} has a record, and dns_add does not put {ours.value} alone at {ours.name}: "
            f"{advice}"
        )
        hooks.dns_remove(zone=zone, records=[ours], task=task)
        hooks.dns_remove(zone=zone, records=[other], task=task)
        assert self.shown(records, below.name, [below]) == {below.value}, (
            f"dns_remove at {ours.name} changes {below.name}: {advice}"
        )
        assert not self.shown(records, ours.name, []), (
            f"{below.name} has a record, and dns_remove leaves one at {ours.name}: {advice}"
        )

    def test_removing_what_is_not_there(
        self, hooks: AsCore, zone: str, records: Records, task: FakeTask
    ) -> None:
        """A name that does not exist, and a value that is not at a name that does."""
        there, missing = self.values(self.names(zone)[0], 2)
        [never] = self.values(self.names(zone)[1], 1)
        hooks.dns_add(zone=zone, records=[there], task=task)
        try:
            hooks.dns_remove(zone=zone, records=[missing, never], task=task)
        except PvefwError as error:
            pytest.fail(
                f"removing a record that is not there raises {error}: it must be no error, clean-up "
                "is repeated until it succeeds"
            )
        assert self.shown(records, there.name, [there]) == {there.value}, (
            f"removing a value that is not at {there.name} took another one away: compare the value"
        )

    def test_another_process_can_remove(
        self,
        hooks: AsCore,
        zone: str,
        records: Records,
        task: FakeTask,
        fresh_plugin: Callable[[], object],
    ) -> None:
        """A new instance, which has seen no dns_add, removes the record."""
        ours, foreign = self.values(self.names(zone)[0], 2)
        hooks.dns_add(zone=zone, records=[ours, foreign], task=task)
        other = self.bind(fresh_plugin())
        other.dns_remove(zone=zone, records=[TxtRecord(ours.name, ours.value, 3600)], task=task)
        assert self.shown(records, ours.name, [foreign]) == {foreign.value}, (
            "a new instance does not remove the record: look up what is needed at the provider, "
            "nothing may be remembered from dns_add, nor may the TTL count"
        )

    # --- publishing -----------------------------------------------------------------------------------

    def test_a_failed_publishing_is_repeated(
        self,
        hooks: AsCore,
        zone: str,
        records: Records,
        task: FakeTask,
        fail_publishing: Callable[[], None] | None,
    ) -> None:
        """The second dns_add finds the record, which nobody has published."""
        fail = self._needs(fail_publishing)
        added = self.values(self.names(zone)[0], 1)
        fail()
        self._repeated("dns_add", hooks.dns_add, zone, added, task)
        assert self.shown(records, added[0].name, added) == {added[0].value}, (
            "publishing failed, dns_add was called again, and the record does not show: publish in "
            "every call, that the record is there does not mean that it was published"
        )

    def test_a_failed_publishing_of_a_removal_is_repeated(
        self,
        hooks: AsCore,
        zone: str,
        records: Records,
        task: FakeTask,
        fail_publishing: Callable[[], None] | None,
    ) -> None:
        """The second dns_remove finds nothing, and the servers still show the record."""
        fail = self._needs(fail_publishing)
        added = self.values(self.names(zone)[0], 1)
        hooks.dns_add(zone=zone, records=added, task=task)
        assert self.shown(records, added[0].name, added) == {added[0].value}
        fail()
        self._repeated("dns_remove", hooks.dns_remove, zone, added, task)
        assert not self.shown(records, added[0].name, []), (
            "publishing failed, dns_remove was called again, and the record still shows: publish in "
            "every call, that the record is gone does not mean that this was published"
        )

    @staticmethod
    def _needs(fail_publishing: Callable[[], None] | None) -> Callable[[], None]:
        if fail_publishing is None:
            pytest.skip(
                "override the fixture 'fail_publishing' where publishing is a step of its own"
            )
        return fail_publishing

    @staticmethod
    def _repeated(
        name: str, hook: Callable[..., None], zone: str, records: list[TxtRecord], task: FakeTask
    ) -> None:
        """Call a hook until it works, as core does: a plugin may repeat the step by itself, too."""
        for _ in range(5):
            try:
                hook(zone=zone, records=records, task=task)
            except (RateLimited, Unavailable):
                continue
            except PvefwError as error:
                pytest.fail(
                    f"publishing failed for a moment, and {name} raises {type(error).__name__} "
                    f"({error}): raise Unavailable, core then calls again"
                )
            return
        pytest.fail(
            f"publishing failed once, and {name} fails ever after: begin each call by looking at what is "
            "there"
        )

    # --- everything else ------------------------------------------------------------------------------

    def test_wrong_credentials_are_rejected(
        self, broken_plugin: object | None, zone: str, task: FakeTask
    ) -> None:
        """CredentialsRejected, so that core does not try again, for both hooks."""
        if broken_plugin is None:
            pytest.skip("override the fixture 'broken_plugin': the plugin with wrong credentials")
        hooks = self.bind(broken_plugin)
        added = self.values(self.names(zone)[0], 1)
        for name, hook in (("dns_add", hooks.dns_add), ("dns_remove", hooks.dns_remove)):
            try:
                hook(zone=zone, records=added, task=task)
            except CredentialsRejected as error:
                assert error.message, f"{name}: the CredentialsRejected says nothing"
            except PvefwError as error:
                pytest.fail(
                    f"with wrong credentials {name} raises {type(error).__name__} ({error}): raise "
                    "CredentialsRejected with the provider's words"
                )
            else:
                pytest.fail(
                    f"with wrong credentials {name} returns as if all were well: check every answer "
                    "and raise CredentialsRejected"
                )

    def test_zones_are_absolute(
        self, plugin: object, hooks: AsCore, zone: str, task: FakeTask
    ) -> None:
        """Where the provider can tell its zones, they are absolute and hold the test's zone."""
        bound = seam.bind("dns", plugin, type(plugin).__name__)
        zones = hooks.dns_zones(task=task) if "dns_zones" in bound.implemented else None
        if zones is None:
            return
        relative = [name for name in zones if not name.endswith(".") or name != name.lower()]
        assert not relative, (
            f"dns_zones returns {relative}: return absolute lower-case names, such as 'example.com.'"
        )
        assert zone in zones, (
            f"dns_zones does not name {zone}: return every zone that these credentials can change "
            "(all pages of the list), or None"
        )

    def test_the_end_of_credentials_is_a_time(
        self, plugin: object, hooks: AsCore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An aware one, or None; asked for by every ``pvefw status``, which stays offline."""
        if "dns_credentials_end" not in seam.bind("dns", plugin).implemented:
            pytest.skip("the plugin has no dns_credentials_end")

        def refuse(*_: object) -> NoReturn:
            raise AssertionError(
                "dns_credentials_end uses the network: tell from the settings alone, or return None"
            )

        with monkeypatch.context() as offline:
            offline.setattr(socket.socket, "connect", refuse)
            end = hooks.dns_credentials_end()
        assert end is None or end.tzinfo is not None, (
            f"dns_credentials_end returns {end!r}, which has no time zone: return an aware time"
        )

    def test_settings_have_help(self, plugin: object) -> None:
        """Every setting says what it is for."""
        for info, _ in self._settings(plugin):
            assert info.help, f"the setting {info.key} has no help: declare it with setting(help=…)"

    def test_secrets_do_not_show(self, plugin: object) -> None:
        """``repr`` may appear in any log."""
        for info, value in self._settings(plugin):
            if info.secret and value:
                assert value not in repr(plugin), (
                    f"repr() shows the setting {info.key}: leave repr to @dataclass and declare the "
                    "field with setting(secret=True)"
                )

    @staticmethod
    def _settings(plugin: object) -> list[tuple[SettingInfo, str]]:
        """Declarations and values; none for what a catalogue made, which declares them itself."""
        if not dataclasses.is_dataclass(plugin):
            return []
        fields = [field_ for field_ in dataclasses.fields(plugin) if field_.init]
        values = [str(getattr(plugin, field.name) or "") for field in fields]
        return list(zip(seam.declared_settings(type(plugin)), values, strict=True))
