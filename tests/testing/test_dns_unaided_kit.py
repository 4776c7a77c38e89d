"""The DNS kit with a fake that is told nothing: http_api alone is enough to play a bad day.

Each bug is one that a third party made, or could have made, in a plugin for an awkward API.
"""

import inspect

import pytest
from seeding import run_test, seeded

from pvefw.api import hookimpl
from pvefw.core.errors import PvefwError
from pvefw.testing import _others, _wire
from pvefw.testing.dns import DnsConformance
from pvefw.testing.fakes import FakeTask
from pvefw.testing.http_api import Request, http_api

ZONE = "example.test."
ERRORS = "test_an_error_is_no_success"
OTHERS = "test_records_of_others_stay"
SESSION = "test_a_session_that_ended_is_begun_again"
IDS = "test_ids_of_the_provider_are_looked_up_each_time"
CREDENTIALS = "test_credentials_do_not_show"
DEPTH = "test_every_depth_works"
PAGES = "test_records_beyond_the_first_page"
WHOLE = "test_a_zone_is_found_by_its_whole_name"
LABELS = "test_zones_may_have_many_labels"
UNCHANGED = "test_unchanged_is_said_only_where_it_is_true"
MEANWHILE = "test_a_session_that_ends_meanwhile_is_no_success"
ONCE = "test_a_zone_is_published_once"
CANCELLED = "test_a_cancelled_call_is_no_success"
ENDLESS = "test_what_goes_on_failing_ends"
NOTHING_LOST = "test_a_failure_takes_nothing_away"
ZONES = "test_an_error_is_no_list_of_zones"
PROTECTED = "test_connections_are_protected"


class Kit(DnsConformance):
    __test__ = False
    patience = 0.0


class TestAwkward(DnsConformance):
    """The kit as authors use it."""

    @pytest.fixture
    def fake(self):
        return seeded("awkward").Fake()

    @pytest.fixture
    def url(self, fake):
        with http_api(fake.handle) as base:
            yield base

    @pytest.fixture
    def plugin(self, url):
        return seeded("awkward").Awkward("joe-user", "correct-password", url)

    @pytest.fixture
    def broken_plugin(self, url):
        return seeded("awkward").Awkward("joe-user", "wrong", url)

    @pytest.fixture
    def zone(self):
        return ZONE

    @pytest.fixture
    def records(self, fake):
        return fake.txt

    @pytest.fixture
    def fail_publishing(self, fake):
        return fake.fail_next_commit

    def test_nothing_is_skipped(self, plugin, surroundings, bad_day):
        """All of a bad day can be played: a session, ids, an API."""
        bad_day.add(bad_day.pair)
        assert surroundings.expire({plugin.password})
        assert surroundings.rename(ZONE)


def limited(answer, every):
    """The API refuses one request of so many."""
    asked = []

    def answered(request):
        asked.append(request)
        if len(asked) % every == 0:
            return 429, {"error": "slow down"}, {"Retry-After": "0"}
        return answer(request)

    return answered if every else answer


def run(test, old, new, limit=0, *, keeps_its_task=False, **given):
    """One test of the kit on a plugin with a bug; what its failure says."""
    module, kit = seeded("awkward", old, new), Kit()
    if keeps_its_task:
        _keep_task(module.Awkward)
    fake = module.Fake()
    with http_api(limited(fake.handle, limit)) as base, pytest.MonkeyPatch.context() as patch:
        task = FakeTask(longest=0.01)
        plugin = module.Awkward("joe-user", "correct-password", base)
        fixtures = {
            "plugin": plugin,
            "hooks": kit.bind(plugin),
            "zone": ZONE,
            "records": fake.txt,
            "task": task,
            "monkeypatch": patch,
            "broken_plugin": module.Awkward("joe-user", "wrong", base),
            "fail_publishing": fake.fail_next_commit,
            "fresh_plugin": lambda: module.Awkward("joe-user", "correct-password", base),
        }
        around = Kit.surroundings._fixture_function(kit, plugin)
        names = inspect.signature(Kit.bad_day._fixture_function).parameters
        known = {**fixtures, "surroundings": around, "self": kit}
        fixtures["bad_day"] = Kit.bad_day._fixture_function(**{name: known[name] for name in names})
        return run_test(kit, test, fixtures, **given)


