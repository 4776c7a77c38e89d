"""What the settings of a certificate refer to: accounts, plugin instances, targets. All must be there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pvefw import instances
from pvefw.certs import service
from pvefw.core.errors import ConfigError, NotFound, PvefwError, UsageError
from pvefw.core.families import CHALLENGE, DNS, OBSERVER
from pvefw.instances import Instance
from pvefw.store import accounts as account_store
from pvefw.store import certificates, domains, persistent_records
from pvefw.store.certificates import CertificateSettings
from pvefw.store.domains import DomainEntry
from pvefw.store.node import Node

_OF_ITS_OWN = "Add a target of its own: pvefw observer add ID --api NAME --data FILE"
_USUAL = "default"
"""The account that is meant where none is named."""


class Fault(NamedTuple):
    """What leads nowhere."""

    message: str
    """A clause."""
    hint: str


def check(node: Node, settings: CertificateSettings) -> None:
    """Refuse settings that lead nowhere, before they are kept.

    The account ``default`` may be registered later.

    :raises UsageError: one does; the first that is found.
    """
    command = settings.get(service.KEY, "")
    if command and command != service.NO_RELOAD:
        service.check(command)
    fault = next(broken(node, settings), None)
    if fault is not None:
        raise UsageError(f"{settings.what}: {fault.message}", hint=fault.hint)


def check_target(node: Node, target: Instance) -> None:
    """Refuse an observer as it is to be where a certificate has it as its target and must not.

    :raises UsageError: it would overwrite another one's files.
    """
    if target.family != OBSERVER.name:
        return
    from pvefw.certs import collisions

    if collision := collisions.of_changed(node, target):
        raise UsageError(f"{target.who}: {collision}", hint="Choose another path.")


def check_unused(node: Node, family: str, id_: str) -> None:
    """Refuse to remove an observer that delivers a certificate; what others use is not looked at.

    :raises UsageError: it is the target of one.
    """
    if family != OBSERVER.name:
        return
    users = [certificate for certificate in certificates.all_of(node) if id_ in certificate.targets]
    if users:
        rest = [target for target in users[0].targets if target != id_]
        without = f"--targets {','.join(rest)}" if rest else "--delete targets"
        raise UsageError(
            f"observer remove: {id_} is a target of {', '.join(user.name for user in users)}",
            hint=f"Take it out first: {users[0].set_command} {without}",
        )


def broken(node: Node, settings: CertificateSettings) -> Iterator[Fault]:
    """Why the next order or delivery would fail for want of something."""
    yield from _accounts(node, settings)
    names, targets = settings.names(), settings.targets
    if names:
        known = {
            instance.id: instance for instance in instances.load_all(node, CHALLENGE.name, DNS.name)
        }
        for entry in names:
            yield from _entry(entry, known, settings)
    if targets:
        from pvefw.certs import collisions

        observers = {instance.id: instance for instance in instances.load_all(node, OBSERVER.name)}
        for target in targets:
            if target not in observers:
                add = f"pvefw observer add {target} --api NAME --data FILE"
                hint = f"{_those(observers)}Add it first: {add}"
                yield Fault(f"its target {target} is no observer", hint)
            elif collision := collisions.of_target(node, settings, observers[target]):
                yield Fault(collision, _OF_ITS_OWN)


def _accounts(node: Node, settings: CertificateSettings) -> Iterator[Fault]:
    named = domains.acme({"acme": settings.get("acme", "")}).get("account", "")
    wanted = [
        account for account in (named, settings.fallback_account) if account not in ("", _USUAL)
    ]
    known: Sequence[str] = account_store.names(node.paths) if wanted else ()
    for account in wanted:
        if account not in known:
            hint = f"{_those(known)}Register it first: pvefw acme account register {account} MAIL"
            yield Fault(f"there is no ACME account named {account}", hint)


def _those(known: Iterable[str]) -> str:
    """Of what exists, one may have been meant."""
    return f"There are: {', '.join(sorted(known))}. " if known else ""


def _entry(
    entry: DomainEntry, known: dict[str, Instance], settings: CertificateSettings
) -> Iterator[Fault]:
    if entry.challenge:
        from pvefw.acme import persist

        if entry.challenge == persist.TYPE:
            return
    if entry.chosen and entry.plugin not in known:
        yield Fault(
            f"{entry.where}: there is no plugin instance {entry.plugin}",
            f"{_those(known)}Add it first: pvefw acme plugin add dns {entry.plugin} --api NAME "
            "--data FILE",
        )
    elif entry.chosen and entry.name.startswith("*.") and known[entry.plugin].family != DNS.name:
        yield Fault(
            f"{entry.where}: {entry.name}: a wildcard can only be validated through DNS, "
            f"not by {entry.plugin}",
            f"Assign a DNS instance: {settings.set_command} --acmedomain0 NAME,plugin=ID",
        )


def of_node(node: Node) -> list[str]:
    """What is configured for the certificates of a node and leads nowhere, a sentence for each."""
    return [
        f"{certificate.what}: {problem}"
        for certificate in certificates.all_of(node)
        for problem in dict.fromkeys(problems(node, certificate))
    ]


def problems(node: Node, settings: CertificateSettings) -> list[str]:
    """As :func:`broken`, for the status: with what may come later, and what makes even that unclear."""
    try:
        faults = [fault.message for fault in broken(node, settings)]
        return [*faults, *_not_yet(node, settings)]
    except (ConfigError, NotFound) as error:
        return [error.message]
    except PvefwError:
        return []  # a file that cannot be read; whoever needs it says so


def _not_yet(node: Node, settings: CertificateSettings) -> Iterator[str]:
    """What may still be added before the first order."""
    by_dns = instances.load_all(node, DNS.name)
    kept = persistent_records.load(node.paths)
    for entry in settings.names():
        if entry.name.startswith("*.") and not (entry.chosen or entry.challenge or by_dns or kept):
            yield f"{entry.where}: {entry.name}: there is no DNS instance to validate a wildcard"
