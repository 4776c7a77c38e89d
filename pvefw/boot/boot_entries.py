"""The firmware's own boot entries: which of them lead to an ESP of ours, and what comes before.

The firmware starts the first entry of ``BootOrder`` that is active and can be started (UEFI
specification, section 3.1.2). One whose partition or file is gone is passed over, and so are the network
and other devices that have nothing to start: of these nothing can be known here.
"""

import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from pvefw.boot.manifest import key
from pvefw.host.fat import folded

_NUMBERED = re.compile(r"Boot([0-9A-F]{4})", re.IGNORECASE)
_ACTIVE = 1
"""``LOAD_OPTION_ACTIVE``."""
_MEDIA, _PARTITION, _FILE, _END = 4, 1, 4, 0x7F
"""Types of a device path's nodes (section 10.3): of media a partition or a file, and its end."""
_GPT = b"\2\2"
"""How a partition is identified: in a GPT, by a UUID."""
_HEAD, _NODE = 6, 4
"""Bytes of the head of an entry, and of a node."""
_OURS = re.compile(r"efi/(?:proxmox|systemd)/[^/]*|efi/boot/boot[^/]*\.efi")
"""Where loaders are put, also by Proxmox VE's own tool."""
_OUR_OWN = re.compile(r"efi/(?:proxmox|systemd)/[^/]*")


@dataclass(frozen=True)
class Entry:
    """One variable ``Boot####``."""

    number: str
    active: bool
    label: str
    partition: str
    """Its identifier (PARTUUID) in lower case; empty where it leads to something else."""
    file: str
    r"""As in ``\EFI\BOOT\BOOTX64.EFI``; empty where none is named."""

    @property
    def who(self) -> str:
        """For messages."""
        return f"Boot{self.number} ({self.label})"

    @property
    def path(self) -> str:
        """The file on its partition, folded; empty where none is named."""
        return folded(PurePosixPath(self.file.replace("\\", "/").strip("/"))) if self.file else ""


@dataclass(frozen=True)
class OurEsp:
    """What is known of an ESP of the list."""

    partition: str
    names: Collection[str] | None = None
    """The folded names of its files; ``None`` where they could not be looked at."""
    manifest: Collection[str] = ()

    def lacks(self, entry: Entry) -> bool:
        """Whether an entry names a file that is not on it."""
        return bool(entry.file) and self.names is not None and entry.path not in self.names

    def has(self, entry: Entry) -> bool:
        """Whether an entry names one of its own loaders."""
        ours = _OURS.fullmatch(entry.path) or key(entry.path) in self.manifest
        return not entry.file or bool(ours)


@dataclass(frozen=True)
class BootEntries:
    """All that the firmware has."""

    entries: Mapping[str, Entry]
    order: Sequence[str]
    once: str
    """What ``BootNext`` names, or empty."""

    @classmethod
    def read(cls, variables: Mapping[str, bytes]) -> "BootEntries":
        """Understand the variables; what is cut off or of another form is left out.

        :param variables: ``BootOrder``, ``BootNext`` and every ``Boot####``: name to value.
        """
        entries = {}
        for name, value in variables.items():
            if (match := _NUMBERED.fullmatch(name)) and (entry := _entry(match[1].upper(), value)):
                entries[entry.number] = entry
        return cls(
            entries,
            _numbers(variables.get("BootOrder", b"")),
            next(iter(_numbers(variables.get("BootNext", b""))), ""),
        )

    @property
    def usable(self) -> list[Entry]:
        """What the firmware tries, in this order."""
        every = [self.entries[number] for number in self.order if number in self.entries]
        return [entry for entry in every if entry.active]