def _keep_task(plugin):
    """Let every request know the task of its call."""
    change = plugin._change

    def changing(self, zone, records, task, combine):
        self.task = task
        change(self, zone, records, task, combine)

    plugin._change = changing


NUMBER = '        for domain in self._pages("/domains"):\n            if'
KEPT_NUMBER = """        if hasattr(self, "kept"):
            return self.kept
        for domain in self._pages("/domains"):
            self.kept = domain["domain_id"]
            if"""
ONE_ZONE = f"""        if len(self._pages("/domains")) > 1:
            raise ProviderError("two zones")
{NUMBER}"""
OF_A_ZONE = "        number = self._number(zone)\n"
ONLY_TEXTS = f"""{OF_A_ZONE}        for entry in self._sets(number):
            if entry["type"] != "TXT":
                raise ProviderError(f"there is a record of {{entry['type']}}")
"""
RENEWED = """            self._login()
            answer = self._send(method, path, body)
"""
SAID = '        said = f"{what}: {answer.status_code}'
BEFORE = 'before = found["values"] if found else []'
COMMIT = '        self._call("POST", f"/domains/{number}/commit")'
REFUSED = "raise CredentialsRejected(said)"
TYPED = ' if entry["type"] == "TXT"}'
STATUS = "        if not answer.ok:"
KEEP = "send back every value that is there, whatever its form"

WRITE = "                self._write(number, found, host, values, ttl)\n"
EACH = f"{WRITE}        {COMMIT}\n{COMMIT}\n"
EACH_UNCHANGED = f"""                try:
    {WRITE}            {COMMIT}
                except ProviderError as error:
                    raise ProviderError(str(error), unchanged=True) from error
"""
EACH_DOWN = EACH_UNCHANGED.replace("ProviderError", "Unavailable")

WAITING = f"        task.wait(1)\n{COMMIT}"
PUT = """            self._call("PUT", f"{path}/{found['rrset_id']}", body)
"""
DELETE_AND_MAKE = """            self._call("DELETE", f"{path}/{found['rrset_id']}")
            self._call("POST", path, body)
"""
UNTIL_IT_WORKS = """        if answer.status_code >= 500:
            return self._checked(what, requests.Session().send(answer.request, timeout=30))
"""
UNTIL_NOBODY_IS_FASTER = """        if answer.status_code == 409:
            self.task.wait(0.001)
            return self._checked(what, requests.Session().send(answer.request, timeout=30))
"""
GIVES_UP = f"""            if path != "/domains?page=1":
                raise CredentialsRejected("the session has ended")
{RENEWED}"""
LISTED = """        return [f"{domain['name']}." for domain in self._pages("/domains")]
"""
ANYTHING_LISTED = f"""        try:
    {LISTED}        except ProviderError:
            return []
"""
UNLESS_CANCELLED = """        while not task.cancelled:
            task.wait(1)
            self._call("POST", f"/domains/{number}/commit")
            break
"""

