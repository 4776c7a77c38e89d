"""The node's own certificate, signed by the cluster's CA: ``pve-ssl.pem`` and ``.key``.

The services use it where they have no other. It is good for every name and address under which the node
is reached, as far as the host itself knows them: those of ``/etc/hosts``, else those that its name
resolves to.
"""

import ipaddress
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from pvefw.certs import authority, chain, install, keys, renewal_rule, service
from pvefw.certs.authority import Authority
from pvefw.certs.certificate import Certificate
from pvefw.certs.renewal_rule import Decision
from pvefw.core.errors import UsageError
from pvefw.core.model import Task
from pvefw.store import files
from pvefw.store.node import Node
from pvefw.store.paths import Paths

LIFETIME = timedelta(days=730)


@dataclass(frozen=True)
class Names:
    """Under which a node is reached."""

    fqdn: str
    dns: list[str]
    addresses: list[str]

    @property
    def all(self) -> list[str]:
        return self.dns + self.addresses

    @property
    def extension(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in self.dns),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in self.addresses),
            ]
        )


def names(paths: Paths) -> Names:
    """The node's names and addresses, ``localhost`` among them."""
    lines = (files.read_if_exists(paths.below("etc/hosts")) or b"").decode(errors="replace")
    entries = [words for line in lines.splitlines() if (words := line.partition("#")[0].split())]
    ours = [words for words in entries if paths.node in words[1:] or _qualified(paths, words[1:])]
    fqdn = next((qualified for words in ours if (qualified := _qualified(paths, words[1:]))), "")
    fqdn = fqdn or _search_domain(paths) or paths.node
    addresses = [words[0] for words in ours] or _resolved(paths)
    ip_addresses = ["127.0.0.1", "::1"]
    for text in addresses:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if not address.is_loopback and str(address) not in ip_addresses:
            ip_addresses.append(str(address))
    return Names(fqdn, list(dict.fromkeys([paths.node, "localhost", fqdn])), ip_addresses)


def _qualified(paths: Paths, words: list[str]) -> str:
    return next((word for word in words if word.startswith(f"{paths.node}.")), "")


def _search_domain(paths: Paths) -> str:
    """The node's name in the domain that its resolver looks in first (resolv.conf(5))."""
    lines = (files.read_if_exists(paths.below("etc/resolv.conf")) or b"").decode(errors="replace")
    for words in (line.split() for line in lines.splitlines()):
        if len(words) > 1 and words[0] in ("search", "domain") and words[1].strip("."):
            return f"{paths.node}.{words[1].strip('.')}"
    return ""


def _resolved(paths: Paths) -> list[str]:
    """What the node's name resolves to on this host; another tree's names are not this host's."""
    if str(paths.root) != "/":
        return []
    try:
        answers = socket.getaddrinfo(paths.node, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(answer[4][0]) for answer in answers]


def decide(paths: Paths, now: datetime) -> Decision | None:
    """When the node's certificate is to be made again, and why; ``None`` where that is not ours to do.

    :raises CertificateError: a file is damaged.
    """
    ca = authority.load(paths)
    pem = files.read_if_exists(paths.node_certificate)
    if ca is None or pem is None:
        return None
    leaf = chain.parse(pem, str(paths.node_certificate))[0]
    if not authority.signed_by(leaf, ca):
        return None
    if unusable := install.unusable(paths, install.node_pair(paths)):
        return Decision(now, unusable)
    early = authority.not_yet_valid(leaf, now)
    if early and not authority.not_yet_valid(ca.certificate, now):
        return Decision(now, early)  # it was made while the clock was ahead
    if not chain.issued(leaf, ca.certificate):
        return Decision(now, "the CA that signed it is being replaced")
    missing = [name for name in names(paths).all if name not in chain.names(leaf)]
    if missing:
        return Decision(now, f"it is not valid for {', '.join(missing)}")
    return renewal_rule.decide(chain.describe(paths.node_certificate, pem), paths.node)


def ensure(paths: Paths, task: Task, now: datetime) -> None:
    """Make the node's certificate where there is none, so that the services have one to fall back to."""
    if not (files.exists(paths.node_certificate) and files.exists(paths.node_key)):
        _issue(paths, authority.ensure(paths, task, now), task, now)


def refresh(paths: Paths, task: Task, now: datetime, *, force: bool = False) -> None:
    """Make the node's certificate, or make it again where its names, its CA or its age ask for that.

    :param force: again in any case, also in the place of one that another CA signed.
    :raises UsageError: another CA signed it, and no force.
    """
    ca = authority.ensure(paths, task, now)
    pem = files.read_if_exists(paths.node_certificate)
    if pem is not None and not force:
        leaf = chain.parse(pem, str(paths.node_certificate))[0]
        if not authority.signed_by(leaf, ca):
            raise UsageError(
                f"cert node refresh: {paths.node_certificate} was not signed by the cluster's CA",
                hint="Replace it anyway with --force.",
            )
        decision = decide(paths, now)
        if decision and decision.due > now:
            task.log(f"The node's certificate is valid until {leaf.not_valid_after_utc:%Y-%m-%d}")
            return
    _issue(paths, ca, task, now)


def _issue(paths: Paths, ca: Authority, task: Task, now: datetime) -> None:
    wanted = names(paths)
    task.log(f"Signing a certificate for {', '.join(wanted.all)}")
    key = _key(paths)
    signed = authority.sign(
        paths, ca, key.public_key(), wanted.fqdn, wanted.extension, LIFETIME, now
    )
    install.replace_pair(paths, install.node_pair(paths), signed, keys.to_pem(key), task)
    if not files.exists(paths.proxy_certificate):
        service.reload_or_warn(Certificate.own(Node.open(paths)), task)


def _key(paths: Paths) -> keys.PrivateKey:
    node, current = Node.open(paths), files.read_if_exists(paths.node_key)
    if current and node.is_on("key-reuse"):
        return keys.from_pem(current, str(paths.node_key))
    return keys.generate(node.get("ca-key-type", "ec256"))
