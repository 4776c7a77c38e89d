"""Which kernels there are, and which of them every ESP has to offer."""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.boot import versions
from pvefw.core.errors import ConfigError, NotFound, StoreError
from pvefw.core.model import Kernel
from pvefw.host.fat import is_version
from pvefw.store import files
from pvefw.store.paths import Paths

_LEFTOVER = re.compile(r".*\.(?:dpkg-[a-z]+|bak|old\d*)")
"""What packages and ``make install`` keep beside a kernel; grub-mkconfig passes over it, too."""
_KEPT_LATEST = 2


@dataclass(frozen=True)
class Installed:
    """The kernels of this host."""

    complete: Sequence[Kernel]
    """Latest first."""
    incomplete: dict[str, str]
    """Version to what is missing."""

    @property
    def versions(self) -> list[str]:
        return [one.version for one in self.complete]

    def find(self, version: str) -> Kernel:
        """One kernel.

        :raises NotFound: it is not installed, or not completely.
        """
        for one in self.complete:
            if one.version == version:
                return one
        if version in self.incomplete:
            raise NotFound(
                f"kernel {version}: it is not complete: {self.incomplete[version]}",
                hint=f"Reinstall its package, or run: update-initramfs -c -k {version}",
            )
        raise NotFound(
            f"kernel {version}: it is not installed",
            hint=f"Installed: {', '.join(self.versions) or 'none'}.",
        )


def installed(paths: Paths) -> Installed:
    """The kernels below ``/boot`` that have an initrd, and modules in ``/lib/modules``.

    :raises StoreError: the directories cannot be read.
    """
    complete, incomplete = [], {}
    for version in sorted(_candidates(paths.kernels), key=versions.key, reverse=True):
        kernel = Kernel(
            version, paths.kernels / f"vmlinuz-{version}", paths.kernels / f"initrd.img-{version}"
        )
        missing = _missing(kernel, paths.modules / version)
        if missing:
            incomplete[version] = f"there is no {missing}"
        else:
            complete.append(kernel)
    return Installed(complete, incomplete)


def _candidates(directory: Path) -> set[str]:
    try:
        names = [one.name for one in directory.iterdir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise files.failed("list", directory, error) from error
    return {
        version
        for name in names
        if name.startswith("vmlinuz-")
        and is_version(version := name.removeprefix("vmlinuz-"))
        and not _LEFTOVER.fullmatch(version)
    }


def _missing(kernel: Kernel, modules: Path) -> Path | None:
    for path in (kernel.vmlinuz, kernel.initrd):
        if not path.is_file() or not path.stat().st_size:
            return path
    return None if modules.is_dir() else modules


def running() -> str:
    """The version of the kernel that runs."""
    return os.uname().release


def automatic(available: Sequence[str], current: str, installing: str = "") -> list[str]:
    """The kernels that are kept without being asked for, latest first.

    They are the running one, the one that is being installed, the two latest, and the latest of the
    second-to-last series.

    :param available: the versions of complete kernels.
    :param current: the running one, which may be gone.
    :param installing: the one whose package is being installed, or empty.
    """
    ordered = sorted(available, key=versions.key, reverse=True)
    wanted = {current, installing, *ordered[:_KEPT_LATEST]}
    all_series = list(dict.fromkeys(map(versions.series, ordered)))
    if len(all_series) > 1:
        wanted.add(next(one for one in ordered if versions.series(one) == all_series[1]))
    return [one for one in ordered if one in wanted]


def choose(
    found: Installed, current: str, chosen: Collection[str], installing: str
) -> list[Kernel]:
    """The kernels that every ESP has to offer, latest first.

    :param chosen: manually selected and pinned ones.
    :raises NotFound: there is no complete kernel.
    """
    wanted = {*automatic(found.versions, current, installing), *chosen}
    kernels = [one for one in found.complete if one.version in wanted]
    if not kernels:
        why = "; ".join(f"{version}: {what}" for version, what in found.incomplete.items())
        raise NotFound(
            f"kernels: there is no complete kernel in /boot{f' ({why})' if why else ''}",
            hint="Install a kernel package; it needs an initrd and modules.",
        )
    return kernels


# --- the command line -----------------------------------------------------------------------------


def cmdline(paths: Paths) -> str:
    """The kernel's command line: that of ``/etc/kernel/cmdline``, else the one that is running.

    :raises ConfigError: it is not one line with ``root=``, or it is that of a rescue system.
    """
    from pvefw.store import kernel_files

    text = kernel_files.value(paths.cmdline)
    if text is not None:
        return check_cmdline(text, str(paths.cmdline))
    if not _runs_from(paths.root):
        raise ConfigError(
            f"{paths.cmdline}: no command line is set, and the one that is running is of another system",
            hint="Set the one of this host: pvefw boot cmdline set 'root=…'",
        )
    return check_cmdline(_running_cmdline(), "/proc/cmdline")


def _runs_from(root: Path) -> bool:
    """Whether the running kernel was started with this root: not so below ``--root``, nor in a chroot.

    Where process 1 may not be looked at, that cannot be known, and is not held against anybody.
    """
    if root != Path("/"):
        return False
    try:
        return Path("/proc/1/root").samefile(root)
    except OSError:
        return True


def _running_cmdline() -> str:
    """The running command line, without what boot loaders put into it."""
    try:
        text = Path("/proc/cmdline").read_text()
    except OSError as error:
        raise StoreError(f"/proc/cmdline: could not read the file: {error.strerror}") from error
    return " ".join(
        word for word in text.split() if not word.startswith(("BOOT_IMAGE=", "initrd="))
    )


def check_cmdline(text: str, where: str) -> str:
    """A command line, if a kernel could start with it.

    :raises ConfigError: it is not one line with ``root=``.
    """
    line = text.strip()
    if not line.isprintable():
        raise ConfigError(
            f"{where}: the kernel's command line must be one line of printable text",
            hint="Set it with: pvefw boot cmdline set 'root=…'",
        )
    if not any(word.startswith("root=") and word != "root=" for word in line.split()):
        raise ConfigError(
            f"{where}: the kernel's command line has no root=: '{line}'",
            hint="Set it with: pvefw boot cmdline set 'root=…'",
        )
    return line
