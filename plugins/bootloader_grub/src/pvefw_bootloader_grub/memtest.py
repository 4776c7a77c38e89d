"""Entries for Debian's memtest86+, where it is installed: a test of the memory needs no system."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

_FOR_UEFI, _FOR_BIOS = TARGETS = (
    PurePosixPath("memtest86+x64.efi"),
    PurePosixPath("memtest86+x64.bin"),
)
"""On the ESP; in the package memtest86+, from version 6 on, they are below ``/boot``."""
_STARTS = {_FOR_UEFI: ("=", "chainloader"), _FOR_BIOS: ("!=", "linux")}
_ENTRY = """\
if [ "$grub_platform" {relation} efi ]; then
  menuentry 'Memory test (memtest86+)' --id memtest86+ {{
    {verb} /{target}
  }}
fi
"""


def menu(root: Path, settings: Mapping[str, str]) -> tuple[dict[PurePosixPath, Path], list[str]]:
    """What is to be copied to the ESP, and what of ``grub.cfg`` offers it; nothing without the package.

    :param root: below which the host's own files lie.
    :param settings: those of ``/etc/default/grub``: ``GRUB_DISABLE_MEMTEST=true`` leaves it out.
    """
    if settings.get("GRUB_DISABLE_MEMTEST") == "true":
        return {}, []
    copies = {target: source for target in TARGETS if (source := root / "boot" / target).is_file()}
    entries = []
    for target in copies:
        relation, verb = _STARTS[target]
        entries.append(_ENTRY.format(relation=relation, verb=verb, target=target))
    return copies, entries
