"""The kernel's command line: the one that is written down, else that of the running kernel."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import ConfigError, StoreError
from pvefw.host.kernel_parameters import names_nothing
from pvefw.store import kernel_files, oddities
from pvefw.store.paths import Paths

_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')
_FROM_LOADERS = ("BOOT_IMAGE=", "initrd=")
_RESCUE = re.compile(
    r"single|[sS1]|-[bs]|emergency|rescue|recovery|dis_ucode_ldr"
    r"|(?:rd\.)?systemd\.unit=(?:rescue|emergency|single|runlevel1|initrd-\w+)(?:\.target|\.service)?"
    r"|(?:rd\.)?systemd\.debug[-_]shell(?:=.*)?|systemd\.run(?:_\w+)?=.*"
    r"|rd\.(?:break|emergency|rescue|shell)(?:=.*)?|break(?:=.*)?|fsck\.mode=.*|forcefsck|fastboot"
    r"|(?:rd)?init=(?!/(?:usr/)?(?:sbin/init|lib/systemd/systemd)$).*"
)
"""What somebody types into the loader's menu to get into a system that is in trouble: systemd(1),
dracut.cmdline(7), initramfs-tools(7) and the kernel's own parameters."""
_LONGEST = 2047
"""Bytes. Kernels cut off the rest without a word: ``COMMAND_LINE_SIZE``, which counts a final NUL."""


@dataclass(frozen=True)
class CommandLine:
    """What kernels are started with."""

    text: str
    written: bool = True
    """Whether somebody wrote it down; otherwise it is that of the running kernel."""
    left_out: Sequence[str] = ()
    """Words of the running one that belong to a rescue boot."""


def wanted(paths: Paths) -> CommandLine:
    """The command line of ``/etc/kernel/cmdline``, else the running one without words of a rescue boot.

    :raises ConfigError: it is not one line with ``root=``, or it is that of a rescue system.
    """
    text = kernel_files.value(paths.cmdline)
    if text is not None:
        return CommandLine(check(text, str(paths.cmdline)))
    if not runs_from(paths.root):
        raise ConfigError(
            f"{paths.cmdline}: no command line is set, and the running one belongs to another system",
            hint="Set the one of this host: pvefw boot cmdline set 'root=…'",
        )
    now = running()
    left_out = [word for word in now if is_rescue(word)]
    line = " ".join(word for word in now if word not in left_out)
    return CommandLine(check(line, "/proc/cmdline"), written=False, left_out=left_out)


def _without_loaders_words(text: str, where: str) -> str:
    """Leave out what somebody copied from ``/proc/cmdline``: an ``initrd=`` names a file that the next
    refresh may remove, and the kernel's EFI stub starts nothing without it.
    """
    added = [word for word in words(text) if word.startswith(_FROM_LOADERS)]
    if not added:
        return text
    oddities.report(where, 0, f"{' '.join(added)} is added by boot loaders", "it is left out")
    return " ".join(word for word in words(text) if word not in added)


def runs_from(root: Path) -> bool:
    """Whether the running kernel was started with this root: not so below ``--root``, nor in a chroot.

    Where process 1 may not be looked at, that cannot be known, and counts as nothing wrong.
    """
    if root != Path("/"):
        return False
    try:
        return Path("/proc/1/root").samefile(root)
    except OSError:
        return True


def is_rescue(word: str) -> bool:
    """Whether a word is one that people type in for a single boot, to repair the system."""
    return _RESCUE.fullmatch(word) is not None


def running() -> list[str]:
    """The words of the running command line, without what boot loaders put into it.

    :raises StoreError: it cannot be read.
    """
    return [word for word in words(_running()) if not word.startswith(_FROM_LOADERS)]


def names_its_loader() -> bool:
    """Whether the running command line shows that a boot loader took the kernel from a disk.

    It does not where a hypervisor was given the kernel, nor with newer releases of systemd-boot.

    :raises StoreError: it cannot be read.
    """
    return any(word.startswith(("BOOT_IMAGE=", "initrd=\\")) for word in words(_running()))


def _running() -> str:
    try:
        return Path("/proc/cmdline").read_text()
    except OSError as error:
        raise StoreError(f"/proc/cmdline: could not read the file: {error.strerror}") from error


def words(text: str) -> list[str]:
    """A line at its blanks, as the kernel splits it: not at those within double quotes."""
    return _WORD.findall(text)


def check(text: str, where: str) -> str:
    """A command line, if a kernel could start with it; tabs become blanks, words of loaders go.

    :raises ConfigError: it is not one line with a ``root=`` that names something.
    """
    line = text.strip().replace("\t", " ")
    hint = "Set it with: pvefw boot cmdline set 'root=…'"
    if odd := next((char for char in line if not char.isprintable()), ""):
        at = len(line.partition(odd)[0].encode(errors="surrogateescape")) + 1
        raise ConfigError(
            f"{where}: the kernel's command line must be one line of printable text; "
            f"byte {at} begins {_in_words(odd)}",
            hint=hint,
        )
    if (length := len(line.encode())) > _LONGEST:
        raise ConfigError(
            f"{where}: the kernel's command line has {length} bytes, and kernels read {_LONGEST}",
            hint=f"Make it shorter, and set it with: {hint.partition(': ')[2]}",
        )
    line = _without_loaders_words(line, where)
    roots = [word.removeprefix("root=") for word in words(line) if word.startswith("root=")]
    if not any(roots):
        raise ConfigError(f"{where}: the kernel's command line has no root=: '{line}'", hint=hint)
    nothing = sorted(filter(names_nothing, words(line)), key=lambda word: word[:5] != "root=")
    if nothing:
        kind = "file system" if nothing[0].startswith("root=") else "device"
        raise ConfigError(f"{where}: {nothing[0]} names no {kind}: '{line}'", hint=hint)
    return line


def _in_words(char: str) -> str:
    """A character that cannot be seen: ``U+00A0 (NO-BREAK SPACE)``."""
    if "\udc80" <= char <= "\udcff":
        return f"what is no UTF-8 (0x{ord(char) & 0xFF:02x})"
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X}" + (f" ({name})" if name else "")
