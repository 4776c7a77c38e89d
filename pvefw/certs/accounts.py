"""Use cases around ACME accounts: register, update, deactivate, roll the key over."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pvefw.acme.client import Client, Registered
from pvefw.acme.jws import AccountKey
from pvefw.acme.transport import Transport, Waiting
from pvefw.certs import directories
from pvefw.core.errors import AcmeProblem, ConfigError, UsageError
from pvefw.core.model import Task
from pvefw.host.clock import SystemClock
from pvefw.store import accounts, files, persistent_records, pmxcfs
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths

_SECONDS = 120.0
_DAY = 24 * 3600
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_UNKNOWN = "accountDoesNotExist"
_REFUSALS = ("unauthorized", _UNKNOWN)
"""What authorities answer to an account that they do not take: RFC 8555 sections 7.3.6 and 6.2."""


@dataclass(frozen=True)
class AuthorityTerms:
    """What an authority says about itself before one has an account there."""

    directory: str
    ca_file: str
    terms: str
    """URL of the terms of service, or empty."""
    binding_required: bool


class Unhurried:
    """Waits where there is no task to be cancelled; Ctrl-C ends it all the same."""

    cancelled = False

    def log(self, message: str) -> None:
        """Nobody reads along before there is a task; what goes wrong in the end is raised."""

    def wait(self, seconds: float) -> None:
        import threading

        SystemClock().wait(threading.Event(), seconds)


@contextlib.contextmanager
def connect(account: Account, task: Waiting, seconds: float) -> Iterator[tuple[Client, Transport]]:
    """A client for an account, and its connection, for at most so many seconds.

    :raises ConfigError: the account's key cannot be used.
    """
    transport = Transport(ca_file=account.ca_file, deadline=seconds, task=task)
    try:
        key = AccountKey.from_pem(account.key, f"account {account.name}")
        yield Client(transport, account.directory, key, account.location), transport
    except AcmeProblem as problem:
        if problem.status and problem.type in _REFUSALS:  # without a status it is about a name
            problem.hint = _advice(problem, account.name)
        raise
    finally:
        transport.close()


def _advice(problem: AcmeProblem, name: str) -> str:
    """What to do about an account that its authority does not take."""
    moved = f"It may have another URL by now: pvefw acme account update {name}. "
    return (
        f"{moved if problem.type == _UNKNOWN else ''}"
        f"If the account {name} is lost, make room for a new one: pvefw acme account deactivate {name}, "
        f"then: pvefw acme account register {name}"
    )


def load(paths: Paths, name: str, task: Task) -> Account:
    """An account, with the key that its authority knows.

    A rollover that was interrupted is settled first: the authority is asked which of the two keys it is.

    :raises NotFound: there is none of this name.
    :raises AcmeError: the authority cannot be asked.
    """
    if not files.exists(_staged_key(paths, name)):
        return accounts.load(paths, name)
    with accounts.lock(paths, name):
        return _settled(paths, name, task)


def _settled(paths: Paths, name: str, task: Task) -> Account:
    """As :func:`load`, for callers that hold the lock."""
    account = accounts.load(paths, name)
    staged = _staged_key(paths, name)
    pem = files.read_if_exists(staged)
    if pem is None:
        return account
    renewed = _with_key(account, AccountKey.from_pem(pem.decode(), str(staged)))
    with connect(renewed, task, _SECONDS) as (client, _):
        registered = client.find()
    if registered and registered.location == account.location:
        task.log("The change of the account's key that was interrupted is complete")
        accounts.save(paths, renewed)
        account = renewed
    files.remove(staged)
    return account


def _with_key(account: Account, key: AccountKey) -> Account:
    """An account with another key; the authority may have sent the old one in the account object."""
    described = dict(account.account)
    if "key" in described:
        described["key"] = key.jwk
    return replace(account, key=key.pem, account=described)


def _staged_key(paths: Paths, name: str) -> Path:
    """Where a new key waits for its authority to take it."""
    return accounts.path(paths, name).with_name(f".{name}.new-key")


def look_at(directory: str, ca_file: Path | None) -> AuthorityTerms:
    """Fetch an authority's directory.

    :raises AcmeError: it cannot be had.
    """
    trust = str(ca_file) if ca_file else ""
    transport = Transport(ca_file=trust, deadline=_SECONDS, task=Unhurried())
    try:
        offered = Client(transport, directory).directory
    finally:
        transport.close()
    return AuthorityTerms(directory, trust, offered.terms, offered.binding_required)


def check_new(paths: Paths, name: str) -> None:
    """Refuse a name that is taken, or an account that could not be kept, before anybody is asked.

    :raises UsageError: there is an account of this name, or it is no name.
    :raises StoreError: no file can be written there.
    """
    if files.exists(accounts.path(paths, name)):
        raise UsageError(
            f"acme account: the account {name} already exists",
            hint=f"Choose another name, or first: pvefw acme account deactivate {name}",
        )
    files.check_writable(paths.acme_dir)


def register(
    paths: Paths,
    name: str,
    contacts: Sequence[str],
    offer: AuthorityTerms,
    *,
    key_type: str = "",
    binding: tuple[str, str] | None,
    task: Task,
) -> None:
    """Make an account; the user has agreed to the offer's terms.

    :param contacts: e-mail addresses, with or without ``mailto:``.
    :param key_type: as :meth:`AccountKey.generate` takes it; empty for one that all tools here can use.
    :param binding: key id and MAC key of an external account.
    :raises AcmeError: the authority refuses.
    """
    with accounts.lock(paths, name):
        check_new(paths, name)
        started = _started(paths, name)
        with _room(paths):
            key = _registering_key(
                started, offer.directory, key_type or _usual_key_type(paths), task
            )
            transport = Transport(ca_file=offer.ca_file, deadline=_SECONDS, task=task)
            try:
                client = Client(transport, offer.directory, key)
                task.log("Registering ACME account")
                made = _registered(client, contacts, offer, binding)
            except AcmeProblem as problem:
                if not problem.is_a_failure:
                    files.remove(started)  # it was refused, so there is no account
                raise
            finally:
                transport.close()
        account = Account(
            name, offer.directory, made.location, key.pem, made.account, offer.terms, offer.ca_file
        )
        accounts.save(paths, account)
        files.remove(started)
        task.log(f"Registration successful, account URL: '{made.location}'")


def _started(paths: Paths, name: str) -> Path:
    """Where the key of a registration waits for its end."""
    return accounts.path(paths, name).with_name(f".{name}.registering")


def _registering_key(started: Path, directory: str, key_type: str, task: Task) -> AccountKey:
    """The key of a registration that was interrupted, or a new one: on disk before anybody hears of it.

    The authority may have made the account without our having heard so. It would then be lost, and with
    it an external account binding, of which many are good for one account only.
    """
    with contextlib.suppress(*files.DAMAGED, ConfigError):
        kept = files.parse_json(files.read_if_exists(started) or b"")
        key = AccountKey.from_pem(str(kept["key"]), str(started))
        if kept["directory"] == directory and key.key_type == key_type:
            task.log("Going on with the registration that was interrupted")
            return key
    task.log("Generating ACME account key")
    key = AccountKey.generate(key_type)
    record = {"directory": directory, "key": key.pem}
    files.replace(started, json.dumps(record).encode(), private=True)
    return key


def _usual_key_type(paths: Paths) -> str:
    """Proxmox VE's own client works with RSA only."""
    return "rsa4096" if pmxcfs.is_installed(paths.root) else "ec256"


