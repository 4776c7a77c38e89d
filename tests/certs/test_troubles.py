"""What goes wrong around an order: whom it is said to, what it costs, and what is tried instead."""

import datetime as dt
from unittest.mock import Mock

import pytest
from certificates import NOW, Calendar, Log, own, self_signed

from pvefw import instances
from pvefw.acme.persist import Terms
from pvefw.certs import (
    accounts,
    chain,
    credentials,
    custom,
    deploy,
    following,
    issue,
    offer_checks,
    persist,
    references,
    renew,
    served,
    sharing,
    solvers,
    timer,
)
from pvefw.certs import renewal_plan as planning
from pvefw.certs.accounts import AuthorityTerms
from pvefw.certs.progress import Progress, Wanted
from pvefw.certs.renewal_rule import Record
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    ConfigError,
    NotFound,
    ProviderError,
    PvefwError,
    StoreError,
    Unavailable,
    UsageError,
)
from pvefw.dns import standing
from pvefw.dns.standing import Caa, Shown
from pvefw.instances import Instance
from pvefw.store import accounts as account_store
from pvefw.store import files, node_settings, persistent_records
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths

LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
ZEROSSL = "https://acme.zerossl.com/v2/DV90"


def problem(type_, status=403):
    return AcmeProblem("the authority refuses", type=type_, status=status)


# --- accounts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "directory", "binding", "hint"),
    [
        ("externalAccountRequired", ZEROSSL, None, "Get key id and key from "),
        ("externalAccountRequired", "https://ca.example/d", None, "Give --eab-kid and --eab-hmac"),
        ("unauthorized", LETSENCRYPT, None, "Nothing was registered; ask the authority why"),
        ("unauthorized", ZEROSSL, ("kid", "a2V5"), "The external account binding was refused"),
        ("malformed", ZEROSSL, ("kid", "a2V5"), "check key id and key"),
    ],
)
def test_why_an_account_is_refused(paths, monkeypatch, task, type_, directory, binding, hint):
    client = Mock(register=Mock(side_effect=problem(type_)))
    monkeypatch.setattr(accounts, "Client", Mock(return_value=client))
    offer = AuthorityTerms(directory, "", "", binding_required=False)
    with pytest.raises(AcmeProblem) as caught:
        accounts.register(paths, "a", ["a@b.example"], offer, binding=binding, task=task)
    assert hint in caught.value.hint
    assert account_store.names(paths) == []
    assert list(paths.acme_dir.iterdir()) == [], "the room that was kept is free again"


def test_another_account_that_is_damaged_does_not_hide_the_one_that_ordered(paths):
    for name in ("a", "default", "mine"):
        account = Account(name, "https://ca.example/d", f"https://ca.example/{name}", "key")
        account_store.save(paths, account)
    (paths.acme_dir / "a").write_text("{")
    certificate = own(paths)
    for kept, name in (("https://ca.example/mine", "mine"), ("mine", "mine"), ("gone", "default")):
        assert planning._account_of(certificate, Record(account=kept)).name == name


# --- orders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "falls_back"),
    [
        (problem("serverInternal", 500), True),
        (problem("rateLimited", 429), True),
        (problem("unauthorized"), True),
        (problem("accountDoesNotExist", 400), True),
        (problem("userActionRequired"), True),
        (problem("", 404), True),
        (problem("serverInternal", 0), True),
        (problem("unauthorized", 0), False),
        (problem("caa"), False),
        (problem("rejectedIdentifier", 400), False),
        (AcmeUnreachable("no answer"), True),
        (AcmeProtocolError("answered text/html instead of JSON"), True),
        (AcmeError("no trusted connection"), True),
    ],
)
def test_another_authority_is_asked_where_it_may_do_what_this_one_does_not(
    paths, monkeypatch, error, falls_back
):
    node_settings.change(paths, {"acmedomain0": "a.example", "fallback-account": "second"})
    asked = Mock(side_effect=[error, None])
    monkeypatch.setattr(issue, "_order_from", asked)
    certificate, task = own(paths), Log()
    wanted = Wanted(certificate, certificate.settings.names(), "default")
    if falls_back:
        assert issue._order(wanted, None, task) == "second"
        assert task.warnings == [f"{error.message}; ordering from the account second instead"]
    else:
        with pytest.raises(AcmeProblem):
            issue._order(wanted, None, task)
        assert asked.call_count == 1


