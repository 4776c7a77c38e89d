"""Takes over what another ACME client has: its account, and a certificate with how it is validated."""

import itertools
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from pvefw import instances
from pvefw.certs import accounts, chain, custom, keys, old_timers, other_clients, renewal_rule
from pvefw.certs.certificate import Certificate
from pvefw.certs.other_clients import TheirAccount, TheirCertificate, Way
from pvefw.certs.renewal_rule import Record
from pvefw.core import references
from pvefw.core.errors import NotFound, PvefwError, UsageError
from pvefw.core.model import Task
from pvefw.instances import Instance, instance_binding
from pvefw.store import accounts as account_store
from pvefw.store import certificate_sections, files
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.section_config import ID

_SECONDS = 120.0


def find_account(paths: Paths, given: Path | None, wanted: str | None) -> TheirAccount:
    """The account to take over.

    :param given: the client's directory; ``None`` to look where they usually are.
    :param wanted: the account's URL, or a part of the path where it is kept.
    :raises NotFound: there is none.
    :raises UsageError: there are several.
    """
    places = other_clients.directories_of(paths, given)
    registered = [account for place in places for account in other_clients.accounts(place)]
    chosen = [
        account
        for account in registered
        if wanted in (None, account.location) or wanted in str(account.path)
    ]
    listed = "; ".join(
        f"{account.client}: {account.location} ({account.path})" for account in registered
    )
    if not chosen:
        hint = f"There are: {listed}." if registered else "An account there was never registered."
        raise NotFound(f"acme account import: no such account in {_named(places)}", hint=hint)
    if len(chosen) > 1:
        raise UsageError(
            "acme account import: there is more than one account",
            hint=f"Choose one with --account URL. There are: {listed}.",
        )
    return chosen[0]


def _named(places: Sequence[Path]) -> str:
    return ", ".join(map(str, places))


def take_account(
    paths: Paths, name: str, theirs: TheirAccount, directory: str, ca_file: Path | None, task: Task
) -> None:
    """Make it an account of this node, once its authority has said that the key has it.

    :param directory: the authority's directory URL; empty for the one that the client has kept.
    :raises UsageError: the name is taken, or nobody knows the directory.
    :raises NotFound: the authority has no account for this key.
    :raises AcmeError: it cannot be asked.
    """
    url = directory or theirs.directory
    if not url:
        host = urlsplit(theirs.location).netloc
        raise UsageError(
            f"acme account import: {theirs.client} does not record the directory of {host}",
            hint="Give it: --directory URL",
        )
    with account_store.lock(paths, name):
        accounts.check_new(paths, name)
        trust = str(ca_file) if ca_file else ""
        account = Account(name, url, theirs.location, theirs.key.pem, ca_file=trust)
        with accounts.connect(account, task, _SECONDS) as (client, _):
            task.log(f"Asking {url} for the account of this key")
            registered = client.find()
            terms = client.directory.terms
        if registered is None:
            raise NotFound(
                f"acme account import: {url} has no account for the key in {theirs.path}",
                hint=f"Register one: pvefw acme account register {name} MAIL --directory {url}",
            )
        described = {key: value for key, value in registered.account.items() if key != "key"}
        made = replace(account, location=registered.location, account=described, tos=terms)
        account_store.save(paths, made)
    task.log(f"The account {registered.location} is now also registered here as {name}")
    _name_timers(paths, theirs.client, task)


def _name_timers(paths: Paths, client: str, task: Task) -> None:
    for line in old_timers.lines(paths, client):
        task.log(line)


# --- certificates ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """A certificate to take over, and as what."""

    theirs: TheirCertificate
    name: str
    """What it is to be called here."""
    plugin: str = ""
    """The instance that is to validate its names; empty for what the client has."""


def all_certificates(paths: Paths, given: Path | None) -> list[TheirCertificate]:
    """The certificates of other clients.

    :raises NotFound: there is no directory of one.
    """
    places = other_clients.directories_of(paths, given)
    return [certificate for place in places for certificate in other_clients.certificates(place)]


def find_certificate(paths: Paths, given: Path | None, name: str) -> TheirCertificate:
    """The certificate of this name.

    :raises NotFound: there is none.
    :raises UsageError: several clients have one.
    """
    certificates = all_certificates(paths, given)
    chosen = [certificate for certificate in certificates if certificate.name == name]
    if not chosen:
        names = ", ".join(dict.fromkeys(certificate.name for certificate in certificates))
        raise NotFound(
            f"cert import: no other client has a certificate {name}",
            hint=f"There are: {names or 'none'}.",
        )
    if len(chosen) > 1:
        where = ", ".join(str(certificate.fullchain.parent) for certificate in chosen)
        raise UsageError(
            f"cert import: {name} was found more than once: {where}",
            hint="Say which client's directory: --from DIR",
        )
    return chosen[0]


