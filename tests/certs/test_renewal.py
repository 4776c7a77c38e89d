"""When certificates are renewed, on a simulated clock; and how failures are told."""

import base64
import datetime as dt
import itertools
from pathlib import Path

import pytest
from certificates import NOW, Calendar, Log, own, self_signed

from pvefw.acme.jws import AccountKey
from pvefw.certs import (
    chain,
    install,
    issue,
    node_certificate,
    renew,
    renewal_plan,
    renewal_rule,
    sharing,
)
from pvefw.certs.certificate import Certificate
from pvefw.certs.renewal_rule import Record, Window
from pvefw.core.errors import AcmeProblem, AcmeUnreachable, Locked, NoQuorum
from pvefw.core.model import Urgency
from pvefw.store import accounts, certificate_sections, files, node_settings
from pvefw.store.node import Node
from pvefw.tasks import events

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


def info(days, begin=NOW, name="pve1.example"):
    pem, _ = self_signed(name, begin=(begin - NOW) / DAY, days=days)
    return chain.describe(Path("pveproxy-ssl.pem"), pem)


@pytest.mark.parametrize(("days", "share"), [(6, 1 / 2), (45, 2 / 3), (90, 2 / 3), (398, 2 / 3)])
def test_by_lifetime(days, share):
    for node in ("pve1", "pve2", "pve3"):
        decision = renewal_rule.decide(info(days), node)
        age = (decision.due - NOW) / (days * DAY)
        assert share - 0.05 <= age <= share
        assert f"{days} days" in decision.reason


def test_nodes_do_not_all_come_at_once():
    certificate = info(90)
    dues = {renewal_rule.decide(certificate, f"pve{number}").due for number in range(50)}
    assert len(dues) == 50
    assert max(dues) - min(dues) > 2 * DAY
    assert renewal_rule.decide(certificate, "pve1") == renewal_rule.decide(certificate, "pve1")


@pytest.mark.parametrize("days", [6, 45, 90, 398])
def test_the_authoritys_window_decides(days):
    window = Window(NOW + 1 * DAY, NOW + 2 * DAY, "https://ca.example/why")
    decision = renewal_rule.decide(info(days), "pve1", window=window)
    assert window.start <= decision.due <= window.end
    assert "https://ca.example/why" in decision.reason


def test_a_window_in_the_past_is_now_and_one_after_the_end_is_none():
    past = Window(NOW - 2 * DAY, NOW - DAY)
    assert renewal_rule.decide(info(90), "pve1", window=past).due < NOW
    late = Window(NOW + 89 * DAY, NOW + 95 * DAY)
    assert renewal_rule.decide(info(90), "pve1", window=late).due < NOW + 61 * DAY


def test_of_a_window_up_to_the_end_the_end_is_not_used():
    to_the_end = Window(NOW + 80 * DAY, NOW + 90 * DAY)
    for number in range(50):
        due = renewal_rule.decide(info(90), f"pve{number}", window=to_the_end).due
        assert NOW + 80 * DAY <= due <= NOW + 86 * DAY


def test_an_earlier_configured_date_wins_and_a_later_one_does_not():
    decision = renewal_rule.decide(info(90), "pve1", renew_before=40 * DAY)
    assert decision.due == NOW + 50 * DAY
    assert "renew-before is 40 days" in decision.reason
    late = renewal_rule.decide(info(90), "pve1", renew_before=10 * DAY)
    assert late.due < NOW + 61 * DAY
    window = Window(NOW + 60 * DAY, NOW + 61 * DAY)
    early = renewal_rule.decide(info(90), "pve1", window=window, renew_before=40 * DAY)
    assert early.due == NOW + 50 * DAY


def test_a_renew_before_of_a_month_does_not_renew_six_day_certificates_for_ever():
    assert renewal_rule.decide(info(6), "pve1", renew_before=30 * DAY).due > NOW + 2 * DAY


