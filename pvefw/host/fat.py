"""Names on FAT, the file system of EFI system partitions: what can be one, and which are the same."""

import re
from pathlib import PurePosixPath

from pvefw.core.errors import ProviderError
from pvefw.core.model import BootPlan

_VERSION = re.compile(r"[0-9][0-9A-Za-z._+~-]{0,199}(?<![.~])")


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
