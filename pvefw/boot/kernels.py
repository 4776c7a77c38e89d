"""Which kernels there are, and which of them every ESP has to offer."""

import os
import re
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.boot import versions
from pvefw.boot.packages import KernelPackages
from pvefw.core.errors import NotFound
from pvefw.core.model import Kernel
from pvefw.host.fat import is_version
from pvefw.store import files
from pvefw.store.paths import Paths

_LEFTOVER = re.compile(
    r".*\.(?:dpkg-[a-z]+|bak|orig|old\d*|(?:un)?signed|sig|asc|hmac|sha\d+|efi|map|config)"
)
"""What packages, ``make install`` and signing tools keep beside a kernel."""
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
        return [kernel.version for kernel in self.complete]

    def find(self, version: str) -> Kernel:
        """One kernel.

        :raises NotFound: it is not installed, or not completely.
        """
        for kernel in self.complete:
            if kernel.version == version:
                return kernel
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
    candidates = _candidates(paths.kernels)
    for version in sorted(candidates, key=versions.key, reverse=True):
        kernel = Kernel(
            version, paths.kernels / f"vmlinuz-{version}", paths.kernels / f"initrd.img-{version}"
        )
        missing = _missing(kernel, paths.modules / version)
        if missing and _is_beside(kernel, candidates, paths.modules / version):
            continue
        if missing:
            incomplete[version] = missing
        else:
            complete.append(kernel)
    return Installed(complete, incomplete)


def _candidates(directory: Path) -> set[str]:
    try:
        names = [path.name for path in directory.iterdir()]
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


def _is_beside(kernel: Kernel, candidates: Collection[str], modules: Path) -> bool:
    """Whether it is no kernel's package that is incomplete, but a copy that somebody has kept under a
    longer name, or a link to another kernel. No kernel of its own has no modules.
    """
    if modules.is_dir():
        return False
    if kernel.vmlinuz.is_symlink():
        return True
    marks = "._~" if kernel.initrd.exists() else "._~-"
    return any(
        kernel.version.startswith(other) and kernel.version[len(other)] in marks
        for other in candidates
        if len(other) < len(kernel.version)
    )


def _missing(kernel: Kernel, modules: Path) -> str:
    """What keeps it from being offered; empty for nothing."""
    for path in (kernel.vmlinuz, kernel.initrd):
        try:
            status = path.stat()
        except OSError:  # its package may be on its way out just now
            return f"there is no {path}"
        if not stat.S_ISREG(status.st_mode):
            return f"{path} is not a file"
        if not status.st_size:
            return f"{path} is empty"
    return "" if modules.is_dir() else f"there is no {modules}"


def running() -> str:
    """The version of the kernel that runs."""
    return os.uname().release


def automatic(
    available: Sequence[str],
    current: str,
    installing: str = "",
    packages: KernelPackages | None = None,
) -> list[str]:
    """The kernels that are kept without being asked for, latest first.

    They are the running one, the one that is being installed, the two latest, and the latest of the
    second-to-last series. Where Proxmox VE's kernels are, others count only while they run.

    :param available: the versions of complete kernels.
    :param current: the running one, which may be gone.
    :param installing: the one whose package is being installed, or empty.
    :param packages: what dpkg has installed; series are those of its meta packages, where there are any.
    """
    packages = packages or KernelPackages()
    ordered = sorted(available, key=versions.key, reverse=True)
    counted = [version for version in ordered if packages.are_proxmox(version)] or ordered
    wanted = {current, *counted[:_KEPT_LATEST]} | ({installing} & set(counted))
    latest: dict[str, str] = {}
    for version in counted:
        latest.setdefault(versions.series(version), version)
    followed = [series for series in packages.series if series in latest] or list(latest)
    wanted |= {latest[series] for series in followed[1:2]}
    return [version for version in ordered if version in wanted]


def choose(
    available: Installed,
    current: str,
    chosen: Collection[str],
    installing: str,
    packages: KernelPackages | None = None,
) -> list[Kernel]:
    """The kernels that every ESP has to offer, latest first.

    :param chosen: manually selected and pinned ones.
    :raises NotFound: there is no complete kernel.
    """
    wanted = {*automatic(available.versions, current, installing, packages), *chosen}
    kernels = [kernel for kernel in available.complete if kernel.version in wanted]
    if not kernels:
        why = "; ".join(f"{version}: {reason}" for version, reason in available.incomplete.items())
        raise NotFound(
            f"kernels: there is no complete kernel in /boot{f' ({why})' if why else ''}",
            hint="Install a kernel package; it needs an initrd and modules.",
        )
    return kernels