@pytest.mark.parametrize("days", [6, 90])
def test_back_off_grows_and_leaves_tries(days):
    certificate, record, now = info(days), Record(), NOW + days * DAY / 2
    tries = 0
    while now < certificate.not_after:
        record = record.failed("no", certificate, now, None)
        assert HOUR <= record.next_try - now <= DAY
        now, tries = record.next_try, tries + 1
    assert tries >= 10
    assert record.failures == tries


def test_what_the_authority_asks_to_wait_is_waited():
    record = Record().failed("too many", info(90), NOW, 7 * 3600)
    assert record.next_try == NOW + 7 * HOUR


def test_urgency_rises():
    certificate = info(90)
    found = [renewal_rule.urgency(certificate, NOW + day * DAY) for day in (60, 75, 85, 91)]
    assert found == [Urgency.NOTICE, Urgency.WARNING, Urgency.CRITICAL, Urgency.EXPIRED]


def test_records_survive_and_are_about_one_certificate(paths):
    first, second = info(90), info(90)
    kept = Record(
        account="default",
        window=Window(NOW, NOW + DAY, "https://ca.example/"),
        ask_again=NOW + HOUR,
        failures=2,
        reason="no",
        next_try=NOW + 2 * HOUR,
        told=NOW,
        told_urgency="warning",
    )
    renewal_rule.keep(paths, first, kept)
    found = renewal_rule.record_of(paths, first)
    assert found.fingerprint == first.fingerprint
    assert (found.window, found.next_try, found.told) == (kept.window, kept.next_try, NOW)
    assert renewal_rule.record_of(paths, second) == Record(fingerprint=second.fingerprint)
    paths.renewal_state.write_text('{"pveproxy-ssl.pem": 3')
    assert renewal_rule.record_of(paths, first).failures == 0


# --- the run ------------------------------------------------------------------------------------


class Run:
    """A node with a certificate, an authority that answers as told, and somebody who is told."""

    def __init__(self, paths, monkeypatch):
        self.paths, self.clock, self.lines, self.told, self.orders = paths, Calendar(), [], [], []
        self.times = []
        self.window, self.asked, self.failing = None, 0, None
        monkeypatch.setattr(renewal_plan, "_renewal_info", self._renewal_info)
        monkeypatch.setattr(issue, "obtain", self._obtain)
        monkeypatch.setattr(events, "tell", self._tell)
        node_settings.change(paths, {"acmedomain0": "pve1.example"})
        self.install(90)

    def install(self, days):
        begin = (self.clock.now() - NOW) / DAY
        pem, key = self_signed(begin=begin, days=days)
        install.install_pair(own(self.paths), pem, key, Log(), self.clock.now())
        self.days = days
        found = chain.describe(self.paths.proxy_certificate, pem)
        renewal_rule.keep(self.paths, found, Record(account="default"))

    def _renewal_info(self, *_arguments):
        self.asked += 1
        if isinstance(self.window, Exception):
            raise self.window
        return self.window, []

    def _obtain(self, _certificate, _task, **_options):
        self.orders.append(self.clock.now())
        if self.failing:
            raise self.failing
        self.install(self.days)

    def _tell(self, _paths, hook, event, _task):
        self.told.append((hook, event))
        self.times.append(self.clock.now())
        return []

    def __call__(self, **options):
        self.lines.clear()
        return renew.run(self.paths, self.lines.append, lambda _line: None, self.clock, **options)

    def live(self, days, step=6 * HOUR):
        """Run as the timer does, for some days."""
        end = self.clock.time + days * DAY
        while self.clock.time < end:
            self()
            self.clock.time += step


@pytest.fixture
def run(paths, monkeypatch):
    return Run(paths, monkeypatch)


@pytest.mark.parametrize("days", [6, 45, 90, 398])
def test_a_certificate_lives_on_for_ever(run, days):
    run.install(days)
    run.live(days * 4, step=days * HOUR / 2)
    assert 5 <= len(run.orders) <= 9
    pem = run.paths.proxy_certificate.read_bytes()
    left = chain.describe(run.paths.proxy_certificate, pem).not_after - run.clock.time
    assert left > days * DAY * 0.25
    assert not run.told


