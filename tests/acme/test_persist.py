"""dns-persist-01: the drafts' vectors, and what a record must and must not be."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from pvefw.acme import persist
from pvefw.acme.client import Authorization, Directory, Offer
from pvefw.acme.persist import Malformed, Record, Terms
from pvefw.core.errors import AcmeError, AcmeProtocolError
from pvefw.core.model import Challenge, Identifier

ACCOUNT = "https://authority.example/acct/1"
NOW = datetime(2026, 11, 26, tzinfo=UTC)
LATER = datetime(2027, 11, 26, tzinfo=UTC)
CLEAR = Terms(["authority.example", "authority.test"], ACCOUNT, "t" * 43)
HASHED = Terms(["authority.example"], ACCOUNT, "t" * 43, "https://authority.example/acct/")


def test_the_label_of_an_account():
    """draft-ietf-acme-dns-account-label-03 section 3.1."""
    account = "https://example.com/acme/acct/ExampleAccount"
    challenge = Challenge("dns-account-01", Identifier("dns", "example.org"), "t", "t.x", account)
    assert challenge.dns_label == "_ujmmovf2vn55tgye._acme-challenge"
    assert (
        Challenge("dns-01", challenge.identifier, "t", "t.x", account).dns_label
        == "_acme-challenge"
    )


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize("until", [None, LATER])
@pytest.mark.parametrize("terms", [CLEAR, HASHED], ids=["01", "02"])
def test_a_record_is_read_as_it_was_written(terms, wildcard, until):
    record = terms.record("example.com", wildcard=wildcard, until=until)
    assert persist.parse(record.text) == record
    assert terms.fault(record, "example.com", NOW, wildcard=wildcard) == ""


def test_a_record_looks_as_the_draft_has_it():
    record = CLEAR.record("example.com", wildcard=True, until=LATER)
    assert record.text == (
        f"authority.example; accounturi={ACCOUNT}; policy=wildcard; persistUntil=1827187200"
    )


def test_an_account_is_named_by_a_hash_of_the_name_the_key_and_its_url():
    """Of the name under which the record lies, or of ``*`` for all; and of nothing else."""
    base = persist.hashed_account("example.com", "t" * 43, ACCOUNT)
    assert len(base) == 43
    others = [
        persist.hashed_account("example.org", "t" * 43, ACCOUNT),
        persist.hashed_account("*", "t" * 43, ACCOUNT),
        persist.hashed_account("example.com", "u" * 43, ACCOUNT),
        persist.hashed_account("example.com", "t" * 43, ACCOUNT + "0"),
    ]
    assert len({base, *others}) == 5
    any_name = Record("authority.example", HASHED.names("*")[0])
    for domain in ("example.com", "example.org"):
        assert HASHED.fault(any_name, domain, NOW, wildcard=False) == ""


@pytest.mark.parametrize(
    "text",
    [
        f"a.example; accounturi={ACCOUNT}; policy=WildCard",
        f"a.example;accounturi={ACCOUNT};policy=wildcard",
        f" A.Example. ;\taccounturi = {ACCOUNT} ; policy = wildcard ",
        f"a.example; unknown=1; ACCOUNTURI={ACCOUNT}; policy=wildcard; x=",
    ],
)
def test_spellings_that_are_the_same(text):
    assert persist.parse(text) == Record("a.example", ACCOUNT, wildcard=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not an issuer's domain"),
        (f"; accounturi={ACCOUNT}", "is not an issuer's domain"),
        ("a.example", "accounturi is missing"),
        ("a.example; accounturi=", "accounturi is missing"),
        (f"a.example; accounturi={ACCOUNT};", "is not TAG=VALUE"),
        (f"a.example; accounturi={ACCOUNT}; policy", "is not TAG=VALUE"),
        (f"a.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}", "occurs twice"),
        (f"a.example; x=1; accounturi={ACCOUNT}; X=2", "occurs twice"),
        (f"a.example; accounturi={ACCOUNT}; persistUntil=soon", "instead of seconds"),
        (f"a.example; accounturi={ACCOUNT}; persistUntil=-1", "instead of seconds"),
        (f"a.example; accounturi={ACCOUNT}; persistUntil=", "instead of seconds"),
        (f"-a.example; accounturi={ACCOUNT}", "is not an issuer's domain"),
        (f"a.example; account uri={ACCOUNT}", "is not TAG=VALUE"),
    ],
)
def test_what_is_no_record(text, why):
    with pytest.raises(Malformed, match=why):
        persist.parse(text)


def test_a_time_beyond_every_calendar_is_for_ever():
    record = persist.parse(f"a.example; accounturi={ACCOUNT}; persistUntil={'9' * 18}")
    assert not record.expired(LATER)


@pytest.mark.parametrize(
    ("record", "wildcard", "why"),
    [
        (Record("other.example", ACCOUNT), False, "it is for other.example, not for"),
        (Record("authority.test", ACCOUNT + "0"), False, "another account"),
        (Record("authority.test", ACCOUNT.upper()), False, "another account"),
        (Record("authority.test", ACCOUNT), True, "policy=wildcard is missing"),
        (Record("authority.test", ACCOUNT, False, datetime(2026, 1, 1, tzinfo=UTC)), False, "2026"),
    ],
)
def test_why_a_record_is_not_good(record, wildcard, why):
    assert why in CLEAR.fault(record, "example.com", NOW, wildcard=wildcard)


def test_the_directory_decides_which_draft_it_is():
    old = Directory({}, caa_identities=("authority.example",))
    new = Directory({}, issuers=("authority.test",), account_hash_prefix="https://a.example/")
    assert persist.terms(old, ACCOUNT, "t").record("b.example").account == ACCOUNT
    named = persist.terms(new, ACCOUNT, "t" * 43).record("b.example")
    assert named.issuer == "authority.test"
    assert named.account.startswith("https://a.example/sha-256/")


def test_an_authority_that_does_not_say_what_it_is_called():
    with pytest.raises(AcmeError, match="has no caaIdentities"):
        persist.terms(Directory({}), ACCOUNT, "t")
    with pytest.raises(AcmeError, match="has no issuerDomainNames"):
        found = Directory({}, caa_identities=("a.example",), account_hash_prefix="x")
        persist.terms(found, ACCOUNT, "t")


class _Account:
    kid = ACCOUNT

    key = SimpleNamespace(thumbprint="t" * 43)


@pytest.mark.parametrize(
    "issuers",
    [
        (),
        ("a.example.",),
        ("A.example",),
        ("a..example",),
        ("a" * 254,),
        ("a.example",) * 11,
        ("ä",),
    ],
)
def test_a_challenge_with_a_malformed_list_of_issuers_is_refused(issuers):
    offer = Offer(persist.TYPE, "https://a/", "pending", "", issuers=issuers)
    what = Authorization("https://a/", "pending", Identifier("dns", "b.example"), False, [offer])
    with pytest.raises(AcmeProtocolError, match="are malformed"):
        persist.challenge(_Account, what, offer)


def test_a_challenge_has_what_a_plugin_may_need_and_no_token():
    offer = Offer(
        persist.TYPE, "https://a/", "pending", "", issuers=("a.example",), account=ACCOUNT
    )
    what = Authorization("https://a/", "pending", Identifier("dns", "b.example"), False, [offer])
    found = persist.challenge(_Account, what, offer)
    assert (found.token, found.key_authorization) == ("", "")
    assert (found.account, found.thumbprint, found.issuers) == (ACCOUNT, "t" * 43, ("a.example",))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("example.com", "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"),
        ("*", "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"),
    ],
)
def test_the_vector_of_draft_02(domain, expected):
    """draft-ietf-acme-dns-persist-02 section 10.2; the key is that of RFC 7638 section 3.1."""
    key = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert persist.hashed_account(domain, key, "https://ca.example/acct/123") == expected
