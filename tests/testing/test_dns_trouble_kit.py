"""The DNS kit on a bad day: good plugins pass, and each seeded bug is caught with a sentence about it.

The provider is awkward in the ways that real ones are: sessions, ids of zones, pages, record sets.
"""

import email.utils
import inspect
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import unquote

import pytest
import requests

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    RateLimited,
    Unavailable,
    hookimpl,
    setting,
)
from pvefw.core.errors import PvefwError
from pvefw.testing._dns import InTime
from pvefw.testing.dns import DnsConformance
from pvefw.testing.dns_trouble import AsCore, DnsTrouble
from pvefw.testing.fakes import FakeTask
from pvefw.testing.http_api import http_api
from pvefw.testing.surroundings import LOST, UNKNOWN, unfriendly

ZONE = "example.test."
PASSWORD = "correct-password"
PAGE = 50


class Provider:
    """Records with ids, in pages; sets of values with one TTL; a session; ids of zones."""

    def __init__(self, etags=False):
        self.etags = etags
        self.rows = {}
        self.number, self.session, self.zone_id, self.wait = 0, 0, 7, 0

    def put(self, name, kind, value, ttl):
        self.number += 1
        self.rows[self.number] = (name, kind, value, ttl)

    def everything(self):
        return list(self.rows.values())

    def txt(self, name):
        return {value for at, kind, value, _ in self.rows.values() if (at, kind) == (name, "TXT")}

    def end_session(self):
        self.session += 1

    def limit(self, seconds):
        self.wait = int(seconds * 1000)

    def recreate_zone(self):
        self.zone_id += 1

    def answer(self, request):
        if self.wait:
            wait, self.wait = self.wait, 0
            return 420, {"wait_ms": wait}
        if request.path == "/login":
            good = request.json == PASSWORD
            return (200, {"token": self._token}) if good else (403, "wrong password")
        if request.headers.get("X-Session") != self._token:
            return 401, "no such session"
        if request.path == "/zones":
            return 200, {ZONE: self.zone_id}
        _, _, zone, what, *rest = request.path.split("/")
        if zone != str(self.zone_id):
            return 404, "no such zone"
        return getattr(self, f"_{what}")(request, *map(unquote, rest))

    @property
    def _token(self):
        return f"session-number-{self.session}"

    def _records(self, request, number=""):
        if request.method == "DELETE":
            return (200, {}) if self.rows.pop(int(number), None) else (404, "no such record")
        if request.method == "GET":
            first = int(request.query.get("page", 0)) * PAGE
            listed = [[id_, *row] for id_, row in sorted(self.rows.items(), reverse=True)]
            return 200, listed[first : first + PAGE]
        row = (*request.json[:1], "TXT", *request.json[1:])
        if row[:3] in [value[:3] for value in self.rows.values()]:
            return 409, "there already"
        self.put(*row)
        return 201, {}

    def _sets(self, request, name):
        shown = [row[2] for row in self.rows.values() if row[:2] == (name, "TXT")]
        etag = f"{hash(tuple(shown)):x}"
        if request.method == "PUT":
            if request.json.get("match", "*") not in ("*", etag):
                return 412, f"the etag is {etag}"
            for id_ in [id_ for id_, row in self.rows.items() if row[:2] == (name, "TXT")]:
                del self.rows[id_]
            for value in request.json["values"]:
                self.put(name, "TXT", value, request.json["ttl"])
        mine = [row for row in self.rows.values() if row[:2] == (name, "TXT")]
        said = {"values": [row[2] for row in mine], "ttl": mine[0][3] if mine else 60}
        return 200, said | ({"etag": etag} if request.method == "GET" and self.etags else {})


