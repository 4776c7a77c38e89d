"""Authorities whose answers are odd: no certificate expires over them, and no account is lost."""

import contextlib
import datetime as dt
import itertools
import json
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest
from certificates import NOW, self_signed

from pvefw.acme import renewal_info
from pvefw.acme.client import Registered
from pvefw.certs import accounts, chain, keys, renewal_rule, revoke
from pvefw.certs.accounts import AuthorityTerms
from pvefw.certs.renewal_rule import Record, Window
from pvefw.core import text
from pvefw.core.errors import AcmeProblem, AcmeProtocolError, AcmeUnreachable, CertificateError
from pvefw.core.model import Identifier
from pvefw.store import accounts as account_store
from pvefw.store.accounts import Account

DAY = dt.timedelta(days=1)
CA = "https://ca.example/directory"
OFFER = AuthorityTerms(CA, "", "", binding_required=False)


def info(days):
    pem, _ = self_signed("a.example", days=days)
    return chain.describe(Path("pveproxy-ssl.pem"), pem)


def problem(type_, status=403, detail="no"):
    return AcmeProblem(f"{CA}: {detail}", type=type_, status=status, detail=detail)


@pytest.fixture
def client(paths, monkeypatch):
    """The client of an account that there is."""
    monkeypatch.setattr(accounts, "Transport", Mock())
    made = Mock()
    monkeypatch.setattr(accounts, "Client", Mock(return_value=made))
    key = accounts.AccountKey.generate("ec256").pem
    account_store.save(paths, Account("second", CA, "https://ca.example/acct/1", key))
    return made


# --- a certificate does not expire over what an authority says --------------------------------------


@pytest.mark.parametrize("days", [1, 6, 45, 90, 398])
@pytest.mark.parametrize("asked", [3 * 86400.0, 366 * 86400.0])
def test_a_wait_that_is_asked_for_ends_before_the_certificate_does(days, asked):
    certificate, record = info(days), Record()
    now, tries = certificate.not_after - days * DAY / 3, 0
    while now < certificate.not_after:
        record = record.failed("too many", certificate, now, asked)
        now, tries = record.next_try, tries + 1
    assert tries >= 3


@pytest.mark.parametrize(("window_over", "waits"), [(True, True), (False, False)])
def test_who_says_of_each_certificate_that_its_time_is_over_gets_one_order_a_day(
    window_over, waits
):
    end = NOW - DAY if window_over else NOW + DAY
    before = Record(window=Window(NOW - 2 * DAY, end))
    again = renewal_rule.ask_again(before, info(90), NOW)
    assert (again is not None) is waits
    if again:
        assert again == NOW + DAY
        assert renewal_rule.ask_again(before, info(6), NOW) < NOW + DAY / 2
    assert renewal_rule.ask_again(Record(), info(90), NOW) is None


def test_a_window_from_the_beginning_of_time_is_not_over_already():
    endless = Window(dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC))
    dues = [renewal_rule.decide(info(90), f"n{i}", window=endless).due for i in range(50)]
    assert all(NOW - DAY <= due <= NOW + 90 * DAY for due in dues)
    assert sum(due > NOW + 9 * DAY for due in dues) > 25


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://ca.example/why", True),
        ("https://ca.example/" + "x" * 200_000, False),
        ("https://ca.example/\n\x1b[31m", False),
        ("javascript:alert(1)", False),
        (5, False),
    ],
)
def test_an_explanation_is_a_page_that_people_can_open(url, kept):
    window = {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"}
    said = renewal_info.parse({"suggestedWindow": window, "explanationURL": url}, "ari", None)
    assert said.explanation == (url if kept else "")


@pytest.mark.parametrize("turn", list(itertools.permutations(range(3))))
def test_the_certificate_is_found_wherever_it_is_in_a_chain(turn):
    ours, key = self_signed("a.example")
    others = [self_signed(name)[0] for name in ("one.example", "two.example")]
    sent = [ours, *others]
    pem = b"".join(sent[place] for place in turn)
    private = keys.from_pem(key, "key")
    chain.check_ordered(pem, [Identifier("dns", "a.example")], private, "order")


def test_a_certificate_for_hundreds_of_names_is_a_short_sentence():
    pem, key = self_signed("a.example")
    ordered = [Identifier("dns", f"{number}.example") for number in range(500)]
    with pytest.raises(CertificateError, match="and 495 more") as caught:
        chain.check_ordered(pem, ordered, keys.from_pem(key, "key"), "order")
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("number", "shown"),
    [(31_622_400, "31622400 seconds"), (1, "1 second"), (2.5, "2.5 seconds"), (7, "7 seconds")],
)
def test_a_number_is_one_that_people_read(number, shown):
    assert text.counted(number, "second") == shown