def _registered(
    client: Client, contacts: Sequence[str], offer: AuthorityTerms, binding: tuple[str, str] | None
) -> Registered:
    """Register; what a refusal is about depends on whether there was a binding.

    :raises AcmeError: the authority refuses.
    """
    try:
        return client.register(
            [mailto(contact) for contact in contacts], agree=bool(offer.terms), binding=binding
        )
    except AcmeProblem as problem:
        if binding and problem.type in _ABOUT_BINDINGS:
            problem.hint = (
                "The external account binding was refused: check key id and key; many are valid for one "
                f"account only. {directories.binding_hint(offer.directory)}"
            )
        elif problem.type == "externalAccountRequired":
            problem.hint = directories.binding_hint(offer.directory)
        elif problem.type == "unauthorized":
            problem.hint = "Nothing was registered; ask the authority why it refuses."
        raise


_ROOM = 16 << 10
"""Bytes: an account's file with its key has a quarter of that."""
_ABOUT_BINDINGS = ("unauthorized", "malformed", "externalAccountRequired", "userActionRequired")
"""What authorities answer to a binding that they do not know."""


@contextlib.contextmanager
def _room(paths: Paths) -> Iterator[None]:
    """Keep room on the disk for an account whose key nobody could give us again.

    :raises StoreError: there is none; the authority has not been asked yet.
    """
    reserve = paths.acme_dir / f".reserved-{paths.node}"
    files.replace(reserve, bytes(_ROOM), private=True)
    try:
        yield
    finally:
        files.remove(reserve)