@dataclass
class Client:
    """What good plugins for that API share."""

    password: str = setting(help="The password.", secret=True)
    url: str = setting(help="The API.")
    _session: str = field(default="", init=False, repr=False)

    @hookimpl
    def dns_zones(self):
        return list(self.call("GET", "/zones"))

    def base(self, zone):
        return f"/zones/{self.call('GET', '/zones')[zone]}"

    def call(self, method, path, body=None):
        if not self._session:
            self._session = self.login()
        answer = self.send(method, path, body)
        if answer.status_code == 401:
            self._session = self.login()
            answer = self.send(method, path, body)
        return self.checked(method, path, answer)

    def login(self):
        answer = self.send("POST", "/login", self.password)
        return self.checked("POST", "/login", answer)["token"]

    def send(self, method, path, body):
        headers = {"X-Session": self._session} if self._session else {}
        try:
            return requests.request(method, self.url + path, json=body, headers=headers, timeout=30)
        except requests.RequestException as error:
            raise Unavailable(f"{method} {path}: {error}") from error

    def checked(self, method, path, answer):
        said = f"{method} {path}: {answer.status_code} {answer.text}"
        match answer.status_code:
            case 200 | 201:
                return answer.json()
            case 401 | 403:
                raise CredentialsRejected(said)
            case 429:
                seconds = answer.headers.get("Retry-After", "")
                raise RateLimited(said, retry_after=float(seconds) if seconds.isdigit() else None)
            case 420:
                raise RateLimited(said, retry_after=answer.json()["wait_ms"] / 1000)
            case 500 | 502 | 503:
                raise Unavailable(said)
        raise ProviderError(said)


class Single(Client):
    """One record at a time."""

    @hookimpl
    def dns_add(self, zone, records):
        base = self.base(zone)
        there = {(name, value) for _, name, kind, value, _ in self.listed(base) if kind == "TXT"}
        for record in records:
            if (record.name, record.value) not in there:
                self.call("POST", f"{base}/records", [record.name, record.value, record.ttl])

    @hookimpl
    def dns_remove(self, zone, records):
        base, ours = self.base(zone), {(record.name, record.value) for record in records}
        for id_, name, kind, value, _ in self.listed(base):
            if kind == "TXT" and (name, value) in ours:
                self.call("DELETE", f"{base}/records/{id_}")

    def listed(self, base):
        found, page = [], 0
        while more := self.call("GET", f"{base}/records?page={page}"):
            found += more
            page += 1
        return found


class Sets(Client):
    """All values of a name at once."""

    @hookimpl
    def dns_add(self, zone, records):
        self.change(zone, records, lambda there, ours: there | ours)

    @hookimpl
    def dns_remove(self, zone, records):
        self.change(zone, records, lambda there, ours: there - ours)

    def change(self, zone, records, combine):
        base = self.base(zone)
        for name in {record.name for record in records}:
            there = self.call("GET", f"{base}/sets/{name}")
            ours = {record.value for record in records if record.name == name}
            values = combine(self.kept(there["values"]), ours)
            self.call(
                "PUT", f"{base}/sets/{name}", {"values": sorted(values), "ttl": self.ttl(there)}
            )

    def kept(self, values):
        return set(values)

    def ttl(self, there):
        return there["ttl"]


# --- seeded bugs -------------------------------------------------------------------------------------


def taking(base, *statuses):
    """A plugin that takes these for a success."""

    class Taking(base):
        def checked(self, method, path, answer):
            wrong = answer.status_code in statuses and method != "GET" and path != "/login"
            return {} if wrong else super().checked(method, path, answer)

    return Taking


def raising(base, status, make):
    """A plugin that raises something else for a status."""

    class Raising(base):
        def checked(self, method, path, answer):
            if answer.status_code == status:
                raise make(answer)
            return super().checked(method, path, answer)

    return Raising


class FirstPage(Single):
    def listed(self, base):
        return self.call("GET", f"{base}/records")


class FirstPageForTheRemoval(Single):
    @hookimpl
    def dns_remove(self, zone, records):
        self.listed = lambda base: self.call("GET", f"{base}/records")
        super().dns_remove(zone, records)
        del self.listed


class TwoPages(Single):
    def listed(self, base):
        return [row for page in (0, 1) for row in self.call("GET", f"{base}/records?page={page}")]


class RemovesByName(Single):
    @hookimpl
    def dns_remove(self, zone, records):
        base, names = self.base(zone), {record.name for record in records}
        for id_, name, _, _, _ in self.listed(base):
            if name in names:
                self.call("DELETE", f"{base}/records/{id_}")