def suggested_name(theirs: TheirCertificate) -> str:
    """What a certificate can be called here: its first name, with what an id may not have replaced."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", theirs.name).strip("-_")
    return plain if ID.fullmatch(plain) else f"c-{plain}"


def take_certificate(paths: Paths, wanted: Import, task: Task, now: datetime) -> None:
    """Add a section for it, with its names and how they are validated, and install its pair.

    :raises UsageError: nobody knows how its names are validated, or the name is taken.
    :raises NotFound: its account was not taken over.
    :raises CertificateError: it cannot be used.
    """
    theirs = wanted.theirs
    pem, key = files.read_given(theirs.fullchain), files.read_given(theirs.key)
    leaf = chain.parse(chain.check_pair(pem, key, str(theirs.fullchain), now), "cert import")[0]
    account = _account(paths, theirs)
    ways = {name: theirs.ways.get(name) or theirs.ways.get("") for name in chain.names(leaf)}
    values = _properties(leaf, account)
    for number, (name, way) in enumerate(ways.items()):
        plugin = wanted.plugin or _instance(paths, theirs, way, task)
        values[f"acmedomain{number}"] = f"{name},plugin={plugin}"
    if theirs.reload_command and _may_be_run(theirs, wanted.name, task):
        values["reload-command"] = theirs.reload_command
    certificate_sections.add(paths, wanted.name, values, lambda *_: None)
    target = Certificate.load(Node.open(paths), wanted.name)
    custom.set_pair(target, pem, key, task, now, force=True)
    info = chain.describe(target.files.certificate, target.pem())
    renewal_rule.keep(paths, info, Record(account=account.location))
    task.log(f"The certificate is now {target.files.certificate}, its key {target.files.key}")
    task.log(
        f"Services still read {theirs.fullchain}: let them read that, or add a target that writes "
        f"it: pvefw cert set {wanted.name} --targets ID"
    )
    _name_timers(paths, theirs.client, task)


def _may_be_run(theirs: TheirCertificate, name: str, task: Task) -> bool:
    """Whether nobody but root and us can have written the command that a client runs after renewals."""
    file = (theirs.configuration or theirs.fullchain).resolve()
    for parent in (file, *file.parents):
        status = parent.stat()
        shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        if shared or status.st_uid not in (0, os.geteuid()):
            task.warn(
                f"What {theirs.client} runs after a renewal is not taken over, because others can "
                f"write to {parent}. Set it: pvefw cert set {name} --reload-command COMMAND"
            )
            return False
    return True


def _account(paths: Paths, theirs: TheirCertificate) -> Account:
    """The account here that is at the certificate's authority.

    :raises NotFound: there is none.
    """
    for name in account_store.names(paths):
        try:
            account = account_store.load(paths, name)
        except PvefwError:
            continue  # a damaged one is not the one
        if theirs.directory in (account.directory, urlsplit(account.directory).netloc):
            return account
    taken = account_store.names(paths)
    free = "default" if "default" not in taken else theirs.client.replace(".", "")
    authority = theirs.directory or f"an authority that {theirs.client} did not record"
    raise NotFound(
        f"cert import: no account here is at {authority}, where {theirs.name} comes from",
        hint=f"Take it over first: pvefw acme account import {free}",
    )


def _instance(paths: Paths, theirs: TheirCertificate, way: Way | None, task: Task) -> str:
    """The id of the instance that validates as the client does; one that is missing is added.

    :raises UsageError: nobody knows how the client validates.
    """
    if way is None or not way.api:
        raise UsageError(
            f"cert import: how {theirs.client} validates the names of {theirs.name} "
            + (f"has no counterpart here: {way.theirs}" if way else "is not kept in its files"),
            hint="Say which instance is to do it, for instance: --plugin standalone. "
            "Add one: pvefw acme plugin add dns ID --api NAME",
        )
    own = way.api == instances.STANDALONE
    if own and not way.settings:
        return instances.STANDALONE
    node, family = Node.open(paths), "challenge" if own else "dns"
    # acme.sh keeps the settings of all its scripts in one file
    known = {info.key for info in instance_binding.declared(node, family, way.api)}
    settings = {key: setting for key, setting in way.settings.items() if key in known}
    for key in (key for key, setting in settings.items() if references.is_reference(setting)):
        raise UsageError(  # it means nothing to the other client; here it would run a program
            f"cert import: {key} of {theirs.client} would be a reference to a file or a program here",
            hint="Add an instance yourself, and give it: --plugin ID",
        )
    there = instances.load_all(node, "challenge", "dns")
    for instance in there:
        if (instance.plugin, dict(instance.settings)) == (way.api, settings):
            return instance.id
    base = f"{theirs.client.replace('.', '')}-{way.api.rpartition('/')[2].replace('_', '-')}"
    numbered = (f"{base}-{number}" if number else base for number in itertools.count())
    id_ = next(name for name in numbered if name not in {other.id for other in there})
    doubts = instances.add(paths, Instance(family, id_, way.api, settings=settings))
    task.log(f"Added the instance {id_} ({way.api}), with the settings of {theirs.client}")
    for doubt in doubts:
        task.warn(f"{id_}: {doubt}")
    return id_


def _properties(leaf: x509.Certificate, account: Account) -> dict[str, str]:
    type_ = keys.type_of(leaf.public_key())
    usual = type_ == keys.DEFAULT_TYPE or type_ not in keys.KEY_TYPES
    return {"acme": f"account={account.name}", **({} if usual else {"key-type": type_})}
