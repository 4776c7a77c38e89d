"""The part of the DNS kit that plays a bad day: limits, faults, lost sessions, other people's records.

:class:`pvefw.testing.dns.DnsConformance` inherits it. What the API does is played by
:mod:`pvefw.testing.surroundings`; tests that need it are skipped where the plugin does not speak HTTP.
"""

import contextlib
import dataclasses
import email.utils
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest

from pvefw import seam
from pvefw.api import ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.seam import DnsSpec, PvefwError
from pvefw.testing._dns import AsCore, InTime, Records, make_value, shown, values
from pvefw.testing._neighbours import Neighbours
from pvefw.testing._others import Others, ThroughTheFake, ThroughTheHooks
from pvefw.testing._settings import values_of
from pvefw.testing.fakes import FakeTask
from pvefw.testing.surroundings import BAD_GATEWAY, LOST, UNKNOWN, Row, Surroundings, served

_LONGEST_SLEEP = 0.2
_MOST_REQUESTS = 25
_RETRY_AFTER = 1
_ANY_TTL = 3600
"""Seconds: one that every API takes."""
_LIMIT, _DOWN = 429, 503
_SLEEP = time.sleep
_PARENT = "the parent of the name"


@dataclass
class BadDay:
    """What the tests of a bad day need."""

    once: DnsSpec
    """The hooks as core binds them, called once."""
    hooks: AsCore
    """The same, repeated as core repeats them."""
    zone: str
    records: Records
    task: FakeTask
    surroundings: Surroundings | None
    patience: float

    @property
    def around(self) -> Surroundings:
        """What the API does; the test is skipped where there is none that a kit can reach."""
        if self.surroundings is None:
            pytest.skip(
                "no API is served with pvefw.testing.http_api: override the fixture 'surroundings' with "
                "unfriendly(fake), and serve what it answers"
            )
        return self.surroundings

    @property
    def name(self) -> str:
        """The name that these tests use."""
        return f"_acme-challenge.one.pvefw-kit.{self.zone}"

    @property
    def pair(self) -> list[TxtRecord]:
        """Two values for it."""
        return values(self.name, 2)

    def add(self, added: Sequence[TxtRecord], hooks: Any = None) -> None:
        """Call dns_add."""
        (hooks or self.hooks).dns_add(zone=self.zone, records=added, task=self.task)

    def remove(self, removed: Sequence[TxtRecord], hooks: Any = None) -> None:
        """Call dns_remove."""
        (hooks or self.hooks).dns_remove(zone=self.zone, records=removed, task=self.task)

    def shows(self, expected: Sequence[TxtRecord]) -> bool:
        """Whether the server shows these, and of the kit's no others, at the name."""
        ours = {record.value for record in values(self.name, 10)}
        wanted = {record.value for record in expected}
        texts = shown(lambda name: ours & self.records(name), self.name, expected, self.patience)
        return texts == wanted

    @contextmanager
    def neighbours(self, name: str, texts: Collection[str]) -> Iterator[None]:
        """Show the plugin an address, an alias and a mail server of others, beside these values."""
        if self.surroundings is None:
            yield
            return
        near = Neighbours(texts, [_PARENT])
        try:
            with self.surroundings.neighbours(near):
                yield
        except PvefwError as error:
            if not near.wrongs:
                pytest.fail(
                    f"{name} fails where others have records ({error}): look up in every call what may "
                    "have changed since the last one, and leave what is not TXT alone"
                )
        assert not near.wrongs, near.wrongs[0].format(name)

    def fault(self, status: int, at: int, name: str) -> bool:
        """One call with one request answered so; whether there was such a request."""
        expected = self.pair if name == "dns_add" else []
        self.around.fail(status, at=at, retry_after=_RETRY_AFTER if status == _LIMIT else None)
        begun = len(self.around.requests)
        try:
            getattr(self.once, name)(zone=self.zone, records=self.pair, task=self.task)
        except PvefwError as error:
            if self.around.recover():
                return False  # it is the fake's own, such as a limit
            _check_error(name, status, error)
            return True
        if self.around.recover():
            return False
        failed = self.around.requests[begun + at - 1]
        assert self.shows(expected), (
            f"{failed.method} {failed.path} was answered with {_said(status)}, and {name} returns as "
            f"if all were well: check the status of every answer and raise {_error_for(status)}"
        )
        return True