class RemovesByValue(Single):
    @hookimpl
    def dns_remove(self, zone, records):
        base, ours = self.base(zone), {record.value for record in records}
        for id_, _, _, value, _ in self.listed(base):
            if value in ours:
                self.call("DELETE", f"{base}/records/{id_}")


class RemovesTheLongValues(Single):
    """Takes whatever looks like a challenge for one."""

    @hookimpl
    def dns_remove(self, zone, records):
        base, names = self.base(zone), {record.name for record in records}
        for id_, name, kind, value, _ in self.listed(base):
            if kind == "TXT" and name in names and len(value) > 10:
                self.call("DELETE", f"{base}/records/{id_}")


class RemovesBelow(Single):
    @hookimpl
    def dns_remove(self, zone, records):
        base, ours = self.base(zone), {record.name for record in records}
        for id_, name, kind, _, _ in self.listed(base):
            if kind == "TXT" and any(suffix.endswith(name) for suffix in ours):
                self.call("DELETE", f"{base}/records/{id_}")


class DropsOtherShapes(Sets):
    def kept(self, values):
        return {value for value in values if len(value) == 43}


class DropsSpaces(Sets):
    def kept(self, values):
        return {value.replace(" ", "") for value in values}


class FoldsSpaces(Sets):
    def kept(self, values):
        return {" ".join(value.split()) for value in values}


class SplitsAtSemicolons(Sets):
    def kept(self, values):
        return {part for value in values for part in value.split(";")}


class DropsShortValues(Sets):
    def kept(self, values):
        return {value for value in values if len(value) > 1}


class LowersForeignValues(Sets):
    def kept(self, values):
        return {value if len(value) == 43 else value.lower() for value in values}


class OwnTtl(Sets):
    def ttl(self, there):
        return 60


class HighestTtl(Sets):
    def ttl(self, there):
        return min(there["ttl"], 3600)


class OverwritesTheSet(Sets):
    def kept(self, values):
        return set()


class KeepsTheZoneId(Single):
    known = ""

    def base(self, zone):
        self.known = self.known or super().base(zone)
        return self.known


class KeepsTheSession(Single):
    def call(self, method, path, body=None):
        if not self._session:
            self._session = self.login()
        return self.checked(method, path, self.send(method, path, body))


@dataclass
class ShowsItsSession(Single):
    _session: str = field(default="", init=False)


class LogsItsSession(Single):
    @hookimpl
    def dns_add(self, zone, records, task):
        super().dns_add(zone, records)
        task.log(f"done with {self._session}")


class WarnsWithItsSession(Single):
    @hookimpl
    def dns_add(self, zone, records, task):
        super().dns_add(zone, records)
        task.warn(f"headers were X-Session: {self._session}")


class SaysItsSession(Single):
    def checked(self, method, path, answer):
        if answer.status_code >= 500:
            raise Unavailable(f"{method} with {answer.request.headers}: {answer.text}")
        return super().checked(method, path, answer)


class NoTimeLimit(Single):
    def send(self, method, path, body):
        headers = {"X-Session": self._session} if self._session else {}
        return requests.request(method, self.url + path, json=body, headers=headers)


class DiesWithTheConnection(Single):
    def send(self, method, path, body):
        headers = {"X-Session": self._session} if self._session else {}
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=30)


class ReadsBeforeItLooks(Single):
    def checked(self, method, path, answer):
        answer.json()
        return super().checked(method, path, answer)


class SleepsByItself(Single):
    def checked(self, method, path, answer):
        if answer.status_code == 429:
            time.sleep(1)
        return super().checked(method, path, answer)


class SleepsWhenItIsDone(Single):
    """Until the servers have it, as it says."""

    @hookimpl
    def dns_remove(self, zone, records):
        super().dns_remove(zone, records)
        time.sleep(1)


class SaysItsSessionWhenItIsRefused(Single):
    def checked(self, method, path, answer):
        if answer.status_code == 400:
            raise ProviderError(f"{method} with {answer.request.headers}: {answer.text}")
        return super().checked(method, path, answer)