@pytest.mark.parametrize(
    ("begin", "days", "before", "why"),
    [
        (-1, 90, None, ""),
        (-80, 90, None, "its certificate is due for renewal itself"),
        (-2, 90, -1, "its certificate is older than the one that is installed"),
    ],
)
def test_an_interrupted_order_is_only_of_use_where_it_is_better(paths, begin, days, before, why):
    certificate = own(paths)
    wanted = Wanted(certificate, [], "default")
    there = self_signed(begin=before)[0] if before else None
    info = chain.describe(paths.proxy_certificate, there) if there else None
    assert issue._useless(wanted, self_signed(begin=begin, days=days)[0], info) == why


class Flow:
    def resume(self, _url, _identifiers):
        return Mock(url="https://ca.example/order/1")


@pytest.mark.parametrize("half", ["order", "key"])
def test_an_order_whose_notes_are_damaged_is_ordered_again(paths, half):
    node_settings.change(paths, {"acmedomain0": "a.example"})
    certificate = own(paths)
    wanted = Wanted(certificate, certificate.settings.names(), "default")
    begun = Progress(wanted, "account")
    begun.begin(Flow().resume("", []))
    assert Progress(wanted, "account").resumed(Flow())
    path = certificate.files.order if half == "order" else begun._waiting_key
    path.write_text("{")
    assert Progress(wanted, "account").resumed(Flow()) is None


def test_what_another_process_has_replaced_is_not_ordered_again(paths, monkeypatch):
    node_settings.change(paths, {"acmedomain0": "a.example"})
    custom.set_pair(own(paths), *self_signed("a.example"), Log(), NOW)
    monkeypatch.setattr(issue, "_order", Mock(side_effect=AssertionError))
    task = Log()
    issue.obtain(own(paths), task, instead_of="the fingerprint of the one before")
    assert "Another process has replaced it in the meantime" in task.lines


def test_a_pair_that_is_being_replaced_is_not_shared(paths):
    for name in ("pve1", "pve2"):
        node_settings.change(Paths(paths.root, name), {"acmedomain0": "gui.example"})
    other, certificate = Paths(paths.root, "pve2"), own(paths)
    pem, key = self_signed("gui.example")
    files.replace(other.proxy_certificate, pem)
    files.replace(other.proxy_key, key, private=True)
    assert sharing.newer(certificate, sharing.partners(certificate), None, NOW).key == key
    files.replace(other.proxy_key, self_signed()[1], private=True)
    assert sharing.newer(certificate, sharing.partners(certificate), None, NOW) is None


def test_an_order_that_would_be_refused_is_known_before(paths):
    account_store.save(paths, Account("default", LETSENCRYPT, f"{LETSENCRYPT}/1", "key"))
    node_settings.change(paths, {"must-staple": "1", "profile": "short"})
    said = offer_checks.doubt(own(paths).settings, paths, ["classic"])
    assert said.startswith(
        f"its renewal would fail: {LETSENCRYPT} has refused must-staple since 20"
    )
    assert said.endswith(f"; {LETSENCRYPT} does not offer the profile short")


def test_where_there_are_no_profiles_the_property_is_left_out(paths, pvefw, monkeypatch):
    account_store.save(paths, Account("default", LETSENCRYPT, f"{LETSENCRYPT}/1", "key"))
    monkeypatch.setattr(offer_checks, "profiles", lambda _account: [])
    status, said = pvefw("config", "set", "--profile", "short")
    assert status == 2 and "does not offer the profile short" in said
    assert "It has no profiles at all; leave the property out." in said


