"""A certificate of a node: what is wanted of it, and where it lies.

That of Proxmox VE's services and those with a section are the same kind of thing: whoever orders,
installs, delivers or renews is given one, and asks it. What sets the first apart is in three answers: its
files are Proxmox VE's, its service is known, and this service has another one to fall back to.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pvefw.certs import chain
from pvefw.certs.chain import CertificateInfo
from pvefw.core.errors import NotFound, PvefwError
from pvefw.core.model import CertificateEvent
from pvefw.store import certificates, files, nodes
from pvefw.store.certificates import PVEPROXY, CertificateSettings
from pvefw.store.node import Node
from pvefw.store.paths import CertificateFiles, Paths


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, by where they lie."""

    title: str
    """For the log: ``pveproxy``."""
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificate:
    """One certificate of a node, as its configuration was at one moment."""

    node: Node
    settings: CertificateSettings

    @classmethod
    def own(cls, node: Node) -> "Certificate":
        """That of Proxmox VE's services."""
        return cls(node, certificates.own(node))

    @classmethod
    def load(cls, node: Node, name: str) -> "Certificate":
        """The one of this name, ``pveproxy`` for that of Proxmox VE's services.

        :raises NotFound: there is none, or it is not for this node.
        :raises StoreError: a file of the configuration could not be read.
        """
        return cls.own(node) if name == PVEPROXY else cls(node, certificates.load(node, name))

    @classmethod
    def all_of(cls, node: Node) -> "list[Certificate]":
        """Every certificate that the node uses, its own first.

        :raises StoreError: a file of the configuration could not be read.
        """
        return [cls(node, certificate) for certificate in certificates.all_of(node)]

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def task_id(self) -> str:
        """What a task about it has as its id: nothing for the node's own, as in Proxmox VE."""
        return "" if self.settings.is_own else self.name

    @property
    def service(self) -> str:
        """The unit that uses it without being configured to, if any."""
        return PVEPROXY if self.settings.is_own else ""

    @property
    def has_fallback(self) -> bool:
        """Whether its service has another certificate to use when this one goes."""
        return self.settings.is_own

    @property
    def paths(self) -> Paths:
        return self.node.paths

    @property
    def files(self) -> CertificateFiles:
        """Where it is kept, and what is remembered of it."""
        return self.paths.certificate_files("" if self.settings.is_own else self.name)

    @property
    def pair(self) -> Pair:
        return Pair(self.name, self.files.certificate, self.files.key)

    @property
    def owner(self) -> str:
        """Who has it, for messages of another one: ``node pve2``, ``certificate web``."""
        return f"node {self.node.name}" if self.settings.is_own else f"certificate {self.name}"

    def others(self) -> "Iterator[Certificate]":
        """Every other certificate that this node can read: its own, and those of the nodes' services.

        :raises StoreError: a file of the configuration could not be read.
        """
        yield from (
            certificate
            for certificate in Certificate.all_of(self.node)
            if certificate.name != self.name
        )
        for name in nodes.names(self.paths):
            if name != self.node.name:
                with contextlib.suppress(PvefwError):  # its own node says so
                    yield Certificate.own(self.node.neighbour(name))

    def fresh(self) -> "Certificate":
        """The same with a new look at the configuration.

        :raises NotFound: it is no longer configured.
        """
        return Certificate.load(Node.open(self.paths), self.name)

    # --- what is installed ------------------------------------------------------------------------

    def installed(self) -> CertificateInfo | None:
        """What is there now; ``None`` where nothing is.

        :raises CertificateError: the file holds no certificate.
        """
        pem = files.read_if_exists(self.files.certificate)
        return chain.describe(self.files.certificate, pem) if pem else None

    def pem(self) -> bytes:
        """What is there now: PEM, the leaf first.

        :raises NotFound: nothing is.
        """
        pem = files.read_if_exists(self.files.certificate)
        if pem is None:
            named = "of its own " if self.settings.is_own else f"{self.name} "
            bring = "cert set CERTIFICATE KEY"
            bring += "" if self.settings.is_own else f" --certificate {self.name}"
            raise NotFound(
                f"node {self.node.name} has no certificate {named}({self.files.certificate})",
                hint=f"Order one: {self.settings.order_command}. Or set one: pvefw {bring}",
            )
        return pem

    def event(self) -> CertificateEvent:
        """What observers are told of it.

        :raises NotFound: it is not there.
        """
        info = chain.describe(self.files.certificate, self.pem())
        return CertificateEvent(
            node=self.node.name,
            names=info.san,
            certificate=self.files.certificate,
            key=self.files.key,
            not_before=info.not_before,
            not_after=info.not_after,
            fingerprint=info.fingerprint,
            name=self.name,
        )


def info_of_all(node: Node) -> list[CertificateInfo]:
    """Every certificate of a node: the cluster's CA, its own, those of its services.

    :raises CertificateError: a file is there and is no certificate.
    """
    paths = node.paths
    theirs = [paths.authority_certificate, paths.node_certificate]
    ours = [certificate.files.certificate for certificate in Certificate.all_of(node)]
    read = [(path, files.read_if_exists(path)) for path in (*theirs, *ours)]
    return [chain.describe(path, pem) for path, pem in read if pem is not None]
