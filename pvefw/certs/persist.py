"""Use cases around dns-persist-01: show its record, publish, check and remove it, and warn in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pvefw.acme import persist
from pvefw.acme.jws import AccountKey
from pvefw.acme.persist import Record, Terms
from pvefw.certs import accounts
from pvefw.core.errors import (
    ConfigError,
    NotFound,
    ProviderError,
    PvefwError,
    Unavailable,
    UsageError,
)
from pvefw.core.model import Task
from pvefw.dns import instances, names, standing
from pvefw.dns.publication import Publication, Route
from pvefw.dns.resolver import Resolver
from pvefw.dns.standing import Caa
from pvefw.dns.zones import Finder
from pvefw.host.clock import SystemClock
from pvefw.store import accounts as account_store
from pvefw.store import persistent_records
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.persistent_records import Kept

_SECONDS = 30.0
_WARN_BEFORE = timedelta(days=30)


@dataclass(frozen=True)
class RequestedRecord:
    """A record that is wanted."""

    domain: str
    """A-labels, without a final dot and without ``*.``."""
    wildcard: bool = False
    until: datetime | None = None
    account: str = ""
    """An account's name; empty for the node's."""
    issuer: str = ""
    """What the authority is called, where its directory does not say."""


@dataclass(frozen=True)
class Finding:
    """What was found at one place."""

    where: str
    """A name server, or a name that has CAA records."""
    good: bool
    text: str


def wanted(
    paths: Paths,
    domain: str,
    *,
    wildcard: bool = False,
    until: datetime | None = None,
    account: str | None = None,
    issuer: str = "",
) -> RequestedRecord:
    """What a user asks for, checked. ``*.NAME`` is NAME with its wildcard.

    :raises UsageError: the domain is none, or the time is over.
    """
    try:
        name = names.absolute(domain.removeprefix("*.")).removesuffix(".")
    except ConfigError as error:
        raise UsageError(f"acme persist: {error.message}") from error
    if until is not None and until <= SystemClock().now():
        raise UsageError(f"acme persist: {until:%Y-%m-%d} is in the past", hint="Give a later day.")
    chosen = account or Node.open(paths).account
    return RequestedRecord(name, wildcard or domain.startswith("*."), until, chosen, issuer)


def terms(paths: Paths, requested: RequestedRecord) -> Terms:
    """How the authority of an account wants its records.

    :raises NotFound: there is no such account.
    :raises AcmeError: the directory cannot be had, or does not say.
    """
    account = account_store.load(paths, requested.account)
    with accounts.connect(account, accounts.Unhurried(), _SECONDS) as (client, _):
        directory, mark = client.directory, client.key.thumbprint
    if requested.issuer:
        return Terms([requested.issuer], account.location, mark, directory.account_hash_prefix)
    return persist.terms(directory, account.location, mark)


def record(terms_: Terms, requested: RequestedRecord) -> Record:
    """The record that is wanted."""
    return terms_.record(requested.domain, wildcard=requested.wildcard, until=requested.until)


def name_of(requested: RequestedRecord) -> str:
    """Where the record lies: absolute."""
    return names.challenge_name(requested.domain, persist.LABEL)


def strings(text: str) -> Sequence[str]:
    """A TXT record's content in the strings that a zone file needs."""
    size = persist.LONGEST_STRING
    return [text[start : start + size] for start in range(0, len(text), size)]


# --- publishing -----------------------------------------------------------------------------------


def publish(paths: Paths, requested: RequestedRecord, plugin: str, alias: str, task: Task) -> None:
    """Put the record into DNS through an instance, and wait until all servers show it.

    What an earlier call published for the name is removed then.

    :raises PvefwError: it could not be published; nothing of it is left.
    """
    terms_ = terms(paths, requested)
    text = record(terms_, requested).text
    if len(text) > persist.LONGEST_STRING:
        show = _as_kept(terms_, requested, text).command(Node.open(paths).account)
        raise ProviderError(
            f"{requested.domain}: the record has {len(text)} characters, and plugins take "
            f"{persist.LONGEST_STRING}",
            hint=f"Publish it by hand: {show}",
        )
    before = _kept(paths, requested.domain)
    publication = _located(paths, requested.domain, text, plugin, alias, task)
    try:
        publication.add(task)
        publication.wait(task)
    except BaseException:
        publication.remove(task)
        raise
    publication.keep()
    persistent_records.keep(paths, _as_kept(terms_, requested, text, plugin, alias))
    task.log(f'{name_of(requested)} TXT "{text}" is in place')
    if before is not None and before.plugin and before.text != text:
        _take_down(paths, before, task)


def remove(paths: Paths, domain: str, task: Task) -> None:
    """Take down what was published for a domain.

    :raises NotFound: nothing was, by this cluster.
    :raises ProviderError: it is still there.
    """
    name = names.absolute(domain.removeprefix("*.")).removesuffix(".")
    known = _kept(paths, name)
    if known is None or not known.plugin:
        raise NotFound(
            f"acme persist remove: no record of {name} was published from here",
            hint=f"One that was made by hand is removed by hand: {persist.LABEL}.{name}"
            + (f'. It says "{known.text}"' if known else ""),
        )
    _take_down(paths, known, task)
    persistent_records.forget(paths, name)
    task.log(f"{persist.LABEL}.{name} is removed; certificates that were issued stay valid")


def _take_down(paths: Paths, known: Kept, task: Task) -> None:
    publication = _located(paths, known.domain, known.text, known.plugin, known.alias, task)
    publication.adopt()
    left = publication.remove(task)
    if left:
        raise ProviderError(
            f"{known.domain}: the record is still there: {left[0].reason}",
            hint="The next command tries again, and so does: pvefw dns cleanup",
        )