SEEDED = [
    (CANCELLED, f"{COMMIT}\n", UNLESS_CANCELLED, "let Cancelled through"),
    (ENDLESS, SAID, f"{UNTIL_IT_WORKS}{SAID}", "repeat a few times"),
    (
        UNCHANGED,
        f"{WRITE}{COMMIT}\n",
        EACH_UNCHANGED.replace("ProviderError", "Unavailable"),
        "status 503",
    ),
    (ZONES, LISTED, ANYTHING_LISTED, "as in dns_add"),
    (MEANWHILE, RENEWED, GIVES_UP, "ends the whole order"),
    (NOTHING_LOST, PUT, DELETE_AND_MAKE, "never by deleting it and making it again"),
    (
        PROTECTED,
        "headers=headers, timeout",
        "headers=headers, verify=False, timeout",
        "be verified",
    ),
    (PROTECTED, "https://api.awkward", "http://api.awkward", "begin with https://"),
    (
        WHOLE,
        """if f"{domain['name']}." == zone""",
        """if zone.endswith(f"{domain['name']}.")""",
        "whole names",
    ),
    (
        WHOLE,
        """if f"{domain['name']}." == zone""",
        """if f"{domain['name']}.".endswith(zone)""",
        "whole",
    ),
    (WHOLE, NUMBER, ONE_ZONE, "fails where the account has more zones (Awkward: two zones)"),
    (
        OTHERS,
        OF_A_ZONE,
        ONLY_TEXTS,
        "fails where others have records (Awkward: there is a record of A)",
    ),
    (
        LABELS,
        "name.removesuffix(zone).rstrip",
        '".".join(name.split(".")[:-3]).rstrip',
        "count labels",
    ),
    (UNCHANGED, f"{WRITE}{COMMIT}\n", EACH_UNCHANGED, "nothing would remove it"),
    (
        MEANWHILE,
        RENEWED,
        RENEWED.replace(
            "            answer",
            "            if path.endswith('/commit'):\n                return\n            answer",
        ),
        "repeat the request that was refused",
    ),
    (ONCE, f"{WRITE}{COMMIT}\n", EACH, "publish once"),
    (
        OTHERS,
        BEFORE,
        f"{BEFORE}\n            before = [one for one in before if len(one) == 43]",
        KEEP,
    ),
    (OTHERS, "values = list(before)", "values = []", KEEP),
    (OTHERS, "values = list(before)", "values = sorted(before)[-2:]", KEEP),
    (OTHERS, "elif not values:", "elif len(values) < 4:", KEEP),
    (
        OTHERS,
        'found["ttl"] if found else ours[0].ttl',
        "ours[0].ttl",
        "keep the TTL of the record set",
    ),
    (OTHERS, TYPED, "}", "change TXT alone"),
    (OTHERS, f"self._sets(number){TYPED}", "reversed(self._sets(number))}", "change TXT alone"),
    (OTHERS, 'found["ttl"] if found else ours[0].ttl', "120", "keep the TTL of the record set"),
    (
        PAGES,
        'return self._pages(f"/domains/{number}/rrsets")',
        'return self._call("GET", f"/domains/{number}/rrsets")["items"]',
        "read all pages of the list",
    ),
    (IDS, NUMBER, KEPT_NUMBER, "look ids up in every call"),
    (SESSION, RENEWED, "            pass\n", "log in again, once"),
    (SESSION, RENEWED, RENEWED.splitlines()[0] + "\n", "log in again, once"),
    (
        SESSION,
        RENEWED,
        RENEWED.splitlines()[0] + '\n            return {"items": [], "pages": 1}\n',
        "log in again, once",
    ),
    (
        CREDENTIALS,
        'field(default="", init=False, repr=False)',
        'field(default="", init=False)',
        "repr() of the plugin shows credentials",
    ),
    (CREDENTIALS, COMMIT, COMMIT + "\n        task.log(self._sid)", "log shows credentials"),
    (CREDENTIALS, COMMIT, COMMIT + "\n        task.log(self.password)", "log shows credentials"),
    (
        CREDENTIALS,
        'password: str = setting(help="Its password.", secret=True)',
        'password: str = setting(help="Its password.")',
        "declare settings with secret=True",
    ),
    (CREDENTIALS, REFUSED, REFUSED.replace("said", "f'{said} {self.password}'"), "an error shows"),
    (CREDENTIALS, REFUSED, REFUSED + " from ValueError(self.password)", "raise from None"),
    (
        CREDENTIALS,
        REFUSED,
        REFUSED.replace("said", "said, hint=f'Not {self.password!r}?'"),
        "an error",
    ),
    (CREDENTIALS, SAID, SAID.replace("{what}", "{answer.request.headers}"), "an error shows"),
    (DEPTH, ' or "@"', "", "(none for the zone itself)"),
    (DEPTH, '.rstrip(".") or "@"', "[:-1]", "(none for the zone itself)"),
]
FAULTS = [
    (
        409,
        STATUS,
        "        if answer.status_code == 409:\n            return None\n" + STATUS,
        "409",
    ),
    (
        429,
        "retry_after=float(after) if after.isdigit() else None",
        "retry_after=None",
        "Retry-After",
    ),
    (503, "raise Unavailable(said)", "return None", "raise Unavailable for 5xx"),
    (503, "raise Unavailable(said)", "raise ProviderError(said)", "raise Unavailable for 5xx"),
    (502, SAID, "        answer.json()\n" + SAID, "which is HTML here"),
    (0, "except requests.RequestException", "except KeyError", "where the connection fails"),
    (-1, STATUS, "        if False:", "ids that it does not have"),
]


