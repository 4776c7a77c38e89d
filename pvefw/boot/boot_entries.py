"""The firmware's own boot entries: which of them lead to an ESP of ours, and what comes before.

The firmware starts the first entry of ``BootOrder`` that is active and can be started (UEFI
specification, section 3.1.2). One whose partition or file is gone is passed over, and so are the network
and other devices that have nothing to start: of these nothing can be known here.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pvefw.boot.manifest import key
from pvefw.host.fat import folded

_ENTRY = re.compile(r"Boot(?P<number>[0-9A-F]{4})(?P<active>\*?) (?P<rest>.*)", re.IGNORECASE)
_PARTITION = re.compile(
    r"\bHD\(\d+,GPT,(?P<uuid>[0-9a-f-]+)[^)]*\)(?:/(?:File\()?(?P<file>\\.*?\.efi))?", re.IGNORECASE
)
"""As efibootmgr prints it: until release 17 with ``File()``. What follows is the loader's."""
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
    """What ``efibootmgr -v`` printed."""

    entries: Mapping[str, Entry]
    order: Sequence[str]
    once: str
    """What ``BootNext`` names, or empty."""

    @classmethod
    def parse(cls, text: str) -> "BootEntries":
        """Read it."""
        order = re.search(r"^BootOrder: (\S+)", text, re.MULTILINE)
        once = re.search(r"^BootNext: ([0-9A-F]{4})", text, re.MULTILINE | re.IGNORECASE)
        return cls(
            {entry.number: entry for entry in _entries(text)},
            order[1].upper().split(",") if order else [],
            once[1].upper() if once else "",
        )

    @property
    def usable(self) -> list[Entry]:
        """What the firmware tries, in this order."""
        every = [self.entries[number] for number in self.order if number in self.entries]
        return [entry for entry in every if entry.active]


def _entries(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        if match := _ENTRY.fullmatch(line.strip()):
            where = _PARTITION.search(match["rest"])
            label = match["rest"].partition("\t")[0]
            yield Entry(
                match["number"].upper(),
                bool(match["active"]),
                (label[: where.start()] if where else label).strip(),
                where["uuid"].lower() if where else "",
                (where["file"] or "") if where else "",
            )


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
