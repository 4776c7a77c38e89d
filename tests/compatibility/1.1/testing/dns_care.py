"""The part of the DNS kit that looks at zones, half-done calls, publishing, and protected connections.

:class:`pvefw.testing.dns.DnsConformance` inherits it. Since 1.1.
"""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pvefw import seam
from pvefw.api import (
    Cancelled,
    CredentialsRejected,
    ProviderError,
    RateLimited,
    SettingInfo,
    TxtRecord,
)
from pvefw.seam import PvefwError
from pvefw.testing._dns import make_value, values
from pvefw.testing._settings import values_of
from pvefw.testing._zones import OneLabelMore, OtherZones
from pvefw.testing.dns_trouble import BadDay, DnsTrouble
from pvefw.testing.fakes import FakeTask
from pvefw.testing.surroundings import LOST

_MOST_REQUESTS = 25
_MOST_TIMES = 100
_REFUSED, _DOWN = 400, 503
_LABEL = "deeper"
_FEW_LABELS = 2
_LIMIT_SECONDS = 40
_TTL = 7380
_OTHER_UNITS = {_TTL * 60, _TTL // 60, _TTL * 1000, _TTL * 3600}
"""What it is where seconds are taken for minutes, and so on."""
_LOGINS = 2
"""Hooks: in each one a session may end just after it has begun."""
_PLAIN = re.compile(r"http://(?!localhost\b|127\.|\[::1\])")


class DnsCare(DnsTrouble):
    """What a careless plugin does not do. Each failure says in one sentence what is wrong."""

    def test_a_zone_is_found_by_its_whole_name(self, bad_day: BadDay) -> None:
        """The account may have zones whose names end alike, each with its own id."""
        near = OtherZones(bad_day.zone.rstrip("."), [record.value for record in bad_day.pair])
        with bad_day.around.neighbours(near):
            for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
                try:
                    call(bad_day.pair)
                except PvefwError as error:
                    assert near.wrongs, (
                        f"{name} fails where the account has more zones ({error}): take the one whose "
                        "whole name is that of the argument 'zone'"
                    )
        assert not near.wrongs, near.wrongs[0].format("dns_add")

    def test_zones_may_have_many_labels(self, bad_day: BadDay) -> None:
        """``sub.example.test.`` where the fake has ``example.test.``: names are not cut by counting."""
        zone = bad_day.zone.rstrip(".")
        if zone.count(".") + 1 > _FEW_LABELS:
            return  # then all other tests have seen it
        day = dataclasses.replace(bad_day, zone=f"{_LABEL}.{zone}.")
        added = values(day.name, 1)
        with bad_day.around.neighbours(OneLabelMore(zone, _LABEL)):
            try:
                day.add(added, day.once)
                is_shown = bad_day.shows(added)
                day.remove(added, day.once)
            except PvefwError:
                pytest.skip("let the fake have a zone with three labels, such as sub.example.test.")
        assert is_shown, (
            f"the zone is {day.zone}, and dns_add does not put the record at {day.name}: take the zone's "
            "name off the end of the record's name, do not count labels"
        )
        assert bad_day.shows([]), (
            f"the zone is {day.zone}, and dns_remove leaves the record at {day.name}: take the zone's "
            "name off the end of the record's name, do not count labels"
        )

    def test_unchanged_is_said_only_where_it_is_true(self, bad_day: BadDay) -> None:
        """Core does not clean up then: what an earlier request of the call has made would stay."""
        for status in (_REFUSED, _DOWN):
            self._says_unchanged_truly(status, bad_day)

    @staticmethod
    def _says_unchanged_truly(status: int, bad_day: BadDay) -> None:
        for at in range(1, _MOST_REQUESTS):
            added = _two_names(bad_day)
            bad_day.around.fail(status, at=at)
            try:
                bad_day.add(added, bad_day.once)
            except ProviderError as error:
                there = [
                    record.name for record in added if record.value in bad_day.records(record.name)
                ]
                assert not (error.unchanged and there), (
                    f"request {at} of dns_add got status {status}, it raises one with unchanged=True, "
                    f"and it has put a record at {there[0]}: nothing would remove it; say unchanged "
                    "only before the first request that writes"
                )
            reached = not bad_day.around.recover()
            bad_day.remove(added)
            if not reached:
                return

    def test_a_session_that_ends_meanwhile_is_no_success(
        self, plugin: object, bad_day: BadDay
    ) -> None:
        """Before whichever request of a call: the answer says so, and must be looked at."""
        around = bad_day.around
        bad_day.add(bad_day.pair)

        def end() -> None:
            if around.end_session is not None:
                around.end_session()
            else:
                around.expire(values_of(plugin))

        if around.end_session is None and not around.expire(values_of(plugin)):
            pytest.skip("the plugin begins no session")
        bad_day.remove(bad_day.pair)
        given_up = 0
        for at in range(1, _MOST_REQUESTS):
            reached = False
            for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
                around.meanwhile(end, at)
                try:
                    call(bad_day.pair)
                except CredentialsRejected as error:
                    given_up += 1
                    assert given_up <= _LOGINS, (
                        f"the session ended before request {at} of {name}, which raises {error}: log in "
                        "again, and repeat the request; CredentialsRejected ends the whole order"
                    )
                except PvefwError:
                    pass  # it says so; the next call may begin again
                else:
                    assert bad_day.shows(bad_day.pair if name == "dns_add" else []), (
                        f"the session ended before request {at} of {name}, which returns as if all were "
                        "well: log in again and repeat the request that was refused, whichever it is"
                    )
                reached |= around.happened()
                call(bad_day.pair)
            if not reached:
                return

    @pytest.mark.parametrize("status", [409, 503])
    def test_what_goes_on_failing_ends(self, status: int, bad_day: BadDay) -> None:
        """From whichever request of a call on: a loop that waits for success alone hangs an order."""
        around = bad_day.around
        for at in range(1, _MOST_REQUESTS):
            reached = False
            for name in ("dns_add", "dns_remove"):
                begun, task = len(around.requests), FakeTask()
                day = dataclasses.replace(bad_day, task=task)
                call = day.add if name == "dns_add" else day.remove
                around.fail(status, at=at, times=_MOST_TIMES)
                with contextlib.suppress(PvefwError):
                    call(day.pair, day.once)
                reached |= len(around.requests) - begun >= at
                is_over = around.recover() or (task.waited and status == _DOWN)
                assert is_over, (
                    f"each request from the one with number {at} on is answered with status {status}, "
                    f"and {name} has asked {_MOST_TIMES} times: repeat a few times, with task.wait "
                    "between, and then raise Unavailable"
                )
                call(day.pair)
            if not reached:
                return

    def test_an_error_is_no_list_of_zones(self, plugin: object, bad_day: BadDay) -> None:
        """Whichever request of dns_zones fails: a list without the zone says that nobody has it here."""
        if "dns_zones" not in seam.bind("dns", plugin).implemented:
            pytest.skip("the plugin has no dns_zones")
        around = bad_day.around
        for status in (_DOWN, LOST):
            for at in range(1, _MOST_REQUESTS):
                around.fail(status, at=at)
                with contextlib.suppress(PvefwError):
                    zones = bad_day.once.dns_zones(task=bad_day.task)
                    assert zones is None or bad_day.zone in zones, (
                        f"request {at} of dns_zones failed, and it returns a list without "
                        f"{bad_day.zone}: raise Unavailable, as in dns_add"
                    )
                if around.recover():
                    break

    def test_a_failure_takes_nothing_away(self, bad_day: BadDay) -> None:
        """What others have at the name, where a call was cut off after any of its requests."""
        around = bad_day.around
        with self._others(bad_day) as others:
            for value in self.foreign_values[:2]:
                others.put(bad_day.name, "TXT", value, self.foreign_ttl)
            before = {row[:3] for row in others.there()}
            for at in range(1, _MOST_REQUESTS):
                reached = False
                for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
                    around.fail(LOST, at=at)
                    with contextlib.suppress(PvefwError):
                        call(bad_day.pair, bad_day.once)
                    reached |= not around.recover()
                    call(bad_day.pair)
                    lost = sorted(before - {row[:3] for row in others.everything()})
                    assert not lost, (
                        f"request {at} of {name} failed, {name} was repeated, and {lost[0][2]!r:.60} of "
                        "somebody else is gone: change a record set in one request, never by deleting it "
                        "and making it again"
                    )
                if not reached:
                    return

    def test_a_limit_in_the_words_of_the_api(self, bad_day: BadDay) -> None:
        """Where it is no status 429 with a header: RateLimited, and for how long, in seconds."""
        if (limit := bad_day.around.limit) is None:
            pytest.skip("give the fake limit(seconds), where the API has words of its own for it")
        limit(_LIMIT_SECONDS)
        try:
            bad_day.add(bad_day.pair, bad_day.once)
        except RateLimited as error:
            after = error.retry_after
            assert after is None or abs(after - _LIMIT_SECONDS) <= 1, (
                f"the API says that the next request may come in {_LIMIT_SECONDS} s, and dns_add raises "
                f"RateLimited with retry_after={after}: it is in seconds"
            )
        except PvefwError as error:
            pytest.fail(
                f"the API says that a request came too early, and dns_add raises {error}: raise "
                "RateLimited, with retry_after if it is told"
            )

    def test_a_ttl_is_in_seconds(self, bad_day: BadDay) -> None:
        """Whatever the unit of the API; a provider may have a TTL of its own."""
        if bad_day.around.everything is None:
            pytest.skip("give the fake everything(): see surroundings")
        [record] = added = [TxtRecord(bad_day.name, make_value(0), _TTL)]
        bad_day.add(added)
        rows = [row for row in bad_day.around.everything() if row[0] == record.name]
        wrong = [row[3] for row in rows if row[2] == record.value and row[3] in _OTHER_UNITS]
        assert not wrong, (
            f"the record was to have a TTL of {_TTL} s, and it has {wrong[0]} s: write it in the unit of "
            "the API"
        )

    def test_a_cancelled_call_is_no_success(self, bad_day: BadDay) -> None:
        """Ctrl-C before whichever request of a call that waits: it does not return half-done."""
        around, task = bad_day.around, bad_day.task
        bad_day.add(bad_day.pair)
        bad_day.remove(bad_day.pair)
        if not task.waited:
            pytest.skip("the plugin waits for nothing")

        def cancel() -> None:
            task.cancelled = True

        for at in range(1, _MOST_REQUESTS):
            reached = False
            for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
                around.meanwhile(cancel, at)
                with contextlib.suppress(Cancelled, PvefwError):
                    call(bad_day.pair, bad_day.once)
                    assert bad_day.shows(bad_day.pair if name == "dns_add" else []), (
                        f"the task was cancelled before request {at} of {name}, which returns as if "
                        "all were well: let Cancelled through, and where task.cancelled ends a loop, "
                        "raise it"
                    )
                task.cancelled = False
                reached |= around.happened()
                call(bad_day.pair)
            if not reached:
                return

    def test_connections_are_protected(
        self, plugin: object, bad_day: BadDay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is in between reads the credentials otherwise. Seen where the plugin uses requests."""
        open_ = [setting.key for setting in _settings(plugin) if _PLAIN.match(setting.default)]
        assert not open_, (
            f"the setting {open_[0]} is an address without TLS by default: let it begin with https://, "
            "credentials are sent there"
        )
        if (adapters := sys.modules.get("requests.adapters")) is None:
            return
        send, seen = adapters.HTTPAdapter.send, list[Any]()

        def sending(self: Any, *arguments: Any, **more: Any) -> Any:
            seen.append(more.get("verify"))
            return send(self, *arguments, **more)

        monkeypatch.setattr(adapters.HTTPAdapter, "send", sending)
        bad_day.add(bad_day.pair)
        assert False not in seen, (
            "requests are sent with verify=False: let certificates be verified; for an authority of "
            "one's own take the path of its certificate as a setting, and give that to verify"
        )

    def test_a_zone_is_published_once(
        self, bad_day: BadDay, fail_publishing: Callable[[], None] | None
    ) -> None:
        """Not for each name: that takes long, and many providers limit it."""
        if fail_publishing is None:
            pytest.skip("override the fixture 'fail_publishing' to see how often is published")
        around, added = bad_day.around, _two_names(bad_day)
        begun = len(around.faults)
        fail_publishing()
        bad_day.add(added)
        steps = {(fault.method, fault.path) for fault in around.faults[begun:]}
        bad_day.remove(added)
        for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
            asked = len(around.requests)
            call(added)
            done = [(request.method, request.path) for request in around.requests[asked:]]
            often = [step for step in steps if done.count(step) > 1]
            assert not often, (
                f"{name} publishes {done.count(often[0])} times for {len(added)} names "
                f"({' '.join(often[0])}): publish once, after all of them are written"
            )


def _settings(plugin: object) -> Sequence[SettingInfo]:
    return seam.declared_settings(type(plugin)) if dataclasses.is_dataclass(plugin) else []


def _two_names(bad_day: BadDay) -> list[TxtRecord]:
    """A record at each of two names."""
    other = bad_day.name.replace(".one.", ".two.")
    return [
        TxtRecord(name, make_value(number)) for number, name in enumerate((bad_day.name, other))
    ]