def test_where_the_instance_that_always_exists_is_disabled_it_is_said(paths):
    paths.plugins_cfg.parent.mkdir(parents=True)
    paths.plugins_cfg.write_text("standalone: standalone\n\tdisable 1\n\ndns: x\n\tdata %\n")
    node_settings.change(paths, {"acmedomain0": "a.example"})
    with pytest.raises(PvefwError, match="standalone is disabled"):
        solvers.for_names(Node.open(paths), own(paths).settings.names())


def test_what_is_configured_and_leads_nowhere(paths):
    paths.node_config().parent.mkdir(parents=True)
    paths.node_config().write_text("acmedomain0: a.example\nacmedomain1: a.example\n")
    [twice] = references.of_node(Node.open(paths))
    assert "a.example is configured twice: acmedomain0 and acmedomain1" in twice
    paths.node_config().write_text("acmedomain0: a.example,plugin=mine\n")
    [missing] = references.of_node(Node.open(paths))
    assert missing == "node pve1: acmedomain0: there is no plugin instance mine"
    paths.plugins_cfg.mkdir(parents=True)
    assert references.of_node(Node.open(paths)) == [], "whoever reads that file says so"


def test_credentials_of_an_instance_that_cannot_be_used_end_somewhen(paths):
    paths.node_config().parent.mkdir(parents=True)
    paths.node_config().write_text("acmedomain0: a.example,plugin=gone\n")
    paths.plugins_cfg.parent.mkdir(parents=True)
    paths.plugins_cfg.write_text("dns: gone\n\tapi removed\n")
    assert credentials.ends(Node.open(paths)) == {}


# --- deliveries -----------------------------------------------------------------------------------


def test_a_plan_says_what_each_would_do_and_who_cannot(paths, pvefw, tmp_path):
    instances.add(paths, Instance("observer", "site", "files", {"fullchain": f"{tmp_path}/s.pem"}))
    instances.add(paths, Instance("observer", "hook", "exec", {"program": "/bin/true"}))
    with paths.cluster_pvefw_cfg.open("a") as config:
        config.write("\nobserver: gone\n\tapi removed\n")
        config.write("\ncertificate: web\n\tacmedomain0 a.example\n\ttargets site\n")
    web = deploy.Certificate.load(Node.open(paths), "web")
    custom.set_pair(web, *self_signed("a.example"), Log(), NOW)
    (tmp_path / "s.pem").unlink()
    status, said = pvefw("cert", "deploy", "web", "--dry-run")
    assert status == 0 and not (tmp_path / "s.pem").exists()
    assert f"site: write {tmp_path}/s.pem" in said
    assert "hook: it is notified\n" in said
    assert "gone: it cannot be used: there is no observer plugin" in said
    assert deploy.deploy(web, Log()) == ["gone"]
    status, said = pvefw("cert", "deploy", "web", "--dry-run", "--retry")
    assert "gone: it cannot be used" in said and "hook:" not in said and "site:" not in said


def test_observers_that_cannot_be_read_do_not_keep_the_service_from_its_certificate(
    paths, monkeypatch, tmp_path
):
    node_settings.change(paths, {"reload-command": f"touch {tmp_path}/reloaded"})
    monkeypatch.setattr(deploy, "receivers", Mock(side_effect=StoreError("it cannot be read")))
    files.replace(paths.proxy_certificate, self_signed()[0])
    task = Log()
    assert deploy.deploy(own(paths), task) == []
    assert task.warnings == ["Could not notify the observers: it cannot be read"]
    assert (tmp_path / "reloaded").exists()