# --- accounts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        AcmeUnreachable("no answer"),
        AcmeProtocolError("answered without a Location"),
        problem("serverInternal", 500),
        KeyboardInterrupt(),
    ],
)
def test_a_registration_that_broke_off_goes_on_with_its_key(paths, monkeypatch, task, error):
    """The authority may have made the account, and taken the binding, which is good for one only."""
    asked = []

    def connect(_transport, _directory, key):
        asked.append(key.pem)
        made = Registered("https://ca.example/acct/1", {})
        return Mock(register=Mock(side_effect=error if len(asked) == 1 else [made]))

    monkeypatch.setattr(accounts, "Client", connect)
    with contextlib.suppress(type(error)):
        accounts.register(paths, "a", ["a@b.example"], OFFER, binding=None, task=task)
    [waiting] = list(paths.acme_dir.iterdir())
    assert stat.S_IMODE(waiting.stat().st_mode) == 0o600
    assert account_store.names(paths) == []
    accounts.register(paths, "a", ["a@b.example"], OFFER, binding=None, task=task)
    assert asked[0] == asked[1] == account_store.load(paths, "a").key
    assert [path.name for path in paths.acme_dir.iterdir()] == ["a"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"directory": "x"}', None])
def test_a_registration_elsewhere_has_a_key_of_its_own(paths, monkeypatch, task, damage):
    paths.acme_dir.mkdir(parents=True)
    old = accounts.AccountKey.generate("ec256").pem
    kept = json.dumps({"directory": "https://other.example/", "key": old}).encode()
    accounts._started(paths, "a").write_bytes(kept if damage is None else damage)
    made = Registered("https://ca.example/acct/1", {})
    monkeypatch.setattr(accounts, "Client", Mock(return_value=Mock(register=lambda *_, **__: made)))
    accounts.register(paths, "a", ["a@b.example"], OFFER, binding=None, task=task)
    assert account_store.load(paths, "a").key != old


@pytest.mark.parametrize("type_", ["unauthorized", "accountDoesNotExist"])
def test_an_account_that_is_refused_can_be_put_away(paths, client, task, type_):
    client.deactivate.side_effect = problem(type_, detail="it is deactivated")
    left = accounts._started(paths, "second")
    left.write_bytes(b"{}")  # registering was killed after the account was there
    accounts.deactivate(paths, "second", task)
    assert account_store.names(paths) == []
    assert not left.exists(), "the next account of this name would get this one's key"
    assert task.warnings


@pytest.mark.parametrize("type_", ["unauthorized", "accountDoesNotExist"])
def test_what_to_do_about_an_account_that_is_refused_names_it(paths, client, task, type_):
    client.account.side_effect = problem(type_)
    client.find.return_value = None
    with pytest.raises(AcmeProblem) as caught:
        accounts.update(paths, "second", None, task)
    assert "pvefw acme account deactivate second" in caught.value.hint


def test_an_account_that_has_moved_is_found(paths, client, task):
    client.account.side_effect = [problem("accountDoesNotExist"), {"status": "valid"}]
    client.find.return_value = Registered("https://ca.example/new/1", {})
    accounts.update(paths, "second", None, task)
    assert account_store.load(paths, "second").location == "https://ca.example/new/1"


@pytest.mark.parametrize("type_", ["unauthorized", "accountDoesNotExist", "userActionRequired"])
def test_a_certificate_is_revoked_by_its_own_key_where_the_account_is_refused(
    tmp_path, task, type_
):
    (tmp_path / "key").write_bytes(self_signed("a.example")[1])
    asked = Mock(revoke=Mock(side_effect=[problem(type_), None]))
    revoke._revoke(asked, b"der", tmp_path / "key", task)
    assert asked.revoke.call_count == 2