def test_a_dry_run_explains_and_keeps_nothing(run):
    before = run.paths.renewal_state.read_bytes()
    pem = run.paths.proxy_certificate.read_bytes()
    due = renewal_rule.decide(chain.describe(run.paths.proxy_certificate, pem), "pve1").due
    assert run(dry_run=True)
    [line] = run.lines
    assert line.startswith(f"pveproxy-ssl.pem (pve1.example): not due until {due:%Y-%m-%d}")
    assert "two thirds of its 90 days" in line
    assert not run.orders
    assert run.paths.renewal_state.read_bytes() == before
    run.clock.time += 70 * DAY
    run(dry_run=True)
    assert ": due: " in run.lines[0]
    assert not run.orders


def test_the_authority_is_asked_when_it_wants_to_be(run):
    asked_again = 12 * 3600.0
    found = {
        "start": NOW + 10 * DAY,
        "end": NOW + 11 * DAY,
        "explanation": "",
        "retry_after": asked_again,
    }
    run.window = type("Info", (), found)
    run()
    run()
    assert run.asked == 1
    assert "its authority asks for it" in run.lines[0]
    run.clock.time += 13 * HOUR
    run.window = AcmeUnreachable("no answer")
    run()
    assert run.asked == 2
    assert "its authority asks for it" in run.lines[0]
    assert "could not be asked" in run.lines[0]
    run.clock.time = NOW + 11 * DAY
    run()
    assert len(run.orders) == 1


def test_failures_are_told_with_the_days_left_and_never_twice_a_day(run):
    run.failing = AcmeProblem("refused by policy", type="rejectedIdentifier", status=403)
    run.live(95)
    hooks = {hook for hook, _ in run.told}
    assert hooks == {"on_renewal_failed"}
    failed = [event for _, event in run.told]
    assert failed[0].failures == 1
    assert 29 < failed[0].days_left < 36
    assert failed[0].reason == "refused by policy"
    levels = [event.urgency for event in failed]
    assert levels == sorted(levels, key=list(Urgency).index)
    per_level = {level: levels.count(level) for level in Urgency}
    assert 3 <= per_level[Urgency.NOTICE] <= 8
    assert 6 <= per_level[Urgency.WARNING] <= 12
    assert 6 <= per_level[Urgency.CRITICAL] <= 12
    both = list(zip(levels, run.times, strict=True))
    for (level, time), (next_level, next_time) in itertools.pairwise(both):
        assert next_level != level or next_time - time >= DAY, "told twice a day"
    assert failed[-1].days_left < 0


def test_a_failure_holds_back_and_success_clears_it(run):
    run.clock.time = NOW + 65 * DAY
    run.failing = AcmeProblem("later", type="rateLimited", status=429, retry_after=5 * 3600)
    assert not run()
    assert run()
    assert len(run.orders) == 1
    assert "the last try failed" in run.lines[0]
    assert "later" in run.lines[0]
    run.clock.time += 6 * HOUR
    run.failing = None
    assert run()
    assert len(run.orders) == 2
    assert [hook for hook, _ in run.told] == ["on_renewal_failed", "on_renewal_recovered"]
    found = renewal_rule.records(run.paths)["pveproxy-ssl.pem"]
    assert found.failures == 0
    assert found.told is None


def _account_for_another_directory(run):
    run.paths.acme_dir.mkdir(parents=True, exist_ok=True)
    (run.paths.acme_dir / "default").write_text("{}")


def _plugin_that_was_missing(run):
    run.paths.acme_dir.mkdir(parents=True, exist_ok=True)
    run.paths.plugins_cfg.write_text("dns: other\n\tapi rfc2136\n")


def _another_name(run):
    with run.paths.node_config().open("a") as file:
        file.write("acmedomain5: more.example\n")


