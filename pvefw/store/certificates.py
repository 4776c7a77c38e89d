"""What is wanted of each certificate of a node: one vocabulary, the properties of the node.

The certificate of Proxmox VE's own services is called ``pveproxy``, and what is wanted of it is in the
node's configuration. Every other has a section with the same properties in ``pvefw.cfg``, the node's or
the cluster's::

    certificate: web
            acme account=default,domains=www.example.com;example.com
            acmedomain0 *.example.com,plugin=ovh
            key-type ec384
            targets nginx
            nodes pve1,pve2
            disable 1

A section inherits nothing from the node's own certificate. Without ``nodes`` it is for all nodes that see
the file; the node's section wins over the cluster's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvefw.core.errors import ConfigError, NotFound
from pvefw.store import domains, oddities, properties
from pvefw.store.domains import DomainEntry
from pvefw.store.node import Node
from pvefw.store.pvefw_config import CERTIFICATE
from pvefw.store.section_config import ID, Section

PVEPROXY = "pveproxy"
RESERVED = (PVEPROXY, "pveproxy-ssl", "pve-ssl", "pve-root-ca")
"""What a section cannot be called: the names and files of certificates that a node has anyway."""
COMMON = ("nodes", "disable")
"""What a section has beside the properties of a certificate."""


@dataclass(frozen=True)
class CertificateSettings:
    """What is wanted of one certificate."""

    name: str
    what: str
    """For messages: ``node pve1``, ``certificate web``."""
    get: Callable[..., str] = field(repr=False)
    """One property, or the default that is given beside it."""
    names: Callable[[], list[DomainEntry]] = field(repr=False)
    """The names, and who validates each.

    :raises ConfigError: a name occurs twice, or a property has two values.
    """

    @property
    def is_own(self) -> bool:
        """Whether it is that of Proxmox VE's services."""
        return self.name == PVEPROXY

    def is_on(self, key: str) -> bool:
        """Whether a property that is 0 or 1 is 1."""
        return self.get(key, "") == "1"

    @property
    def account(self) -> str:
        """The ACME account to order from."""
        return domains.acme({"acme": self.get("acme", "")}).get("account", "default")

    @property
    def fallback_account(self) -> str:
        """The account to order from when the first one's authority is down; empty for none."""
        return self.get("fallback-account", "")

    @property
    def targets(self) -> list[str]:
        """The observers that are told of this certificate only."""
        return [part.strip() for part in self.get("targets", "").split(",") if part.strip()]

    @property
    def served_at(self) -> list[tuple[str, int, str]]:
        """Where it is served: host, port, and the protocol of STARTTLS or nothing."""
        return properties.served_at(self.get("serves", ""))

    @property
    def set_command(self) -> str:
        """The command that changes it, for hints."""
        return "pvefw config set" if self.is_own else f"pvefw cert set {self.name}"

    @property
    def order_command(self) -> str:
        """The command that orders it, for hints."""
        return "pvefw acme cert order" if self.is_own else f"pvefw acme cert order {self.name}"

    @property
    def renew_command(self) -> str:
        """The command that renews it now, for hints."""
        return self.order_command.replace("cert order", "cert renew")


def own(node: Node) -> CertificateSettings:
    """What is wanted of the certificate of Proxmox VE's services."""
    return CertificateSettings(PVEPROXY, f"node {node.name}", node.get, node.certificate_names)


def all_of(node: Node) -> list[CertificateSettings]:
    """What is wanted of every certificate that this node uses, its own first.

    :raises StoreError: a file could not be read.
    """
    used = (entry for entry in sections(node).values() if _used(*entry, node))
    return [own(node), *(_settings(section, path) for section, path in used)]


def load(node: Node, name: str) -> CertificateSettings:
    """What is wanted of one certificate.

    :raises NotFound: there is none of this name, or it is not for this node.
    :raises StoreError: a file could not be read.
    """
    known = {certificate.name: certificate for certificate in all_of(node)}
    if name not in known:
        raise NotFound(
            f"there is no certificate {name} on node {node.name}", hint=_meant(known, name)
        )
    return known[name]


def _meant(known: Mapping[str, CertificateSettings], word: str) -> str:
    """What to give instead of a word that is no certificate's name."""
    for value in known.values():
        if any(entry.name == word for entry in _readable_names(value)):
            return f"That is a name in the certificate {value.name}; give that."
        if word in value.targets:
            return f"It is a target: pvefw cert deploy {value.name} --test {word}"
    return (
        f"There are: {', '.join(known)}. "
        f"To add another: pvefw cert add {word} --acmedomain0 NAME,plugin=ID"
    )


def sections(node: Node) -> dict[str, tuple[Section, Path]]:
    """The certificates that have a section, and the file that each is in.

    :raises StoreError: a file could not be read.
    """
    return {
        section.id: (section, path)
        for path in (node.paths.cluster_pvefw_cfg, node.paths.node_pvefw_cfg())
        for section in node.sections(path).sections
        if section.type == CERTIFICATE
    }


def used_instances(node: Node) -> set[str]:
    """The plugin instances that validate a name of some certificate."""
    return {entry.plugin for certificate in all_of(node) for entry in _readable_names(certificate)}


def _readable_names(certificate: CertificateSettings) -> Sequence[DomainEntry]:
    """Its names; none where they are damaged, which whoever needs them is told."""
    try:
        return certificate.names()
    except ConfigError:
        return ()


def _used(section: Section, path: Path, node: Node) -> bool:
    """Whether this node uses a section; one with a name that is taken is reported."""
    if section.id in RESERVED or not ID.fullmatch(section.id):
        why = f"a certificate cannot be called {section.id}"
        oddities.report(path, section.line, why, "it is ignored")
        return False
    return not section.disabled and (not section.nodes or node.name in section.nodes)


def _settings(section: Section, path: Path) -> CertificateSettings:
    return of_values(section.id, usable(section, path))


def of_values(name: str, values: Mapping[str, str]) -> CertificateSettings:
    """What properties say of a certificate.

    :param values: each in its format.
    """
    what, command = f"{CERTIFICATE} {name}", f"pvefw cert set {name}"
    if name == PVEPROXY:
        what, command = "config set", "pvefw config set"
    settings = dict(values)

    def get(key: str, default: str = "") -> str:
        return settings.get(key, default)

    return CertificateSettings(name, what, get, lambda: domains.entries(settings, what, command))


def usable(section: Section, path: Path) -> dict[str, str]:
    """The properties of a section without those that make no sense, which are reported.

    :param path: the file that it is in.
    """
    sound = {}
    for key, value in section.values.items():
        if key in COMMON:
            continue
        why = wrong(key, value)
        if why:
            what = f"{CERTIFICATE}: {section.id}: {key}"
            known = properties.find(key)
            if known is not None and known.certificate:
                why += f"; the format is {known.format}"
            oddities.report(path, section.line_of(key), f"{what}: {why}", "the property is ignored")
        else:
            sound[key] = value
    return sound


def wrong(key: str, value: str) -> str:
    """Why a property cannot be one of a certificate; empty where it can. Its format is not repeated."""
    known = properties.find(key)
    if known is None or not known.certificate:
        return "this is not a property of a certificate"
    try:
        known.check(value)
    except ValueError as error:
        return str(error)
    return ""
