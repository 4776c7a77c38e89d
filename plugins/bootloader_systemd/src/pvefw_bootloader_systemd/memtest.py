"""An entry for Debian's memtest86+, where it is installed: a test of the memory needs no system."""

from pathlib import Path, PurePosixPath

_SOURCE = PurePosixPath("boot/memtest86+x64.efi")
"""Where the package memtest86+ has it, from version 6 on."""
_TARGET = PurePosixPath("EFI/memtest86+/memtest86+x64.efi")
_ENTRY = PurePosixPath("loader/entries/memtest86+x64.conf")
OWNED = (str(_ENTRY), str(_TARGET))
_TEXT = f"""\
title    Memory test (memtest86+)
architecture x64
efi      /{_TARGET}
"""


def files(root: Path) -> tuple[dict[PurePosixPath, Path], dict[PurePosixPath, bytes]]:
    """What is to be copied, and the entry; nothing where it is not installed.

    :param root: below which the host's own files lie.
    """
    source = root / _SOURCE
    if not source.is_file():
        return {}, {}
    return {_TARGET: source}, {_ENTRY: _TEXT.encode()}