@dataclass
class Race:
    """Somebody else adds a value at the name while a hook is at work."""

    day: BadDay
    at: int
    """Before which request of the hook."""
    shared: bool
    """Whether others have a value there already."""
    hook: str

    def run(self) -> list[int]:
        """Which requests of the hook may have written."""
        around, own = self.day.around, TxtRecord(self._name, make_value(0), _ANY_TTL)
        assert around.put is not None and around.everything is not None
        theirs = (self._name, "TXT", "of somebody else", own.ttl)
        if self.shared:
            around.put(self._name, "TXT", "of somebody else, earlier", own.ttl)
        if self.hook == "dns_remove":
            self.day.add([own])
        begun = len(around.requests)
        put = around.put
        around.meanwhile(lambda: put(*theirs), self.at)
        around.noticed = False
        self._call([own])
        asked = around.requests[begun:]
        if around.happened():
            self._check(own, theirs[:3], asked[self.at - 1].method)
        self.day.remove([own])
        return [at for at, request in enumerate(asked, 1) if request.method not in ("GET", "HEAD")]

    @property
    def _name(self) -> str:
        kind = f"{self.hook[4:]}-{'shared' if self.shared else 'own'}"
        return f"_acme-challenge.{kind}-{self.at}.pvefw-kit.{self.day.zone}"

    def _call(self, records: Sequence[TxtRecord]) -> None:
        call = self.day.add if self.hook == "dns_add" else self.day.remove
        try:
            call(records)
        except ProviderError:  # an order ends with it, and the next one begins again
            try:
                call(records)
            except ProviderError as error:
                pytest.fail(
                    f"somebody else has added a value at the name while {self.hook} was at work, and it "
                    f"fails, also when it is called again ({error}): drop what was begun, read again and "
                    "write again"
                )

    def _check(self, own: TxtRecord, theirs: tuple[str, str, str], method: str) -> None:
        around = self.day.around
        assert around.everything is not None
        wanted = {own.value} if self.hook == "dns_add" else set()
        texts = shown(
            lambda name: {own.value} & self.day.records(name),
            own.name,
            [own] if wanted else [],
            self.day.patience,
        )
        assert texts == wanted, (
            f"somebody else has added a value at the name while {self.hook} was at work, and it returns "
            "as if all were well: where the API refuses to write (409, 412), read again and write again"
        )
        kept = theirs in {row[:3] for row in around.everything()}
        noticed = around.noticed or (around.versioned and method in ("PUT", "PATCH", "DELETE"))
        assert kept or not noticed, (
            f"somebody else has added a value at the name while {self.hook} was at work, and it is lost: "
            "send the ETag that you have read as If-Match, not *, and read again where the API refuses, "
            "force nothing"
        )