@pytest.mark.parametrize(
    ("host", "name"),
    [("mail.example", "mail.example"), ("192.0.2.1", "www.a.example"), ("::1", "www.a.example")],
)
def test_the_name_that_a_server_is_asked_for(paths, host, name):
    assert served._server_name(own(paths), "192.0.2.1") == "", "nothing is installed"
    files.replace(paths.proxy_certificate, self_signed("*.a.example")[0])
    assert served._server_name(own(paths), host) == name


def test_only_what_is_news_is_told(paths, monkeypatch):
    """A renewal's look at what is served: every difference is said, a task is made for what is new."""
    node_settings.change(paths, {"serves": "192.0.2.1:443"})
    files.replace(paths.proxy_certificate, self_signed()[0])
    seen = [served.Look("192.0.2.1:443", "another certificate is served")]
    monkeypatch.setattr(served, "look", lambda _certificate: seen)
    said, tasks = [], []
    for _ in range(2):
        assert not renew._look(paths, said.append, tasks.append, Calendar())
    assert said == ["pveproxy: 192.0.2.1:443: another certificate is served"] * 2
    assert len([line for line in tasks if "another certificate is served" in line]) == 1
    seen[:] = [served.Look("192.0.2.1:443", "")]
    assert renew._look(paths, said.append, tasks.append, Calendar())
    assert len(said) == 2


# --- the timer ------------------------------------------------------------------------------------


def test_where_it_is_unclear_whether_scripts_are_needed_they_may_be(paths, monkeypatch):
    monkeypatch.setenv("PVEFW_NO_SCRIPTS", "1")
    started = Mock()
    monkeypatch.setattr(timer.programs, "run", started)
    assert not timer.hand_over(paths) and not started.called
    monkeypatch.setattr(timer.instances, "load_used", Mock(side_effect=StoreError("damaged")))
    assert timer.hand_over(paths)
    assert started.call_args[0][0][-1] == "pvefw-renew-scripts.service"


class Stopped(BaseException):
    """Nobody waits any longer."""


def test_a_store_that_does_not_answer_is_said_once_and_asked_again(paths, monkeypatch):
    answers = [StoreError("no answer"), StoreError("no answer"), StoreError("no quorum")]
    store = Mock(listing=Mock(side_effect=[*answers, Mock(position="7"), Mock(), Stopped]))
    store.watch = Mock(return_value=["web.key", "web.pem"])
    taken = Mock(side_effect=[None, ConfigError("pvefw.cfg is damaged")])
    monkeypatch.setattr(following.joining, "chosen", lambda _paths: store)
    monkeypatch.setattr(following.renew, "take_over", taken)
    said, clock = [], Calendar()
    with pytest.raises(Stopped):
        following.follow(paths, said.append, said.append, clock)
    assert said == ["no answer", "no quorum", "pvefw.cfg is damaged"]
    assert taken.call_count == 2
    store.watch.assert_called_once_with("7", 300.0)
    assert clock.time - NOW == dt.timedelta(seconds=4 * 10 + 5), "it is never asked in a loop"


# --- dns-persist-01 -------------------------------------------------------------------------------

TERMS = Terms(["ca.example"], "https://ca.example/1", "mark")
GOOD = "ca.example; accounturi=https://ca.example/1"


@pytest.fixture
def zone(paths, monkeypatch):
    """What the servers show, and the CAA records; the authority has said its terms."""
    monkeypatch.setattr(persist, "terms", lambda *_: TERMS)
    monkeypatch.setattr(persist, "Finder", Mock())
    paths.below("etc").mkdir()
    paths.below("etc/resolv.conf").write_text("nameserver 192.0.2.53\n")

    def check(texts, caa=()):
        monkeypatch.setattr(standing, "look", lambda *_: [Shown("192.0.2.1", texts)])
        found = Mock(side_effect=caa) if isinstance(caa, Exception) else lambda *_: ("a.", caa)
        monkeypatch.setattr(standing, "caa", found)
        findings = persist.check(paths, persist.wanted(paths, "a.example"))
        return [(finding.good, finding.text) for finding in findings]

    return check


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "has no such record"),
        (["v=spf1 -all"], '"v=spf1 -all": '),
        (["other.example; accounturi=x"], "it is for other.example, not for ca.example"),
        (["ca.example; accounturi=https://ca.example/2"], "it names another account"),
    ],
)
def test_why_a_record_is_not_good(paths, zone, texts, said):
    [(good, text), (allowed, _)] = zone(texts)
    assert (good, allowed) == (False, True) and said in text
    assert persistent_records.load(paths) == ()
    assert zone([*texts, GOOD])[0] == (True, GOOD), "one that is good is enough"
    assert [kept.domain for kept in persistent_records.load(paths)] == ["a.example"]