def _numbers(value: bytes) -> list[str]:
    return [f"{number:04X}" for (number,) in struct.iter_unpack("<H", value[: len(value) // 2 * 2])]


def _entry(number: str, value: bytes) -> Entry | None:
    """An ``EFI_LOAD_OPTION`` (section 3.1.3); ``None`` where it is none."""
    if len(value) < _HEAD:
        return None
    attributes, size = struct.unpack_from("<IH", value)
    ends = (at for at in range(_HEAD, len(value) - 1, 2) if value[at : at + 2] == b"\0\0")
    end = next(ends, None)
    if end is None:
        return None
    label = value[_HEAD:end].decode("utf-16-le", "replace")
    partition, file = "", ""
    for kind, data in _nodes(value[end + 2 : end + 2 + size]):
        if kind == (_MEDIA, _PARTITION) and data[36:38] == _GPT:
            partition = str(UUID(bytes_le=data[20:36]))
        elif kind == (_MEDIA, _FILE):
            file += data.decode("utf-16-le", "replace").partition("\0")[0]
    return Entry(number, bool(attributes & _ACTIVE), label, partition, file)


def _nodes(path: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """The nodes of a device path until its first end: type and subtype, and what they hold."""
    while len(path) >= _NODE:
        kind, subtype, size = struct.unpack_from("<BBH", path)
        if kind == _END or size < _NODE:
            return
        yield (kind, subtype), path[_NODE:size]
        path = path[size:]


@dataclass(frozen=True)
class Judge:
    """Says of the firmware's entries what keeps this host's ESPs from being started.

    :param there: the identifiers of all partitions; empty where they are not known.
    """

    firmware: BootEntries
    esps: Sequence[OurEsp]
    there: Collection[str] = ()

    def lines(self) -> list[str]:
        """One line for each problem."""
        known = [esp for esp in self.esps if esp.partition]
        passed_over = [line for esp in known for line in self._passed_over(esp)]
        return [*self._once(), *passed_over, *self._lost(), *self._before_ours()]

    def _esp(self, entry: Entry) -> OurEsp | None:
        return next(
            (esp for esp in self.esps if entry.partition and esp.partition == entry.partition), None
        )

    def _leads_to_us(self, entry: Entry) -> bool:
        esp = self._esp(entry)
        return esp is not None and esp.has(entry) and not esp.lacks(entry)

    def _is_dead(self, entry: Entry) -> bool:
        """Whether its partition, or on an ESP of ours its file, is gone."""
        esp = self._esp(entry)
        if esp is not None:
            return esp.lacks(entry)
        return bool(entry.partition and self.there) and entry.partition not in self.there

    def _once(self) -> list[str]:
        """What ``BootNext`` makes the firmware start, where that is not ours."""
        entry = self.firmware.entries.get(self.firmware.once)
        if entry is None or self._leads_to_us(entry) or self._is_dead(entry):
            return []
        return [f"the firmware starts {entry.who} once; to prevent that: efibootmgr -N"]

    def _passed_over(self, esp: OurEsp) -> list[str]:
        """Why no entry that this ESP has leads to it."""
        entries = [
            entry
            for entry in self.firmware.entries.values()
            if entry.partition == esp.partition and esp.has(entry)
        ]
        whole = [entry for entry in entries if not esp.lacks(entry)]
        if not entries or any(entry in self.firmware.usable for entry in whole):
            return []
        entry = (whole or entries)[0]
        what = f"firmware entry Boot{entry.number} of {esp.partition}"
        if not whole:
            return [f"{what} names {entry.file}, which is not there: pvefw boot reinit"]
        if not entry.active:
            return [f"{what} is inactive: efibootmgr -b {entry.number} -a"]
        every = ",".join([*self.firmware.order, entry.number])
        return [f"{what} is not in BootOrder: efibootmgr -o {every}"]

    def _lost(self) -> list[str]:
        """Entries of loaders as ours whose partition is gone, as after the change of a disk."""
        if not all(esp.partition for esp in self.esps):
            return []  # its disk may come back
        return [
            f"firmware entry {entry.who} names a partition that is not there: "
            f"efibootmgr -b {entry.number} -B"
            for entry in self.firmware.usable
            if self._esp(entry) is None and self._is_dead(entry) and _OUR_OWN.fullmatch(entry.path)
        ]

    def _before_ours(self) -> list[str]:
        """What of another system the firmware comes to first."""
        ours = [entry for entry in self.firmware.usable if self._leads_to_us(entry)]
        first = next(
            (
                entry
                for entry in self.firmware.usable
                if entry.partition and not self._is_dead(entry)
            ),
            None,
        )
        if first is None or first in ours or not any(esp.partition for esp in self.esps):
            return []
        line = f"the firmware starts {first.who} first, which is no boot loader of pvefw's"
        if not ours:
            return [f"{line}, and has no entry for an ESP: pvefw boot reinit"]
        numbers = [entry.number for entry in ours]
        rest = [number for number in self.firmware.order if number not in numbers]
        return [f"{line}: efibootmgr -o {','.join([*numbers, *rest])}"]
