"""Instances that trust a certificate by its fingerprint, which its successor does not have."""

from pvefw import instances
from pvefw.certs.chain import CertificateInfo
from pvefw.core.errors import PvefwError
from pvefw.store.kinds import KINDS
from pvefw.store.node import Node


def pinned_by(node: Node, info: CertificateInfo) -> list[str]:
    """The instances with a certificate's fingerprint among their settings: ``guest backend pve``.

    Those that cannot be read are in the way of no renewal. No plugin is asked: whatever a setting is
    called, the fingerprint is the same.
    """
    try:
        found = instances.load_all(node, *KINDS)
    except PvefwError:
        return []
    wanted = _bare(info.fingerprint)
    pinning = (one for one in found if any(wanted in _bare(text) for text in one.settings.values()))
    return [one.who for one in pinning if not one.disabled]


def _bare(text: str) -> str:
    """A fingerprint however it is written: with colons or blanks, in either case."""
    return text.replace(":", "").replace(" ", "").lower()