def mailto(contact: str) -> str:
    """An e-mail address as a ``mailto:`` URL (RFC 6068); one that is a URL already stays.

    :raises UsageError: it is no address.
    """
    address = contact.strip().removeprefix("mailto:")
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"'{contact.strip()}' is not an e-mail address",
            hint="Give one like admin@example.com; several with commas between them.",
        )
    return f"mailto:{address}"


def update(paths: Paths, name: str, contacts: Sequence[str] | None, task: Task) -> None:
    """Change an account's contacts, or fetch its data again.

    :param contacts: e-mail addresses; ``None`` to change nothing at the authority.
    """
    with accounts.lock(paths, name):
        account = _settled(paths, name, task)
        with connect(account, task, _SECONDS) as (client, _):
            try:
                resource = _updated(client, contacts, task)
            except AcmeProblem as problem:
                moved = client.find() if problem.type == _UNKNOWN else None
                if moved is None or moved.location == account.location:
                    raise
                task.log(f"The account has another URL by now: {moved.location}")
                account = replace(account, location=moved.location)
                client.kid = moved.location
                resource = _updated(client, contacts, task)
        accounts.save(paths, replace(account, account=resource))


def _updated(client: Client, contacts: Sequence[str] | None, task: Task) -> Mapping[str, Any]:
    if contacts is None:
        task.log("Fetching account information")
        return client.account()
    task.log("Updating account contact")
    return client.update([mailto(contact) for contact in contacts])


def deactivate(paths: Paths, name: str, task: Task) -> None:
    """Deactivate an account at its authority, for good, and rename its file."""
    with accounts.lock(paths, name):
        account = _settled(paths, name, task)
        with connect(account, task, _SECONDS) as (client, _):
            task.log("Deactivating account")
            resource = _deactivated(client, account, task)
        accounts.save(paths, replace(account, account=resource))
        files.remove(_started(paths, name))  # or the next one of this name went on with its key
        retired = accounts.retire(paths, name)
        task.log(f"Renaming account file from '{name}' to '{retired}'")


def _deactivated(client: Client, account: Account, task: Task) -> dict[str, Any]:
    """The account as it is then; one that its authority does not take any more needs no request."""
    try:
        return dict(client.deactivate())
    except AcmeProblem as problem:
        if problem.type not in _REFUSALS:
            raise
        known = "no longer knows" if problem.type == _UNKNOWN else "no longer takes"
        task.warn(
            f"{account.directory} {known} the account; its file is renamed all the same: {problem.detail}"
        )
        return {**account.account, "status": "deactivated"}


def roll_over(paths: Paths, name: str, key_type: str, task: Task) -> None:
    """Replace an account's key.

    The new key is on disk before the authority hears of it: whatever interrupts, :func:`load` finds the
    one that works.

    :param key_type: as :meth:`AccountKey.generate` takes it; empty for that of the old key.
    """
    with accounts.lock(paths, name):
        account = _settled(paths, name, task)
        old_key = AccountKey.from_pem(account.key, f"account {name}")
        new_key = AccountKey.generate(key_type or old_key.key_type)
        staged = _staged_key(paths, name)
        files.replace(staged, new_key.pem.encode(), private=True)
        with connect(account, task, _SECONDS) as (client, _):
            task.log(f"Changing the account's key to a new one of type {new_key.key_type}")
            client.roll_over(new_key)
            period = client.directory.key_rotation_period
        accounts.save(paths, _with_key(account, new_key))
        files.remove(staged)
    _warn_of_records(paths, name, period, task)


def _warn_of_records(paths: Paths, name: str, period: int, task: Task) -> None:
    """Say which records of dns-persist-01 name the key that was replaced.

    :param period: seconds for which the authority still takes them; 0 where it does not say.
    """
    time = f"{period / _DAY:.3g} more days" if period else "a limited time"
    for record in persistent_records.load(paths):
        if record.account == name and record.thumbprint:
            task.warn(
                f"{record.domain}: its persistent record names the old key and is valid for {time} only; "
                f"replace it: {record.command(Node.open(paths).account)}"
            )
