"""A computer: disks, and the variables of its firmware. It can be copied, in the middle of anything."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pvefw.api import Firmware
from servers.machines.power import Boots, new_variables, power_on
from servers.machines.workshop import HOST_FOLDERS, Workshop, workshop

DISK_SIZE = 1 << 30
"""Bytes: the least that ``pvefw boot partition`` takes; what is empty takes no room here."""
HOST_SIZE = 160 << 20
"""Bytes: three small kernels fit, and what is rebuilt of them."""


@dataclass(frozen=True, slots=True)
class Computer:
    """A computer that is off."""

    folder: Path
    disks: tuple[Path, ...]
    host: Path
    """One more disk, on which only a workshop has the host's own files."""
    variables: Path | None
    """Those of UEFI; without them it has a BIOS."""

    @classmethod
    def new(
        cls,
        folder: Path,
        firmware: Firmware,
        files: Mapping[str, str | Path],
        *,
        disks: int = 2,
        disk_size: int = DISK_SIZE,
    ) -> Self:
        """A computer as it leaves the factory, with empty disks.

        :param files: the host's own: path to text, or to a file that is copied.
        :param disk_size: bytes.
        """
        folder.mkdir()
        images = tuple(folder / f"disk{number}" for number in range(disks))
        host = folder / "host"
        _make_host(host, files)
        for image in images:
            with image.open("wb") as file:
                file.truncate(disk_size)
        uefi = firmware is Firmware.UEFI
        return cls(folder, images, host, new_variables(folder / "variables") if uefi else None)

    def copy(self, folder: Path) -> Self:
        """Another computer in the same state. While a workshop runs it must be frozen."""
        folder.mkdir()
        files = [*self.disks, self.host, *([self.variables] if self.variables else [])]
        subprocess.run(["cp", "--sparse=always", *files, folder], check=True)
        return replace(
            self,
            folder=folder,
            disks=tuple(folder / disk.name for disk in self.disks),
            host=folder / self.host.name,
            variables=folder / self.variables.name if self.variables else None,
        )

    def with_only(self, disk: int) -> Self:
        """This computer, with all disks but one taken out."""
        return replace(self, disks=(self.disks[disk],))

    def with_bios(self) -> Self:
        """This computer, set to start as one with a BIOS does."""
        return replace(self, variables=None)

    def power_on(self, *, restarts: int = 0, board: Sequence[str] = ()) -> Boots:
        """Switch it on, as :func:`power_on` does."""
        return power_on(self.disks, self.variables, restarts=restarts, board=board)

    def workshop(self, *, bytes_per_second: int | None = None) -> AbstractContextManager[Workshop]:
        """Switch it on as a :func:`workshop`."""
        return workshop(
            self.folder / "workshop",
            self.disks,
            self.variables,
            self.host,
            bytes_per_second=bytes_per_second,
        )


def _make_host(image: Path, files: Mapping[str, str | Path]) -> None:
    """Write a file system with the host's own files."""
    with tempfile.TemporaryDirectory(prefix="host-") as temporary:
        tree = Path(temporary)
        for folder in HOST_FOLDERS:
            (tree / folder).mkdir(parents=True)
        for path, content in files.items():
            if isinstance(content, Path):
                shutil.copyfile(content, tree / path)
            else:
                (tree / path).write_text(content)
        make = ["mkfs.ext4", "-q", "-d", tree, image, f"{HOST_SIZE >> 20}M"]
        subprocess.run(make, check=True, capture_output=True)