@pytest.mark.parametrize(
    "change",
    [_account_for_another_directory, _plugin_that_was_missing, _another_name],
)
def test_nobody_waits_for_the_next_try_after_a_change(run, change):
    run.clock.time = NOW + 65 * DAY
    run.failing = AcmeProblem("not with this account", type="unauthorized", status=403)
    assert not run()
    assert run()
    assert len(run.orders) == 1
    run.failing = None
    change(run)
    assert run()
    assert len(run.orders) == 2


def test_nobody_waits_for_the_next_try_after_a_new_secret(run, tmp_path):
    token = tmp_path / "token"
    token.write_text("mistyped")
    run.paths.acme_dir.mkdir(parents=True, exist_ok=True)
    data = base64.b64encode(f"Token=file:{token}\n".encode()).decode().rstrip("=")
    run.paths.plugins_cfg.write_text(f"dns: other\n\tapi one\n\tdata {data}\n")
    run.clock.time = NOW + 65 * DAY
    run.failing = AcmeProblem("no record", type="dns", status=403)
    assert not run()
    assert run()
    assert len(run.orders) == 1
    token.write_text("typed again")
    assert not run()
    assert len(run.orders) == 2
    assert run()
    assert len(run.orders) == 2


def test_nobody_waits_for_the_next_try_after_another_authority_is_trusted(run, tmp_path):
    trusted = tmp_path / "ca.pem"
    trusted.write_text("an old one")
    key = AccountKey.generate().pem
    where = ("https://ca.example/dir", "https://ca.example/1")
    accounts.save(run.paths, accounts.Account("default", *where, key, ca_file=str(trusted)))
    run.clock.time = NOW + 65 * DAY
    run.failing = AcmeUnreachable("certificate verify failed")
    assert not run()
    assert run()
    assert len(run.orders) == 1
    trusted.write_text("the right one")
    assert not run()
    assert len(run.orders) == 2


@pytest.mark.parametrize("kind", [Locked, NoQuorum])
def test_where_no_order_was_placed_there_is_nothing_to_wait_for(run, kind):
    run.clock.time = NOW + 65 * DAY
    run.failing = kind("not now")
    assert not run()
    assert [hook for hook, _ in run.told] == ["on_renewal_failed"]
    run.failing = None
    assert run()
    assert len(run.orders) == 2


def test_what_another_node_has_is_taken_over_although_an_order_has_failed(run, monkeypatch):
    run.clock.time = NOW + 65 * DAY
    run.failing = AcmeProblem("later", type="rateLimited", status=429, retry_after=5 * 3600)
    assert not run()
    run.failing = None
    other = sharing.SharedPair("pve2", b"", b"", info(90, NOW + 65 * DAY))
    monkeypatch.setattr(sharing, "newer", lambda *_arguments: other)
    assert run()
    assert len(run.orders) == 2


def test_a_custom_certificate_is_never_replaced_but_its_end_is_told(run):
    pem = run.paths.proxy_certificate.read_bytes()
    found = chain.describe(run.paths.proxy_certificate, pem)
    renewal_rule.keep(run.paths, found, Record(custom=True))
    run()
    assert run.lines == ["pveproxy-ssl.pem (pve1.example): not renewed: it was set by hand"]
    run.live(92)
    assert not run.orders
    assert run.told[0][1].reason == "it was set by hand"
    assert 25 < run.told[0][1].days_left < 36


def test_a_partner_with_a_newer_one_is_reason_enough(run, monkeypatch):
    other = sharing.SharedPair("node pve2", b"", b"", info(90, NOW + DAY))
    monkeypatch.setattr(sharing, "newer", lambda *_arguments: other)
    run.clock.time += 2 * DAY
    run()
    assert run.lines == ["pveproxy-ssl.pem (pve1.example): due: node pve2 has a newer one to share"]
    assert len(run.orders) == 1


# --- several certificates -------------------------------------------------------------------------