class DnsTrouble:
    """What every DNS plugin must do on a bad day. Each failure says in one sentence what is wrong."""

    patience = 5.0
    foreign_values: Sequence[str] = (
        "v=spf1  include:_spf.example.net -all",
        "-",
        "k=rsa; p=MIGf/x+Y=",
        f"v=DKIM1; k=rsa; p={'MIIBIjANBgkqhkiG9w0B' * 20}",
        r'said "yes", in C:\temp',
        "a<b>&c=d &amp; 100%41 #e",
    )
    """Values of others at the names that the plugin changes: the texts, of which a zone file shows the
    long ones as several strings and puts quotes around each; class attribute to override."""
    foreign_ttl = 86400
    """Their TTL in seconds; class attribute to override where the API has a lower highest one."""

    @pytest.fixture
    def surroundings(self, plugin: object) -> Surroundings | None:  # noqa: ARG002 - it starts the fake
        """The fake API in faulty surroundings: what ``http_api`` serves.

        Override it with ``return unfriendly(fake)`` where several are served. ``None`` where the plugin
        does not speak HTTP; most tests of a bad day are skipped then.
        """
        return served()

    @pytest.fixture
    def bad_day(
        self,
        plugin: object,
        hooks: AsCore,
        zone: str,
        records: Records,
        task: FakeTask,
        surroundings: Surroundings | None,
    ) -> BadDay:
        """Everything that may go wrong."""
        once = cast("DnsSpec", InTime(seam.bind("dns", plugin, secrets=_secrets(plugin)).hooks))
        return BadDay(once, hooks, zone, records, task, surroundings, self.patience)

    # --- answers that are not a success ----------------------------------------------------------

    @pytest.mark.parametrize("status", [429, 503, 409, 412, BAD_GATEWAY, LOST, UNKNOWN])
    def test_an_error_is_no_success(self, status: int, bad_day: BadDay) -> None:
        """Whichever request of dns_add and of dns_remove is answered so; then core repeats the call."""
        for at in range(1, _MOST_REQUESTS):
            reached = bad_day.fault(status, at, "dns_add")
            bad_day.add(bad_day.pair)
            assert bad_day.shows(bad_day.pair), (
                f"request {at} of dns_add was answered with {_said(status)}; dns_add was repeated, and "
                "still not all is there: begin each call by looking at what is there, and where "
                "publishing is a step of its own, publish also where nothing had to be changed; where "
                "the API makes a job of a change, wait until that is done"
            )
            if status != UNKNOWN:  # there a record of that id may be gone, which is no error
                reached |= bad_day.fault(status, at, "dns_remove")
            bad_day.remove(bad_day.pair)
            assert bad_day.shows([]), (
                f"request {at} of dns_remove was answered with {_said(status)}; dns_remove was "
                "repeated, and something is left: begin each call by looking at what is there"
            )
            if not reached:
                return

    def test_retry_after_is_read_in_every_form(self, bad_day: BadDay) -> None:
        """Seconds, or a date, or no such header at all (RFC 9110 section 10.2.3); in any time zone."""
        hour = timedelta(hours=1)
        date = email.utils.format_datetime(seam.now() + hour, usegmt=True)
        for case, header in ((f"Retry-After: {date}", date), ("no Retry-After", None)):
            bad_day.around.fail(_LIMIT, retry_after=header)
            try:
                with _far_west():
                    bad_day.add(bad_day.pair, bad_day.once)
            except RateLimited as error:
                after = error.retry_after
                assert after is None or 0 <= after <= 2 * hour.total_seconds(), (
                    f"status 429 came with {case!r}, and dns_add raises RateLimited with retry_after="
                    f"{after}: seconds from now, or None where you cannot tell"
                )
            except PvefwError as error:
                pytest.fail(
                    f"status 429 came with {case!r}, and dns_add raises {error}: the header may be a "
                    "number, a date or absent; raise RateLimited, with retry_after=None if need be"
                )
            bad_day.around.recover()

    def test_every_connection_has_a_time_limit(
        self, bad_day: BadDay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that accepts a connection and never answers must not hold an order up."""
        limits: list[float | None] = []
        connect = socket.socket.connect

        def connecting(self: socket.socket, address: Any) -> None:
            limits.append(self.gettimeout())
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", connecting)
        bad_day.add(bad_day.pair)
        assert None not in limits, (
            "the plugin opens connections without a time limit: give every request one, such as "
            "timeout=30 with requests"
        )

    def test_waiting_can_be_cancelled(self, plugin: object, bad_day: BadDay) -> None:
        """Ctrl-C ends an order at once: a plugin waits with task.wait, or leaves it to core."""
        with _sleeping(plugin) as slept:
            bad_day.around.fail(_LIMIT, retry_after=_RETRY_AFTER)
            with contextlib.suppress(PvefwError):
                bad_day.add(bad_day.pair, bad_day.once)
            bad_day.around.recover()
        with _sleeping(plugin) as between:  # until a change is done, say
            bad_day.add(bad_day.pair)
            bad_day.remove(bad_day.pair)
        slept += [seconds for seconds in between if seconds > _LONGEST_SLEEP]
        assert sum(slept) <= _LONGEST_SLEEP, (
            f"the plugin sleeps for {sum(slept):g} s with time.sleep, which nobody can cancel: use "
            "task.wait, or raise RateLimited with retry_after and let core wait"
        )

    # --- sessions and ids ------------------------------------------------------------------------

    @pytest.mark.parametrize("status", [500, 400, 401, 429, LOST])
    def test_credentials_do_not_show(
        self,
        status: int,
        plugin: object,
        bad_day: BadDay,
        fresh_plugin: Callable[[], object],
        broken_plugin: object | None,
    ) -> None:
        """Neither the configured ones nor what a login gave: not in repr, log, or an error.

        Core masks what it knows to be secret; nobody should rely on it for more than accidents.
        """
        around, messages, shown = bad_day.around, [], [repr(plugin)]
        for at in range(1, _MOST_REQUESTS):
            used = fresh_plugin()
            around.fail(status, at=at)
            messages += _said_by(bad_day, used)
            shown.append(repr(used))
            if around.recover():
                break
        messages += _said_by(bad_day, broken_plugin) if broken_plugin is not None else []
        secrets = around.tokens | {*_secrets(plugin), *_secrets(broken_plugin)}
        places = {
            "repr() of the plugin": shown,
            "the task's log": [*bad_day.task.lines, *bad_day.task.warnings],
            "an error": messages,
        }
        for where, texts in places.items():
            leaks = _found(secrets, " ".join(texts), around.refusals)
            assert not leaks, (
                f"{where} shows credentials ({leaks}): declare settings with secret=True, keep a "
                "session's token in field(repr=False, init=False), put the answer's text, not the "
                "request, into errors and log lines, and raise from None where the cause quotes it"
            )

    def test_a_session_that_ended_is_begun_again(self, plugin: object, bad_day: BadDay) -> None:
        """Core keeps an instance for the whole of an order; sessions may be shorter."""
        around = bad_day.around
        bad_day.add(bad_day.pair)
        for name, call, left in (
            ("dns_remove", bad_day.remove, []),
            ("dns_add", bad_day.add, bad_day.pair),
        ):
            if around.end_session is not None:
                around.end_session()
            elif not around.expire(values_of(plugin)):
                pytest.skip("the plugin begins no session")
            try:
                call(bad_day.pair)
            except PvefwError as error:
                pytest.fail(
                    f"the session had ended, and {name} raises {error}: log in again, once, where a "
                    "session is refused, before raising CredentialsRejected"
                )
            assert bad_day.shows(left), (
                f"the session had ended, and {name} returns as if all were well: log in again, and "
                "repeat the request that was refused"
            )

    def test_ids_of_the_provider_are_looked_up_each_time(self, bad_day: BadDay) -> None:
        """The zone may have been deleted and made again since the last call."""
        around = bad_day.around
        bad_day.add(bad_day.pair[:1])
        if around.recreate_zone is not None:
            around.recreate_zone()
        elif not around.rename(bad_day.zone):
            pytest.skip("the API gives no ids")
        try:
            bad_day.add(bad_day.pair)
            bad_day.remove(bad_day.pair)
        except PvefwError as error:
            if around.shows_old_ids:
                pytest.skip(
                    "the API's replies have ids where the kit does not look for them: give the fake "
                    "recreate_zone(), which gives the zone another id"
                )
            pytest.fail(
                f"the zone has another id since it was made again, and the plugin raises {error}: look "
                "ids up in every call, do not keep them in the instance; if the plugin does so, give the "
                "fake recreate_zone(), which gives the zone another id"
            )
        finally:
            around.restore_ids()
        assert bad_day.shows([])

    # --- what belongs to others ------------------------------------------------------------------

    def test_records_of_others_stay(self, bad_day: BadDay) -> None:
        """Of every type and TTL, at the same name and elsewhere, on all pages: not one is changed."""
        with self._others(bad_day) as others:
            at_name = self.foreign_values
            for row in foreign_rows(bad_day.name, bad_day.zone, at_name, self.foreign_ttl):
                others.put(*row)
            before = others.there()
            texts = [*at_name, *(record.value for record in bad_day.pair)]
            with others.watched(bad_day.name):
                for name, call in (("dns_add", bad_day.add), ("dns_remove", bad_day.remove)):
                    with bad_day.neighbours(name, texts):
                        call(bad_day.pair)
                    _check_rows(name, before, set(others.everything()))
            assert bad_day.shows([]), (
                "values of others are at the name, and dns_remove leaves ours: compare the value alone"
            )

    def test_what_others_write_meanwhile_stays(self, bad_day: BadDay) -> None:
        """Between what a hook reads and what it writes."""
        if bad_day.around.put is None or bad_day.around.everything is None:
            pytest.skip(
                "give the fake put(name, type, value, ttl) and everything(): see surroundings"
            )
        bad_day.remove(bad_day.pair)  # a login that is left out later does not shift what follows
        for shared in (False, True):
            for hook in ("dns_add", "dns_remove"):
                for at in Race(bad_day, _MOST_REQUESTS, shared, hook).run():
                    Race(bad_day, at, shared, hook).run()

    def test_records_beyond_the_first_page(self, bad_day: BadDay) -> None:
        """In a zone with more records than one page of a list holds."""
        assert bad_day.around is not None  # what speaks no HTTP has no pages
        with self._others(bad_day) as others:
            others.fill("pvefw-kit")
            bad_day.add(bad_day.pair)
            others.fill("more")
            with _explained("dns_add", "a record on a later page is added again"):
                bad_day.add(bad_day.pair)
            doubled = [row for row in others.everything() if row[0] == bad_day.name]
            assert len(doubled) <= len(bad_day.pair), (
                "with hundreds of other records in the zone dns_add doubles its own: read all pages "
                "of the list, or ask for the one name"
            )
            with _explained("dns_remove", "a record is on a later page"):
                bad_day.remove(bad_day.pair)
            assert bad_day.shows([]), (
                "with hundreds of other records in the zone dns_remove does not find its own: read all "
                "pages of the list, or ask for the one name"
            )

    @staticmethod
    def _others(bad_day: BadDay) -> Others:
        """Others with records in the zone: through the fake where it can, else through the hooks."""
        around = bad_day.surroundings
        if around is not None and around.put is not None and around.everything is not None:
            return ThroughTheFake(bad_day.zone, around.put, around.everything)
        return ThroughTheHooks(bad_day.zone, bad_day.once, bad_day.records, bad_day.task, around)


def foreign_rows(name: str, zone: str, at_name: Sequence[str], ttl: int = 86400) -> list[Row]:
    """What others have in a zone, at the name that is changed and elsewhere."""
    return [
        *((name, "TXT", value, ttl) for value in at_name),
        (f"www.{zone}", "A", "192.0.2.1", 3600),
        (f"www.{zone}", "AAAA", "2001:db8::1", 300),
        (f"www.{zone}", "TXT", make_value(0), 120),
        (zone, "MX", "10 mail.example.net.", 7200),
        (zone, "CAA", '0 issue "ca.example.net"', 3600),
        (f"alias.{zone}", "CNAME", f"www.{zone}", 60),
        (f"pvefw-kit.{zone}", "TXT", _PARENT, 900),
    ]


def _check_rows(name: str, before: set[Row], after: set[Row]) -> None:
    lost = before - after
    without_ttl = {row[:3] for row in after}
    changed = sorted(row for row in lost if row[:3] in without_ttl)
    gone = sorted(lost - set(changed))
    assert not gone, (
        f"{name} takes {gone[0][1]} {gone[0][2]!r:.60} at {gone[0][0]} away, which belongs to "
        "somebody else: send back every value that is there, whatever its form, and change TXT alone"
    )
    assert not changed, (
        f"{name} changes the TTL of {changed[0][0]} {changed[0][1]}, which was {changed[0][3]}: where "
        "others have values at the name, keep the TTL of the record set"
    )


def _check_error(name: str, status: int, error: PvefwError) -> None:
    kinds = {_LIMIT: (RateLimited,), _DOWN: (RateLimited, Unavailable)}
    expected: tuple[type[PvefwError], ...] = kinds.get(status, (ProviderError,))
    assert isinstance(error, expected), (
        f"the server answers with {_said(status)}, and {name} raises {type(error).__name__} ({error}): "
        f"raise {_error_for(status)}"
    )
    if isinstance(error, RateLimited) and status == _LIMIT:
        assert error.retry_after == _RETRY_AFTER, (
            f"the server says Retry-After: {_RETRY_AFTER}, and {name} raises RateLimited with "
            f"retry_after={error.retry_after}: pass on what the header says, in seconds"
        )


def _said(status: int) -> str:
    special = {LOST: "a lost connection", UNKNOWN: "what the API says to ids that it does not have"}
    return special.get(status, f"status {status}")


def _error_for(status: int) -> str:
    return {
        _LIMIT: "RateLimited(…, retry_after=…) for 429",
        _DOWN: "Unavailable for 5xx",
        BAD_GATEWAY: "Unavailable for 5xx, before you read the body, which is HTML here",
        LOST: "Unavailable where the connection fails",
        UNKNOWN: "ProviderError, also where the body alone says that it failed, and the status is 200",
    }.get(status, f"ProviderError for {status}, unless the record is there")


def _secrets(plugin: object) -> list[str]:
    """The values of settings that are secret: core masks those."""
    if not dataclasses.is_dataclass(plugin):
        return []
    secret = {setting.key for setting in seam.declared_settings(type(plugin)) if setting.secret}
    return [
        str(getattr(plugin, field_.name))
        for field_ in dataclasses.fields(plugin)
        if field_.metadata.get("key", field_.name) in secret and getattr(plugin, field_.name)
    ]


def _said_by(bad_day: BadDay, plugin: object) -> list[str]:
    """What an error says, all of it: its causes, too, and unmasked."""
    try:
        bad_day.add(bad_day.pair, seam.bind("dns", plugin).hooks)
    except PvefwError as error:
        return [f"{error} {error.hint}", *getattr(error, "__notes__", [])]
    return []


def _found(secrets: Collection[str], text: str, passed_on: str) -> str:
    """A secret that is in a text, in whatever form, unless the provider itself has said it."""
    for secret in sorted(secrets):
        if seam.redact(text, [secret]) != text and seam.redact(passed_on, [secret]) == passed_on:
            return secret
    return ""


@contextmanager
def _explained(name: str, when: str) -> Iterator[None]:
    try:
        yield
    except PvefwError as error:
        pytest.fail(f"{name} fails where {when} ({error}): read all pages of the list")


@contextmanager
def _sleeping(plugin: object) -> Iterator[list[float]]:
    """What is slept with ``time.sleep``, also where the plugin's module has imported it by name."""
    slept: list[float] = []
    package = type(plugin).__module__.partition(".")[0]
    mine = [module for name, module in sys.modules.items() if name.partition(".")[0] == package]
    with pytest.MonkeyPatch.context() as patch:
        for module in (time, *mine):
            if module.__dict__.get("sleep") is _SLEEP:
                patch.setattr(module, "sleep", slept.append)
        yield slept


@contextmanager
def _far_west() -> Iterator[None]:
    """The host's own clock shows five hours less than UTC."""
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("TZ", "KIT+5")
            time.tzset()
            yield
    finally:
        time.tzset()
