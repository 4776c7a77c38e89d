"""Whom Secure Boot trusts on this machine, and what it would say to an image.

The firmware judges by ``db`` and ``dbx`` (UEFI specification, section 32.5); shim, for what it starts, by
its own lists and its vendor's certificate as well. Nothing is judged by lists that cannot be read.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from pvefw.boot import firmware, images
from pvefw.boot.images import Image
from pvefw.store.paths import Paths

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_SHA256 = UUID("c1c41626-504c-4092-aca9-41f936934328")
_X509_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
_HEAD, _OWNER, _DIGEST = 28, 16, 32
"""Bytes of a list's head, of the owner before each entry, and of a digest."""


@dataclass(frozen=True)
class Lists:
    """The entries of signature lists (UEFI specification, section 32.4.1)."""

    entries: Sequence[tuple[UUID, bytes]] = ()

    @classmethod
    def parse(cls, *data: bytes) -> "Lists":
        """Read them; what is cut off is left out."""
        return cls([entry for variable in data for entry in _entries(variable)])

    @cached_property
    def certificates(self) -> Sequence["Certificate"]:
        """Those that can be read."""
        return [
            certificate
            for kind, data in self.entries
            if kind == _X509
            for certificate in _parsed(data)
        ]

    def names(self, image: Image) -> bool:
        """Whether the image itself is in the lists."""
        digests = {data for kind, data in self.entries if kind == _SHA256}
        return bool(digests) and image.digest in digests

    def vouch_for(self, chain: Sequence["Certificate"]) -> bool:
        """Whether a certificate of a signature is in the lists, or was issued by one of them."""
        if any(_issued(signer, trusted) for signer in chain for trusted in self.certificates):
            return True
        # with the time of a revocation, signatures of before it hold
        digests = {
            data[:_DIGEST]
            for kind, data in self.entries
            if kind == _X509_SHA256 and not any(data[_DIGEST:])
        }
        return any(
            hashlib.sha256(signer.tbs_certificate_bytes).digest() in digests
            for signer in (chain if digests else ())
        )


def _entries(data: bytes) -> Iterator[tuple[UUID, bytes]]:
    def number(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    begin = 0
    while begin + _HEAD <= len(data):
        kind = UUID(bytes_le=data[begin : begin + 16])
        length, header, size = (number(begin + at) for at in (16, 20, 24))
        if length < _HEAD or size <= _OWNER:
            return
        end = min(begin + length, len(data))
        for at in range(begin + _HEAD + header, end - size + 1, size):
            yield kind, data[at + _OWNER : at + size]
        begin += length


def _parsed(der: bytes) -> Iterator["Certificate"]:
    from cryptography.x509 import load_der_x509_certificate

    try:
        yield load_der_x509_certificate(der)
    except ValueError:
        return


def _issued(certificate: "Certificate", known: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    if certificate == known:
        return True
    if certificate.issuer != known.subject:
        return False
    try:
        certificate.verify_directly_issued_by(known)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@dataclass(frozen=True)
class Refusal:
    """Why an image is not started, and what to do about it."""

    why: str
    advice: str

    def __str__(self) -> str:
        return f"{self.why}; {self.advice}"


_SIGN = (
    "sign it, or format this ESP and give it GRUB, with Debian's packages shim-signed and "
    "grub-efi-amd64-signed"
)
_ENROL = (
    "bring the firmware's keys up to date (fwupdmgr update, or in its setup), or install packages that "
    "are signed for it; then: pvefw boot reinit"
)
_UPGRADE = "upgrade the packages it is from; then: pvefw boot reinit"


@dataclass(frozen=True)
class Judge:
    """One who starts images: the firmware, or shim."""

    who: str
    known: bool = False
    """Whether it can be said whom it trusts."""
    trusted: Lists = field(default_factory=Lists)
    revoked: Lists = field(default_factory=Lists)
    level: bytes = b""
    """What shim wants of the generations in ``.sbat``."""

    def refusal(self, image: Image) -> Refusal | None:
        """Why it would not start an image; ``None`` where it would, or nobody can know."""
        revoked = self.revoked.names(image)
        if self.trusted.names(image) and not revoked:
            return None
        if not image.signatures:
            return Refusal("it is not signed", _SIGN)
        if revoked or any(map(self.revoked.vouch_for, image.signatures)):
            return Refusal(f"{self.who} has revoked it", _UPGRADE)
        if self.known and not any(map(self.trusted.vouch_for, image.signatures)):
            issuers = " or ".join(_issuers(image.signatures))
            return Refusal(f"{self.who} does not trust {issuers}, which signed it", _ENROL)
        return self._too_old(image)

    def _too_old(self, image: Image) -> Refusal | None:
        has = image.generations
        for name, least in images.generations(self.level).items():
            if name in has and has[name] < least:
                why = f"generation {has[name]} of {name} is revoked (SBAT), {least} is required"
                return Refusal(why, _UPGRADE)
        return None


def _issuers(signatures: Iterable[Sequence["Certificate"]]) -> list[str]:
    """Whom one would look for among the trusted: the issuer of each signature's first certificate."""
    from cryptography.x509.oid import NameOID

    names = []
    for chain in signatures:
        named = chain[0].issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        names.append(str(named[0].value) if named else chain[0].issuer.rfc4514_string())
    return list(dict.fromkeys(names))


def of_firmware(paths: Paths) -> Judge:
    """The firmware, which starts what is in its boot entries and in ``EFI/BOOT``."""
    trusted = Lists.parse(firmware.trusted(paths))
    revoked = Lists.parse(firmware.revoked(paths))
    # shim judges itself, too, by its level
    return Judge(
        "the firmware", bool(trusted.entries), trusted, revoked, firmware.sbat_level(paths)
    )


def of_shim(paths: Paths, shims: Iterable[Image]) -> Judge:
    """Shim, which starts GRUB and kernels, with the vendors' certificates of these shims.

    :param shims: those that may start the image.
    """
    above = of_firmware(paths)
    more = list(Lists.parse(firmware.trusted_by_shim(paths)).entries)
    for shim in shims:
        alone = any(_parsed(shim.vendor))  # a certificate, or lists of them
        more += [(_X509, shim.vendor)] if alone else Lists.parse(shim.vendor).entries
    trusted = Lists([*above.trusted.entries, *more])
    revoked = Lists([*above.revoked.entries, *Lists.parse(firmware.revoked_by_shim(paths)).entries])
    return Judge("shim", above.known and bool(more), trusted, revoked, above.level)