def test_two_certificates_of_one_host_for_two_years(paths, monkeypatch):
    """Each is renewed for itself; one whose authority refuses for a month costs the other nothing."""
    for name in ("web", "mail"):
        values = {"acmedomain0": f"{name}.example"}
        certificate_sections.add(paths, name, values, lambda *_checked: None)
    clock, orders, refused = Calendar(), [], []

    def obtain(certificate, _task, **_options):
        now = clock.now()
        if certificate.name in refused:
            raise AcmeProblem("no", type="unauthorized", status=403)
        orders.append((certificate.name, now))
        begin = (now - NOW) / DAY
        name = certificate.settings.names()[0].name
        pem, key = self_signed(name, begin=begin, days=90)
        install.install_pair(certificate, pem, key, Log(), now)
        renewal_rule.keep(paths, certificate.installed(), Record(account="default"))

    monkeypatch.setattr(issue, "obtain", obtain)
    monkeypatch.setattr(renewal_plan, "_renewal_info", lambda *_arguments: (None, []))
    for certificate in Certificate.all_of(Node.open(paths))[1:]:
        obtain(certificate, Log())
    for day in range(0, 730, 4):
        clock.time = NOW + day * DAY
        refused[:] = ["mail"] if 300 <= day < 325 else []
        renew.run(paths, lambda _line: None, lambda _line: None, clock)
        for certificate in Certificate.all_of(Node.open(paths))[1:]:
            left = certificate.installed().not_after - clock.now()
            assert left > (5 * DAY if certificate.name == "mail" else 20 * DAY), (
                f"{certificate.name}, day {day}"
            )
    count = {name: len([order for order in orders if order[0] == name]) for name in ("web", "mail")}
    assert 12 <= count["mail"] <= count["web"] <= 15


def _no_key(pair):
    pair.key.unlink()


def _another_key(pair):
    pair.key.write_bytes(self_signed()[1])


def _damaged_key(pair):
    pair.key.write_bytes(bytes(100))


def _a_certificate_of_before(pair):
    pair.certificate.write_bytes(self_signed()[0])


HALVES = [_no_key, _another_key, _damaged_key, _a_certificate_of_before]


@pytest.mark.parametrize("half", HALVES)
def test_a_certificate_that_no_service_can_use_is_due(run, half):
    """A backup brings one half of a pair, or that of another day; the dates are good for months."""
    half(own(run.paths).pair)
    [entry] = renewal_plan.overview(Node.open(run.paths), run.clock.now())
    assert "key" in entry["issue"]
    run()
    assert len(run.orders) == 1
    assert any(": due: " in line and str(run.paths.proxy_key) in line for line in run.lines)
    run()
    assert len(run.orders) == 1


@pytest.mark.parametrize("half", HALVES[:3])
def test_one_that_was_set_by_hand_is_not_replaced_then_but_reported(run, half):
    found = own(run.paths).installed()
    renewal_rule.keep(run.paths, found, Record(custom=True))
    half(own(run.paths).pair)
    [entry] = renewal_plan.overview(Node.open(run.paths), run.clock.now())
    assert "key" in entry["issue"] and str(run.paths.proxy_key) in entry["line"]
    run()
    assert run.orders == []


def test_while_a_pair_is_replaced_nobody_takes_it_for_a_broken_one(run):
    pair = own(run.paths).pair
    pair.key.unlink()
    files.replace(run.paths.install_intent, b"[]")
    assert install.unusable(run.paths, pair) == ""
    run.paths.install_intent.unlink()
    assert "is missing" in install.unusable(run.paths, pair)


def test_the_nodes_own_certificate_is_made_again_where_its_key_is_lost(paths):
    node_certificate.ensure(paths, Log(), NOW)
    assert node_certificate.decide(paths, NOW).due > NOW
    paths.node_key.unlink()
    assert "is missing" in node_certificate.decide(paths, NOW).reason
    node_certificate.refresh(paths, Log(), NOW)
    assert node_certificate.decide(paths, NOW).due > NOW
