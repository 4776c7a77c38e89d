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
from pvefw.core.errors import CertificateError, PvefwError
from pvefw.core.model import Task
from pvefw.store import files, locks, node_settings
from pvefw.store.paths import Paths

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


def partners(paths: Paths) -> list[Paths]:
    """The other nodes that want the same certificate.

    A node whose configuration cannot be read is none; it says so itself.
    """
    if not paths.nodes.is_dir():
        return []
    wanted = _wanted(paths)
    found = []
    for directory in sorted(paths.nodes.iterdir()):
        if directory.name == paths.node:
            continue
        with contextlib.suppress(PvefwError):
            other = Paths(paths.root, directory.name)
            if _wanted(other) == wanted:
                found.append(other)
    return found


def _wanted(paths: Paths) -> str:
    settings = node_settings.load(paths)
    names = sorted(str(one.identifier) for one in node_settings.certificate_names(paths))
    shared = {key: settings.get(key, "") for key in _SHARED}
    return json.dumps([names, node_settings.account_name(paths), shared], sort_keys=True)


@contextlib.contextmanager
def turn(paths: Paths, others: Sequence[Paths], task: Task) -> Iterator[None]:
    """Order alone: partners wait until this node is done, and then find what it has.

    :raises Locked: a partner is not done in time.
    """
    if not others:
        yield
        return
    name = f"acme-order-{hashlib.sha256(_wanted(paths).encode()).hexdigest()[:16]}"
    task.log(f"One certificate for this node and {', '.join(one.node for one in others)}")
    with locks.cluster_lock(paths, name, timeout=_LONGEST_ORDER):
        yield


def newer(
    paths: Paths, others: Sequence[Paths], current: CertificateInfo | None, now: datetime
) -> Found | None:
    """The best certificate of the partners, if it is newer than this node's and not due itself."""
    names = {str(one.identifier) for one in node_settings.certificate_names(paths)}
    best: Found | None = None
    for other in others:
        found = _of(other, names, now)
        begin = best.info if best else current
        if found and (begin is None or found.info.not_before > begin.not_before):
            best = found
    return best


def _of(other: Paths, names: set[str], now: datetime) -> Found | None:
    certificate, key = (
        files.read_if_exists(path) for path in (other.proxy_certificate, other.proxy_key)
    )
    if certificate is None or key is None:
        return None
    try:  # it may be replacing its own just now
        ordered = chain.check_pair(certificate, key, other.node, now)
    except CertificateError:
        return None
    info = chain.describe(other.proxy_certificate, ordered)
    usable = set(info.san) == names and renewal.decide(info, other.node).due > now
    return Found(other.node, ordered, key, info) if usable else None
