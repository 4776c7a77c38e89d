"""Which packages dpkg has installed, as far as kernels are concerned."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from pvefw.boot import versions
from pvefw.core.errors import PvefwError
from pvefw.store import files
from pvefw.store.paths import Paths

_STATUS = "var/lib/dpkg/status"
_STANZA = re.compile(
    r"^Package: (?P<name>(?:proxmox|pve)-kernel-\S+)\n(?:(?!^$).*\n)*?Status: \S+ ok installed$",
    re.MULTILINE,
)
_META = re.compile(r"(?:proxmox|pve)-kernel-(?P<series>[0-9]+\.[0-9]+)")


@dataclass(frozen=True)
class KernelPackages:
    """Proxmox VE's kernel packages that are installed."""

    names: Collection[str] = frozenset()

    def are_proxmox(self, version: str) -> bool:
        """Whether a kernel is one of Proxmox VE's: by its name, or by the package that it is from."""
        packages = (f"{stem}-kernel-{version}" for stem in ("proxmox", "pve"))
        return version.endswith("-pve") or any(
            {package, f"{package}-signed"} & set(self.names) for package in packages
        )

    @property
    def series(self) -> list[str]:
        """Those that the installed meta packages follow (``proxmox-kernel-6.8``), the latest first."""
        series = {match["series"] for name in self.names if (match := _META.fullmatch(name))}
        return sorted(series, key=versions.key, reverse=True)


def installed(paths: Paths) -> KernelPackages:
    """What dpkg's database says, deb-status; nothing where it is not there, or cannot be read."""
    try:
        data = files.read_if_exists(paths.below(_STATUS)) or b""
    except PvefwError:
        return KernelPackages()
    text = data.decode(errors="replace")
    return KernelPackages(frozenset(match["name"] for match in _STANZA.finditer(text)))