class WaitsWithTheTask(Single):
    """Not a bug: it waits as documented, and goes on."""

    @hookimpl
    def dns_add(self, zone, records, task):
        self.task = task
        super().dns_add(zone, records)

    def send(self, method, path, body):
        answer = super().send(method, path, body)
        if answer.status_code == 429 and hasattr(self, "task"):
            seconds = answer.headers.get("Retry-After", "")
            self.task.wait(float(seconds) if seconds.isdigit() else 1)
            answer = super().send(method, path, body)
        return answer


class StopsAtOneThatIsThere(Single):
    """Repeated after half of it was done, it stops at the half that is there."""

    @hookimpl
    def dns_add(self, zone, records):
        base = self.base(zone)
        if any(
            row[1] == records[0].name and row[3] == records[0].value for row in self.listed(base)
        ):
            return
        for record in records:
            self.call("POST", f"{base}/records", [record.name, record.value, record.ttl])


def no_time(answer):
    return RateLimited(answer.text)


def twice_the_time(answer):
    return RateLimited(answer.text, retry_after=2000.0)


def header_as_a_number(answer):
    return RateLimited(answer.text, retry_after=float(answer.headers["Retry-After"]))


class SaysItsPassword(Single):
    def send(self, method, path, body):
        try:
            return super().send(method, path, body)
        except Unavailable as error:
            raise Unavailable(f"{error}: {body}") from error


class SplitsLongValues(Sets):
    def kept(self, values):
        return {value[at : at + 255] for value in values for at in range(0, len(value), 255)}


class DropsQuotes(Sets):
    def kept(self, values):
        return {value.replace('"', "") for value in values}


class Versioned(Sets):
    """Not a bug: it writes what it has read, and begins again where that has changed."""

    def change(self, zone, records, combine):
        for _ in range(5):
            try:
                return super().change(zone, records, combine)
            except Changed:
                continue
        raise Unavailable("it keeps changing")

    def send(self, method, path, body):
        if method == "PUT":
            body = {**body, "match": self.match()}
        return super().send(method, path, body)

    def match(self):
        return self.etag

    def checked(self, method, path, answer):
        if answer.status_code == 412 and "etag" in answer.text:
            return self.refused()
        said = super().checked(method, path, answer)
        self.etag = said.get("etag") if isinstance(said, dict) else None
        return said

    def refused(self):
        raise Changed


class Changed(Exception):
    pass


class AnyVersion(Versioned):
    def match(self):
        return "*"


class TakesARefusalForSuccess(Versioned):
    def refused(self):
        return {}


