"""One certificate for a cluster: nodes that want the same one place one order.

Nodes are partners when they have the same names, account and kind of key in their configuration. The
directory of every node is on all of them, so that one can take over what a partner has: nothing is kept
in another place, and no key is copied to a file that is not a node's own.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pvefw.certs import chain, renewal
from pvefw.certs.chain import CertificateInfo
from pvefw.certs.revocation import Revoked
from pvefw.core.errors import CertificateError, PvefwError
from pvefw.core.model import Task
from pvefw.store import files, locks, nodes
from pvefw.store.node import Node

_LONGEST_ORDER = 3900.0
"""Seconds to wait for a partner that orders; longer than an order may take."""
_SHARED = ("key-type", "must-staple", "profile", "preferred-chain")


@dataclass(frozen=True)
class Found:
    """What a partner has."""

    node: str
    certificate: bytes
    key: bytes
    info: CertificateInfo


def partners(node: Node) -> list[Node]:
    """The other nodes that want the same certificate.

    A node whose configuration cannot be read is none; it says so itself.
    """
    wanted = _wanted(node)
    found = []
    for name in nodes.names(node.paths):
        if name == node.name:
            continue
        with contextlib.suppress(PvefwError):
            other = node.neighbour(name)
            if _wanted(other) == wanted:
                found.append(other)
    return found


def _wanted(node: Node) -> str:
    names = sorted(str(one.identifier) for one in node.certificate_names())
    shared = {key: node.get(key) for key in _SHARED}
    return json.dumps([names, node.account, shared], sort_keys=True)


@contextlib.contextmanager
def turn(node: Node, others: Sequence[Node], task: Task) -> Iterator[None]:
    """Order alone: partners wait until this node is done, and then find what it has.

    :raises Locked: a partner is not done in time.
    :raises NoQuorum: nobody can say whether a partner is at it.
    """
    if not others:
        yield
        return
    name = f"acme-order-{hashlib.sha256(_wanted(node).encode()).hexdigest()[:16]}"
    task.log(f"One certificate for this node and {', '.join(one.name for one in others)}")
    with locks.cluster_lock(node.paths, name, timeout=_LONGEST_ORDER, say=task.log):
        yield


def newer(
    node: Node, others: Sequence[Node], current: CertificateInfo | None, now: datetime
) -> Found | None:
    """The best certificate of the partners, if it is newer than this node's and not due itself.

    One that was revoked is no better than none. Of two that begin in the same second, all nodes take one.

    :raises ConfigError: the record of what was revoked is damaged.
    """
    names = {str(one.identifier) for one in node.certificate_names()}
    revoked = Revoked.load(node.paths)
    if current is not None and revoked.find_pem(current.pem):
        current = None
    best: Found | None = None
    for other in others:
        found = _of(other, names, now)
        begin = best.info if best else current
        if found is None or revoked.find_pem(found.info.pem):
            continue
        if begin is None or _age(found.info) > _age(begin):
            best = found
    return best


def _age(info: CertificateInfo) -> tuple[datetime, str]:
    return info.not_before, info.fingerprint


def _of(other: Node, names: set[str], now: datetime) -> Found | None:
    pair = (other.paths.proxy_certificate, other.paths.proxy_key)
    certificate, key = (files.read_if_exists(path) for path in pair)
    if certificate is None or key is None:
        return None
    try:  # it may be replacing its own just now
        ordered = chain.check_pair(certificate, key, other.name, now)
    except CertificateError:
        return None
    info = chain.describe(other.paths.proxy_certificate, ordered)
    usable = set(info.san) == names and renewal.decide(info, other.name).due > now
    return Found(other.name, ordered, key, info) if usable else None
