"""One order for equal certificates: of the nodes of a cluster, and of one node.

Certificates are partners when the same names, account and kind of key are wanted of them. A node can read
its own certificates, and those of Proxmox VE's services on every node, whose directories are shared: so
one can take over what a partner has. Nothing is kept in another place, and no key is copied to a file
that is not a certificate's own.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pvefw.certs import chain, comparison, renewal_rule
from pvefw.certs.certificate import Certificate
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import CertificateError, PvefwError
from pvefw.core.model import Task
from pvefw.store import files, locks

_LONGEST_ORDER = 3900.0
"""Seconds to wait for a partner that orders; longer than an order may take."""
_SHARED = ("key-type", "must-staple", "profile", "preferred-chain")


@dataclass(frozen=True)
class SharedPair:
    """What a partner has."""

    owner: str
    """``node pve2``, ``certificate web``."""
    certificate: bytes
    key: bytes
    info: CertificateInfo


def partners(certificate: Certificate) -> list[Certificate]:
    """The other certificates that are wanted just like this one.

    One whose configuration cannot be read is none; its own node says so.
    """
    wanted = _wanted(certificate)
    others = []
    for other in certificate.others():
        with contextlib.suppress(PvefwError):
            if _wanted(other) == wanted:
                others.append(other)
    return others


def _wanted(certificate: Certificate) -> str:
    settings = certificate.settings
    names = sorted(str(name.identifier) for name in settings.names())
    shared = {key: settings.get(key, "") for key in _SHARED}
    return json.dumps([names, settings.account, shared], sort_keys=True)


@contextlib.contextmanager
def turn(certificate: Certificate, others: Sequence[Certificate], task: Task) -> Iterator[None]:
    """Order alone: partners wait until this one is done, and then find what it has.

    :raises Locked: a partner is not done in time.
    :raises NoQuorum: nobody can say whether a partner is at it.
    """
    if not others:
        yield
        return
    name = f"acme-order-{hashlib.sha256(_wanted(certificate).encode()).hexdigest()[:16]}"
    this = "this node" if certificate.settings.is_own else certificate.owner
    task.log(f"One certificate for {this} and {', '.join(other.owner for other in others)}")
    with locks.cluster_lock(certificate.paths, name, timeout=_LONGEST_ORDER, say=task.log):
        yield


def newer(
    certificate: Certificate,
    others: Sequence[Certificate],
    current: CertificateInfo | None,
    now: datetime,
) -> SharedPair | None:
    """The best certificate of the partners, if it is newer than this one and not due itself.

    One that is not for the names that are wanted counts as none. Where the account has changed, only a
    partner of which it is known that the new account ordered it has something to share. One that was
    revoked is no better than none. Of two that begin in the same second, all take one.

    :raises ConfigError: the record of what was revoked is damaged.
    """
    if not others:
        return None
    revoked = Revoked.load(certificate.paths)
    record = (
        renewal_rule.record_of(certificate.paths, current) if current else renewal_rule.Record()
    )
    moved = comparison.other_account(certificate, record)
    if current and (revoked.find_pem(current.pem) or comparison.of_file(certificate, current)):
        current = None
    best: SharedPair | None = None
    for other in others:
        candidate = _of(other, now, proven=moved)
        begin = best.info if best else current
        if candidate is None or revoked.find_pem(candidate.info.pem):
            continue
        if begin is None or _age(candidate.info) > _age(begin):
            best = candidate
    return best


def _age(info: CertificateInfo) -> tuple[datetime, str]:
    return info.not_before, info.fingerprint


def _of(other: Certificate, now: datetime, *, proven: bool) -> SharedPair | None:
    pair = (other.files.certificate, other.files.key)
    certificate, key = (files.read_if_exists(path) for path in pair)
    if certificate is None or key is None:
        return None
    try:  # it may be replacing its own just now
        ordered = chain.check_pair(certificate, key, other.owner, now)
    except CertificateError:
        return None
    info = chain.describe(other.files.certificate, ordered)
    record = renewal_rule.record_of(other.paths, info)
    if (proven and not record.account) or comparison.differences(other, info, record):
        return None
    usable = not comparison.of_file(other, info)
    usable = usable and renewal_rule.decide(info, other.node.name).due > now
    return SharedPair(other.owner, ordered, key, info) if usable else None