SEEDED = [
    (raising(Single, 429, header_as_a_number), "a date or absent"),
    (SaysItsPassword, "an error shows credentials"),
    (SplitsLongValues, "send back every value that is there, whatever its form"),
    (DropsQuotes, "send back every value that is there, whatever its form"),
    (AnyVersion, "send the ETag that you have read as If-Match"),
    (TakesARefusalForSuccess, "read again and write again"),
    (taking(Single, 412), "status 412, and dns_add returns as if all were well"),
    (taking(Single, 409), "status 409, and dns_add returns as if all were well"),
    (taking(Single, 429), "status 429, and dns_add returns as if all were well"),
    (taking(Single, 503), "status 503, and dns_add returns as if all were well"),
    (taking(Sets, 409), "raise ProviderError for 409"),
    (taking(Sets, 503), "raise Unavailable for 5xx"),
    (raising(Single, 429, no_time), "pass on what the header says"),
    (raising(Single, 429, twice_the_time), "pass on what the header says"),
    (raising(Single, 429, lambda answer: Unavailable(answer.text)), "raise RateLimited("),
    (raising(Single, 429, lambda answer: CredentialsRejected(answer.text)), "raise RateLimited("),
    (raising(Single, 503, lambda answer: ProviderError(answer.text)), "raise Unavailable for 5xx"),
    (raising(Single, 503, lambda answer: KeyError(answer.text)), "raise Unavailable for 5xx"),
    (raising(Single, 409, lambda answer: KeyError(answer.text)), "raise ProviderError for 409"),
    (FirstPage, "read all pages of the list"),
    (FirstPageForTheRemoval, "read all pages of the list, or ask for the one name"),
    (TwoPages, "read all pages of the list"),
    (RemovesByName, "which belongs to somebody else"),
    (RemovesByValue, "which belongs to somebody else"),
    (RemovesTheLongValues, "which belongs to somebody else"),
    (RemovesBelow, "which belongs to somebody else"),
    (DropsOtherShapes, "send back every value that is there, whatever its form"),
    (FoldsSpaces, "send back every value that is there, whatever its form"),
    (DropsSpaces, "send back every value that is there, whatever its form"),
    (SplitsAtSemicolons, "send back every value that is there, whatever its form"),
    (DropsShortValues, "send back every value that is there, whatever its form"),
    (LowersForeignValues, "send back every value that is there, whatever its form"),
    (OverwritesTheSet, "send back every value that is there, whatever its form"),
    (OwnTtl, "keep the TTL of the record set"),
    (HighestTtl, "keep the TTL of the record set"),
    (KeepsTheZoneId, "look ids up in every call"),
    (KeepsTheSession, "log in again, once"),
    (ShowsItsSession, "repr() of the plugin shows credentials"),
    (LogsItsSession, "the task's log shows credentials"),
    (WarnsWithItsSession, "the task's log shows credentials"),
    (SaysItsSession, "an error shows credentials"),
    (SaysItsSessionWhenItIsRefused, "an error shows credentials"),
    (NoTimeLimit, "give every request one"),
    (DiesWithTheConnection, "raise Unavailable where the connection fails"),
    (ReadsBeforeItLooks, "before you read the body, which is HTML here"),
    (SleepsByItself, "use task.wait"),
    (SleepsWhenItIsDone, "use task.wait"),
    (StopsAtOneThatIsThere, "begin each call by looking at what is there"),
]


class Kit(DnsConformance):
    __test__ = False
    patience = 0.0


LONG = "test_an_error_is_no_success test_what_others_write_meanwhile_stays"
"""These come last."""
STATUSES = {
    "test_an_error_is_no_success": (429, 503, 409, 412, 502, LOST, UNKNOWN),
    "test_credentials_do_not_show": (500, 400, 401, 429, LOST),
}


def run_trouble(plugin_class, until="nothing is enough"):
    """The tests of a bad day by hand, until one says this; what the failures say, by test."""
    failures, kit = {}, Kit()
    members = (name for name, _ in inspect.getmembers(DnsTrouble, inspect.isfunction))
    for name in sorted(members, key=lambda name: (LONG.find(name), name)):
        if not name.startswith("test_"):
            continue
        for status in STATUSES.get(name, (None,)):
            if any(until in sentence_ for sentence_ in failures.values()):
                return failures
            try:
                run_one(kit, plugin_class, name, status)
            except (AssertionError, PvefwError, pytest.fail.Exception) as error:
                failures[name, status] = str(error)
    return failures


def run_one(kit, plugin_class, name, status):
    provider = Provider(etags=issubclass(plugin_class, Versioned))
    around = unfriendly(provider)
    with http_api(around.answer) as base, pytest.MonkeyPatch.context() as patch:
        plugin, task = plugin_class(PASSWORD, base), FakeTask(longest=0.01)
        hooks = kit.bind(plugin)
        day = DnsTrouble.bad_day._fixture_function(
            kit, plugin, hooks, ZONE, provider.txt, task, around
        )
        known = {"plugin": plugin, "bad_day": day, "status": status, "monkeypatch": patch}
        known["fresh_plugin"] = lambda: plugin_class(PASSWORD, base)
        known["broken_plugin"] = plugin_class("wrong-password", base)
        test = getattr(kit, name)
        test(**{parameter: known[parameter] for parameter in inspect.signature(test).parameters})


@pytest.mark.parametrize("good", [Single, Sets, WaitsWithTheTask, Versioned])
def test_a_good_plugin_passes(good):
    assert run_trouble(good) == {}


@pytest.mark.parametrize(
    ("bug", "sentence"), SEEDED, ids=lambda bug_: getattr(bug_, "__name__", "-")
)
def test_each_seeded_bug_is_caught_with_a_sentence(bug, sentence):
    said = run_trouble(bug, sentence)
    assert any(sentence in value for value in said.values()), said