def _located(
    paths: Paths, domain: str, text: str, plugin: str, alias: str, task: Task
) -> Publication:
    node = Node.open(paths)
    base = instances.route(node, plugin, domain, alias)
    route = Route(domain, base.provider, alias, base.delay, persist.LABEL)
    publication = Publication(paths, Finder(Resolver.configured(node)), SystemClock())
    publication.locate([(route, frozenset([text]))], task)
    return publication


def _kept(paths: Paths, domain: str) -> Kept | None:
    return next((kept for kept in persistent_records.load(paths) if kept.domain == domain), None)


def _as_kept(
    terms_: Terms, requested: RequestedRecord, text: str, plugin: str = "", alias: str = ""
) -> Kept:
    parsed = persist.parse(text)
    return Kept(
        requested.domain,
        text,
        requested.account,
        terms_.thumbprint if terms_.prefix else "",
        parsed.wildcard,
        parsed.until.timestamp() if parsed.until else 0.0,
        plugin,
        alias,
    )


# --- checking -------------------------------------------------------------------------------------


def check(paths: Paths, requested: RequestedRecord) -> Sequence[Finding]:
    """Look at all authoritative servers and at CAA records; a good record is remembered.

    From then on an order needs nothing else for the name, where the authority offers dns-persist-01.

    :raises AcmeError: the authority's directory cannot be had.
    :raises ProviderError: DNS does not answer.
    """
    terms_ = terms(paths, requested)
    now = SystemClock().now()
    finder = Finder(Resolver.configured(Node.open(paths)))
    good: list[str] = []
    findings = []
    for shown in standing.look(finder, name_of(requested)):
        text, problem = _first_good(shown.texts, terms_, requested, now)
        problem = shown.problem or problem
        good += [text] if text else []
        findings.append(Finding(shown.server, not problem, problem or text))
    findings.append(_caa(finder.resolver, terms_, requested))
    if all(finding.good for finding in findings):
        known = _kept(paths, requested.domain)
        same = known is not None and known.text == good[0]
        plugin, alias = (known.plugin, known.alias) if known and same else ("", "")
        persistent_records.keep(paths, _as_kept(terms_, requested, good[0], plugin, alias))
    return findings


def _first_good(
    shown: Sequence[str], terms_: Terms, requested: RequestedRecord, now: datetime
) -> tuple[str, str]:
    """A record that is good, or else why none is."""
    problems = []
    for text in shown:
        try:
            parsed = persist.parse(text)
        except persist.Malformed as error:
            problems.append(f'"{text}": {error}')
            continue
        fault = terms_.fault(parsed, requested.domain, now, wildcard=requested.wildcard)
        if not fault:
            return text, ""
        problems.append(f'"{text}": {fault}')
    return "", "; ".join(problems) or "has no such record"


def _caa(resolver: Resolver, terms_: Terms, requested: RequestedRecord) -> Finding:
    try:
        where, records = standing.caa(resolver, names.absolute(requested.domain))
    except Unavailable as error:  # an authority that cannot look refuses, too
        return Finding("CAA", False, error.message)
    if not records:
        return Finding("CAA", True, "there are no CAA records: every authority may issue")
    unknown = [caa.tag for caa in records if caa.critical and caa.tag not in _TAGS]
    if unknown:
        return Finding(f"CAA of {where}", False, f"the tag {unknown[0]} is critical and not known")
    wild = [caa for caa in records if caa.tag == "issuewild"] if requested.wildcard else []
    relevant = wild or [caa for caa in records if caa.tag == "issue"]
    if not relevant:
        return Finding(f"CAA of {where}", True, "every authority may issue")
    good = any(_allows(caa, terms_) for caa in relevant)
    shown = "; ".join(f'{caa.tag} "{caa.value}"' for caa in relevant)
    return Finding(f"CAA of {where}", good, shown if good else f"does not allow it: {shown}")


_TAGS = ("issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone", "issuevmc")


def _allows(caa: Caa, terms_: Terms) -> bool:
    """RFC 8659 section 4.2; account and method: RFC 8657."""
    issuer, *parameters = (part.strip() for part in caa.value.split(";"))
    tags = {
        key.strip(): value.strip()
        for key, _, value in (parameter.partition("=") for parameter in parameters)
    }
    methods = tags.get("validationmethods")
    return (
        issuer.lower() in terms_.issuers
        and tags.get("accounturi", terms_.account) == terms_.account
        and (methods is None or persist.TYPE in methods.split(","))
    )


# --- warnings -------------------------------------------------------------------------------------


def warnings(paths: Paths, now: datetime) -> Sequence[str]:
    """What is to be done about records before orders fail: a sentence each; nobody is asked."""
    lines, own_account = [], Node.open(paths).account
    for kept in persistent_records.load(paths):
        again = kept.command(own_account)
        end = datetime.fromtimestamp(kept.until, UTC) if kept.until else None
        if end is not None and end - now < _WARN_BEFORE:
            was = "was valid until" if end < now else "is valid only until"
            lines.append(
                f"{kept.domain}: its persistent record {was} {end:%Y-%m-%d}; replace it: {again}"
            )
        if kept.thumbprint and kept.thumbprint != _thumbprint(paths, kept.account):
            lines.append(
                f"{kept.domain}: its persistent record names a key that the account {kept.account} "
                f"no longer has; replace it: {again}"
            )
    return lines


def _thumbprint(paths: Paths, account: str) -> str:
    try:
        registered = account_store.load(paths, account)
        return AccountKey.from_pem(registered.key, f"account {account}").thumbprint
    except PvefwError:
        return ""