@pytest.mark.parametrize(("test", "old", "new", "sentence"), SEEDED, ids=range(len(SEEDED)))
def test_each_seeded_bug_is_caught_with_a_sentence(test, old, new, sentence):
    status = 401 if test == CREDENTIALS else 500
    assert sentence in (run(test, old, new, position=4, status=status) or "nothing was said")


@pytest.mark.parametrize(("status", "old", "new", "sentence"), FAULTS, ids=range(len(FAULTS)))
def test_each_answer_that_is_misread_is_caught(status, old, new, sentence):
    assert sentence in (run(ERRORS, old, new, status=status) or "nothing was said")


def test_a_conflict_that_goes_on_is_not_waited_for_without_end():
    new = f"{UNTIL_NOBODY_IS_FASTER}{SAID}"
    assert "repeat a few times" in run(ENDLESS, SAID, new, status=409, keeps_its_task=True)


def test_a_name_with_the_zone_in_it_is_a_name():
    new = 'name.replace(zone, "")'
    assert "once, off the end" in run(DEPTH, "name.removesuffix(zone)", new, position=6)
    assert run(DEPTH, SAID, SAID, position=6) is None


def test_a_plugin_that_waits_can_be_cancelled():
    """Not a bug: it waits as documented."""
    assert run(CANCELLED, COMMIT, WAITING) is None


@pytest.mark.parametrize("status", [429, 409, 0])
def test_a_limit_of_the_fake_itself_is_no_mistake_of_the_plugin(status):
    assert run(ERRORS, "", "", limit=9, status=status) is None


class WithoutQuotes:
    """A provider that keeps texts in a form of its own."""

    def __init__(self):
        self.kept = set()

    def dns_add(self, zone, records, task):
        self.kept |= {self.form(record) for record in records}

    def dns_remove(self, zone, records, task):
        self.kept -= {self.form(record) for record in records}

    def form(self, record):
        return record.name, record.value.replace('"', "")

    def records(self, name):
        return {value for at, value in self.kept if at == name}


def test_what_a_provider_shows_in_another_form_is_removed_again(monkeypatch):
    monkeypatch.setattr(_others, "_LONGEST_LOOK", 0.0)
    provider = WithoutQuotes()
    others = _others.ThroughTheHooks(ZONE, provider, provider.records, FakeTask(), None)
    for value in ("plain", 'in "quotes"'):
        others.put("one.example.test.", "TXT", value, 300)
    assert others.there() == {("one.example.test.", "TXT", "plain", 300)}
    others.leave()
    assert provider.kept == set()


def test_a_plugin_that_waits_for_ever_is_stopped():
    """A loop that looks for success alone would hang the kit, and an order."""

    class Waits:
        @hookimpl
        def dns_add(self, task):
            while True:
                task.wait(1)

        @hookimpl
        def dns_remove(self):
            pass

    with pytest.raises(PvefwError, match="a call may take no longer: end such a loop"):
        Kit.bind(Waits()).dns_add(zone=ZONE, records=Kit.values(ZONE, 1), task=FakeTask())


@pytest.mark.parametrize("scheme", ["Bearer", "Awkward", ""])
def test_the_scheme_of_an_authorization_is_no_secret(scheme):
    """Neither those that are registered nor one of the API's own."""
    sent = Request("GET", "/", {}, {"Authorization": f"{scheme} 0123456789".strip()}, b"")
    assert _wire.credentials(sent) == {"0123456789"}