@pytest.mark.parametrize(
    ("caa", "good", "said"),
    [
        (Unavailable("DNS does not answer"), False, "DNS does not answer"),
        ([Caa(True, "future", "x")], False, "the tag future is critical and not known"),
        ([Caa(False, "issue", "other.example")], False, 'does not allow it: issue "other.example"'),
        ([Caa(False, "iodef", "mailto:a@b.example")], True, "every authority may issue"),
    ],
)
def test_what_caa_records_say(paths, zone, caa, good, said):
    assert zone([GOOD], caa)[1] == (good, said)
    assert bool(persistent_records.load(paths)) is good


def test_a_record_that_no_plugin_takes_is_published_by_hand(paths, monkeypatch):
    terms = Terms(["ca.example"], f"https://ca.example/{'a' * 250}", "mark")
    monkeypatch.setattr(persist, "terms", lambda *_: terms)
    wanted = persist.wanted(paths, "*.a.example", account="other")
    with pytest.raises(ProviderError, match=r"a\.example: the record has \d+ characters") as caught:
        persist.publish(paths, wanted, "zone", "", Log())
    assert caught.value.hint == (
        "Publish it by hand: pvefw acme persist show a.example --account other --wildcard"
    )


def test_what_is_no_domain_and_no_time_is_refused(paths):
    with pytest.raises(UsageError, match=r"^acme persist: "):
        persist.wanted(paths, "a..example")
    past = NOW - dt.timedelta(days=1)
    with pytest.raises(UsageError, match="is in the past"):
        persist.wanted(paths, "a.example", until=past)


def test_what_was_not_published_from_here_is_not_removed_from_here(paths):
    with pytest.raises(NotFound, match=r"no record of a\.example was published from here"):
        persist.remove(paths, "*.a.example", Log())
    kept = persistent_records.Kept("a.example", GOOD, "default", "")
    persistent_records.keep(paths, kept)
    with pytest.raises(NotFound) as caught:
        persist.remove(paths, "a.example", Log())
    assert f'It says "{GOOD}"' in caught.value.hint


def test_what_could_not_be_published_is_taken_back(paths, monkeypatch):
    monkeypatch.setattr(persist, "terms", lambda *_: TERMS)
    publication = Mock(wait=Mock(side_effect=ProviderError("the servers do not show it")))
    monkeypatch.setattr(persist, "_located", lambda *_: publication)
    with pytest.raises(ProviderError, match="the servers do not show it"):
        persist.publish(paths, persist.wanted(paths, "a.example"), "zone", "", Log())
    assert publication.remove.called and not publication.keep.called
    assert persistent_records.load(paths) == ()


def test_a_record_that_cannot_be_taken_down_is_still_known(paths, monkeypatch):
    kept = persistent_records.Kept("a.example", GOOD, "default", "", plugin="zone")
    persistent_records.keep(paths, kept)
    left = Mock(remove=Mock(return_value=[Mock(reason="the provider refuses")]))
    monkeypatch.setattr(persist, "_located", lambda *_: left)
    with pytest.raises(ProviderError, match="still there: the provider refuses") as caught:
        persist.remove(paths, "a.example", Log())
    assert "pvefw dns cleanup" in caught.value.hint
    assert persistent_records.load(paths) == (kept,)
