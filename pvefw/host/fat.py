"""FAT, the file system of EFI system partitions: its first sector, and names: which are the same."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pvefw.core.errors import ProviderError
from pvefw.core.model import BootPlan

_VERSION = re.compile(r"[0-9][0-9A-Za-z._+~-]{0,199}(?<![.~])")

SECTOR = 512
"""Bytes of the first sector that have a meaning."""
_SIZE_16 = 22
"""Where the size of a FAT stands, which is 0 in FAT32."""
_STATE_16, _STATE_32 = 37, 65
_KIND_16 = 54
_DIRTY = 1
"""``FAT_STATE_DIRTY`` (linux/msdos_fs.h)."""


def folded(target: PurePosixPath) -> str:
    """The name as FAT compares it: without case."""
    return str(target).casefold()


def is_version(text: str) -> bool:
    """Whether a text can be the version of a kernel (``uname -r``); it becomes part of paths."""
    return _VERSION.fullmatch(text) is not None


def check_versions(plan: BootPlan) -> None:
    """Refuse kernels that cannot lie on an ESP, or not beside each other.

    :raises ProviderError: naming the kernel.
    """
    seen: dict[str, str] = {}
    for version in (kernel.version for kernel in plan.kernels):
        if not is_version(version):
            raise ProviderError(
                f"kernel {version!r}: its version is no file name on an ESP",
                hint="Versions begin with a digit and have letters, digits and ._+~- in them.",
            )
        other = seen.setdefault(folded(PurePosixPath(version)), version)
        if other != version:
            raise ProviderError(
                f"kernels {other} and {version}: an ESP cannot hold both, as it does not tell upper "
                "from lower case",
                hint="Remove one of the two packages.",
            )


@dataclass(frozen=True)
class Volume:
    """What the first sector of a FAT file system says (Microsoft's FAT specification, section 3)."""

    kind: str
    """``FAT12``, ``FAT16`` or ``FAT32``."""
    dirty: bool
    """Whether it was not unmounted, as Linux and fsck.fat(8) mark it; so is one that is mounted now."""

    @classmethod
    def of(cls, sector: bytes) -> "Volume | None":
        """Read it; ``None`` where it is of another file system.

        :param sector: the first 512 bytes.
        """
        if len(sector) < SECTOR or sector[SECTOR - 2 : SECTOR] != b"\x55\xaa":
            return None
        if sector[_SIZE_16 : _SIZE_16 + 2] == b"\0\0":
            return cls("FAT32", bool(sector[_STATE_32] & _DIRTY))
        kind = sector[_KIND_16 : _KIND_16 + 5].decode("ascii", "replace")
        return cls(kind if kind == "FAT12" else "FAT16", bool(sector[_STATE_16] & _DIRTY))
