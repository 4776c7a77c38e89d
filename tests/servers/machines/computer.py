"""A computer: disks, and the variables of its firmware. It can be copied, in the middle of anything."""

import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pvefw.api import Firmware
from servers.machines.power import Boots, new_variables, power_on
from servers.machines.workshop import Workshop, workshop

DISK_SIZE = 600 << 20
"""Bytes: the installer's partitions fit, with a little of a third."""


@dataclass(frozen=True, slots=True)
class Computer:
    """A computer that is off."""

    folder: Path
    disks: tuple[Path, ...]
    variables: Path | None
    """Those of UEFI; without them it has a BIOS."""

    @classmethod
    def new(
        cls, folder: Path, firmware: Firmware, *, disks: int = 2, disk_size: int = DISK_SIZE
    ) -> Self:
        """A computer as it leaves the factory, with empty disks.

        :param disk_size: bytes.
        """
        folder.mkdir()
        images = tuple(folder / f"disk{number}" for number in range(disks))
        for image in images:
            with image.open("wb") as file:
                file.truncate(disk_size)
        uefi = firmware is Firmware.UEFI
        return cls(folder, images, new_variables(folder / "variables") if uefi else None)

    def copy(self, folder: Path) -> Self:
        """Another computer in the same state. While a workshop runs it must be frozen."""
        folder.mkdir()
        files = [*self.disks, *([self.variables] if self.variables else [])]
        subprocess.run(["cp", "--sparse=always", *files, folder], check=True)
        return replace(
            self,
            folder=folder,
            disks=tuple(folder / disk.name for disk in self.disks),
            variables=folder / self.variables.name if self.variables else None,
        )

    def without_first_disk(self) -> Self:
        """This computer, with its first disk taken out."""
        return replace(self, disks=self.disks[1:])

    def power_on(self, *, restarts: int = 0) -> Boots:
        """Switch it on, as :func:`power_on` does."""
        return power_on(self.disks, self.variables, restarts=restarts)

    def workshop(self, *, bytes_per_second: int | None = None) -> AbstractContextManager[Workshop]:
        """Switch it on as a :func:`workshop`."""
        return workshop(
            self.folder / "workshop", self.disks, self.variables, bytes_per_second=bytes_per_second
        )
