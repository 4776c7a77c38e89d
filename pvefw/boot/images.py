"""Images for UEFI, as far as Secure Boot looks at them: who signed them, and their SBAT generations."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pvefw.store import files

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from pefile import PE

_SECURITY = 4
"""The place of the certificate table among the data directories (Microsoft's PE specification)."""
_HEADER = 8
"""Bytes before each signature in that table: its length, a revision, its type."""
_PKCS7 = 2
_SYMBOL = 18
"""Bytes of each symbol; the strings come behind them."""
_LONGEST = 64
_LONGEST_NUMBER = 20
"""Digits of a generation; no component has come to two."""


@dataclass(frozen=True)
class Image:
    """The content of a file."""

    data: bytes

    @classmethod
    def read(cls, path: Path) -> "Image":
        """Read a file.

        :raises StoreError: it cannot be read.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise files.failed("read", path, error) from error

    @cached_property
    def _pe(self) -> "PE | None":
        import pefile  # 30 ms, and seldom needed

        try:
            return pefile.PE(data=self.data, fast_load=True)
        except (pefile.PEFormatError, ValueError, AttributeError, IndexError):
            return None

    @property
    def length(self) -> int | None:
        """How long the file has to be for all that its header names; ``None`` where it is no image."""
        if self._pe is None:
            return None
        ends = [part.PointerToRawData + part.SizeOfRawData for part in self._pe.sections]
        directories = self._pe.OPTIONAL_HEADER.DATA_DIRECTORY
        if len(directories) > _SECURITY:
            ends.append(directories[_SECURITY].VirtualAddress + directories[_SECURITY].Size)
        return max(ends, default=0)

    @cached_property
    def _table(self) -> tuple[int, int]:
        """Where the signatures begin, and their length."""
        directories = self._pe.OPTIONAL_HEADER.DATA_DIRECTORY if self._pe else []
        if len(directories) <= _SECURITY:
            return 0, 0
        start, size = directories[_SECURITY].VirtualAddress, directories[_SECURITY].Size
        return (start, size) if start + size <= len(self.data) else (0, 0)

    @cached_property
    def signatures(self) -> Sequence[Sequence["Certificate"]]:
        """For each signature the certificates that come with it."""
        return [certificates for blob in self._blobs() if (certificates := _certificates(blob))]

    def _blobs(self) -> Iterator[bytes]:
        at, size = self._table
        end = at + size
        while at + _HEADER < end:
            length, kind = _number(self.data, at, 4), _number(self.data, at + 6, 2)
            if length <= _HEADER:
                return
            if kind == _PKCS7:
                yield self.data[at + _HEADER : at + length]
            at += -(-length // 8) * 8

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of what is signed (Microsoft, "Authenticode PE", calculating the PE image hash)."""
        if self._pe is None:
            return hashlib.sha256(self.data).digest()
        header = self._pe.OPTIONAL_HEADER
        checksum = header.get_field_absolute_offset("CheckSum")
        directory = header.DATA_DIRECTORY[_SECURITY].get_file_offset()
        start, size = self._table
        sha256 = hashlib.sha256()
        begin = 0
        for at, length in ((checksum, 4), (directory, 8), (start or len(self.data), size)):
            sha256.update(memoryview(self.data)[begin:at])
            begin = at + length
        sha256.update(memoryview(self.data)[begin:])
        return sha256.digest()

    @property
    def generations(self) -> Mapping[str, int]:
        """Of each component that its ``.sbat`` names."""
        return generations(self._section(b".sbat"))

    @property
    def vendor(self) -> bytes:
        """What shim trusts beside the firmware: a certificate, or signature lists; of others empty."""
        section = self._section(b".vendor_cert")
        size, start = _number(section, 0, 4), _number(section, 8, 4)
        return section[start : start + size]

    def _section(self, name: bytes) -> bytes:
        for section in self._pe.sections if self._pe else ():
            if self._name(section.Name.rstrip(b"\0")) == name:
                return bytes(section.get_data()[: section.Misc_VirtualSize])
        return b""

    def _name(self, short: bytes) -> bytes:
        """A section's name; what is longer than 8 bytes is ``/`` and its place among the strings."""
        if self._pe is None or not short[1:].isdigit():
            return short
        header = self._pe.FILE_HEADER
        at = header.PointerToSymbolTable + header.NumberOfSymbols * _SYMBOL + int(short[1:])
        return self.data[at : at + _LONGEST].partition(b"\0")[0]


def generations(text: bytes) -> Mapping[str, int]:
    """The components and generations of a ``.sbat`` section, or of what shim wants (its SBAT.md)."""
    lines = [line.split(b",") for line in text.rstrip(b"\0").splitlines()]
    return {
        line[0].decode(errors="replace"): int(line[1])
        for line in lines
        if len(line) > 1 and line[1].isdigit() and len(line[1]) < _LONGEST_NUMBER
    }


def _certificates(blob: bytes) -> Sequence["Certificate"]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import pkcs7

    size = 4 + int.from_bytes(blob[2:4])  # behind it comes padding
    try:
        return pkcs7.load_der_pkcs7_certificates(blob[:size])
    except (ValueError, UnsupportedAlgorithm):
        return []


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