class TestSingle(DnsConformance):
    """The kit as authors use it, with a session, pages and a limit."""

    @pytest.fixture
    def provider(self):
        return Provider()

    @pytest.fixture
    def surroundings(self, provider):
        return unfriendly(provider)

    @pytest.fixture
    def url(self, surroundings):
        with http_api(surroundings.answer) as base:
            yield base

    @pytest.fixture
    def plugin(self, url):
        return Single(PASSWORD, url)

    @pytest.fixture
    def broken_plugin(self, url):
        return Single("wrong", url)

    @pytest.fixture
    def zone(self):
        return ZONE

    @pytest.fixture
    def records(self, provider):
        return provider.txt


def test_a_provider_that_limits_as_documented_passes_the_whole_kit():
    """Every request over the limit is a RateLimited; core, and so the kit, gets through all the same."""
    provider, calls = Provider(), []

    def answer(request):
        calls.append(request)
        limited = len(calls) % 7 == 0 and request.path != "/login"
        return (429, "slow down", {"Retry-After": "0"}) if limited else provider.answer(request)

    with http_api(answer) as base:
        hooks: AsCore = Kit.bind(Single(PASSWORD, base))
        names = Kit.names(ZONE)
        records = [value for name in names for value in Kit.values(name, 4)]
        hooks.dns_add(zone=ZONE, records=records, task=FakeTask())
        assert all(len(provider.txt(name)) == 4 for name in names)
        hooks.dns_remove(zone=ZONE, records=records, task=FakeTask())
        assert provider.everything() == []


class TakesSecondsForMinutes(Single):
    @hookimpl
    def dns_add(self, zone, records):
        super().dns_add(zone, [replace(record, ttl=record.ttl * 60) for record in records])


def test_a_ttl_in_another_unit_is_seen():
    test = "test_a_ttl_is_in_seconds"
    run_one(Kit(), Single, test, None)
    with pytest.raises(AssertionError, match="write it in the unit of the API"):
        run_one(Kit(), TakesSecondsForMinutes, test, None)


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (lambda answer: RateLimited("", retry_after=answer.json()["wait_ms"]), "it is in seconds"),
        (lambda answer: ProviderError(answer.text), "raise RateLimited"),
    ],
)
def test_limits_in_the_words_of_the_api_are_seen(bug, sentence):
    test = "test_a_limit_in_the_words_of_the_api"
    run_one(Kit(), Single, test, None)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=sentence):
        run_one(Kit(), raising(Single, 420, bug), test, None)


def test_a_day_needs_an_api_that_can_be_reached():
    day = DnsTrouble.bad_day._fixture_function(
        Kit(), Single("", ""), None, ZONE, None, FakeTask(), None
    )
    with pytest.raises(pytest.skip.Exception, match=r"override the fixture 'surroundings'"):
        _ = day.around


def test_a_date_that_is_read_in_local_time_is_seen():
    def naive(answer):
        header = answer.headers.get("Retry-After", "")
        if "," not in header:
            return RateLimited("", retry_after=None)
        until = email.utils.parsedate_to_datetime(header).replace(tzinfo=None)
        return RateLimited("", retry_after=max(0.0, (until - datetime.now()).total_seconds()))  # noqa: DTZ005 - the bug

    test = "test_retry_after_is_read_in_every_form"
    run_one(Kit(), Single, test, None)
    with pytest.raises(AssertionError, match="seconds from now"):
        run_one(Kit(), raising(Single, 429, naive), test, None)


class WaitsForJobs:
    """Its changes are jobs, and it looks for their end every ten seconds."""

    def dns_add(self, *, task):
        task.wait(10)


def test_waiting_for_a_job_of_a_fake_takes_no_time():
    waits, task = InTime(WaitsForJobs()), FakeTask()
    waits.dns_add(task=task)
    assert task.waited == 10, "a real server needs its time"
    task = FakeTask()
    with http_api(Provider().answer):
        waits.dns_add(task=task)
    assert 0 < task.waited < 1
