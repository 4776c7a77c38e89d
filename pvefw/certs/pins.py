"""Who trusts a certificate by its fingerprint, which its successor does not have."""

from pathlib import Path

from pvefw import instances
from pvefw.certs import chain
from pvefw.certs.chain import CertificateInfo
from pvefw.core.errors import PvefwError
from pvefw.core.model import Task
from pvefw.store import files
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import KINDS
from pvefw.store.section_config import SectionConfig


def pinned_by(node: Node, info: CertificateInfo) -> list[str]:
    """Who has a certificate's fingerprint among its settings: ``guest backend pve``, ``storage backup``.

    Those that cannot be read are in the way of no renewal. No plugin is asked: whatever a setting is
    called, the fingerprint is the same.
    """
    return [*_instances(node, info.fingerprint), *_storages(node.paths, info.fingerprint)]


def _instances(node: Node, fingerprint: str) -> list[str]:
    try:
        configured = instances.load_all(node, *KINDS)
    except PvefwError:
        return []
    wanted = _bare(fingerprint)
    pinning = (
        instance
        for instance in configured
        if any(wanted in _bare(text) for text in instance.settings.values())
    )
    return [instance.who for instance in pinning if not instance.disabled]


def _storages(paths: Paths, fingerprint: str) -> list[str]:
    """The storages of Proxmox VE that trust it: those of Proxmox Backup Server have such a setting."""
    try:
        data = files.read_if_exists(paths.storage_cfg) or b""
        sections = SectionConfig.parse(data, str(paths.storage_cfg)).sections
    except PvefwError:
        return []
    wanted = _bare(fingerprint)
    return [
        f"storage {section.id}"
        for section in sections
        if not section.disabled and _bare(section.values.get("fingerprint", "")) == wanted
    ]


def _bare(text: str) -> str:
    """A fingerprint however it is written: with colons or blanks, in either case."""
    return text.replace(":", "").replace(" ", "").lower()


def warn_of_broken(paths: Paths, path: Path, before: bytes | None, task: Task) -> None:
    """After a certificate was replaced: warn of who trusts the old one by its fingerprint.

    :param path: the new one.
    :param before: the old one, PEM; ``None`` where there was none.
    """
    try:
        old, new = chain.describe(path, before or b""), chain.describe(path, files.read(path))
        broken = pinned_by(Node.open(paths), old) if old.fingerprint != new.fingerprint else []
    except PvefwError:
        return
    for sentence in broken:
        task.warn(
            f"{sentence} trusts the old {path.name} by its fingerprint; "
            f"the new one is {new.fingerprint}; set that, or remove it where a CA is trusted"
        )
