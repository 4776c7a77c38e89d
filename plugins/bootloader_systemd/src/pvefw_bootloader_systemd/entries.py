"""Boot Loader Specification, type 1: one text file per kernel (``loader/entries/proxmox-VERSION.conf``).

Names and contents are those of Proxmox VE, byte by byte: on an ESP that is taken over they stay.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, Kernel, ProviderError, check_versions

ENTRIES = PurePosixPath("loader/entries")
KERNELS = PurePosixPath("EFI/proxmox")
OWNED = (
    "loader/entries/proxmox-[0-9]*.conf",
    "EFI/proxmox/*/vmlinuz-*",
    "EFI/proxmox/*/initrd.img-*",
)
"""An entry whose kernel is missing is not offered, one whose initrd is missing is: hence the order."""

_FOUND_BY_ITSELF = {
    "auto-windows": "EFI/Microsoft/Boot/bootmgfw.efi",
    "auto-osx": "System/Library/CoreServices/boot.efi",
    "auto-efi-shell": "shellx64.efi",
}
_COUNTER = re.compile(r"\+(?P<left>\d+)(-\d+)?$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it lies on an ESP."""

    path: Path
    id: str
    """The file's name without its boot counter."""
    tries_left: int | None
    """Of its boot counter; ``None`` where it has none."""
    version: str
    files: tuple[PurePosixPath, ...]
    """Kernel and initrds, relative to the ESP."""

    def is_complete(self, root: Path) -> bool:
        """Whether it names a version, a kernel and an initrd, and these are there."""
        return (
            bool(self.version)
            and len(self.files) > 1
            and all((root / file).is_file() for file in self.files)
        )


def entry_stem(version: str, mark: str = "-") -> str:
    """The name of a version's entry, without its ending.

    The loader would take a version that ends like a boot counter (``6.9.0+3``) for one.

    :param mark: what stands between ``proxmox`` and the version.
    """
    guard = "_" if _COUNTER.search(version) else ""
    return f"proxmox{mark}{version}{guard}"


def entry_id(version: str) -> str:
    """The id of a version's entry, by which the loader knows it: its file's name."""
    return f"{entry_stem(version)}.conf"


def targets(kernel: Kernel) -> dict[PurePosixPath, Path]:
    """Where kernel and initrd lie on the ESP, and where they come from."""
    folder = KERNELS / kernel.version
    return {
        folder / f"vmlinuz-{kernel.version}": kernel.vmlinuz,
        folder / f"initrd.img-{kernel.version}": kernel.initrd,
    }


def render(plan: BootPlan, kernel: Kernel, *more: str) -> bytes:
    """The text of one entry.

    :param more: further lines.
    """
    linux, initrd = targets(kernel)
    lines = [
        f"title    {plan.title}",
        f"version  {kernel.version}",
        f"options   {plan.cmdline}",
        f"linux    /{linux}",
        f"initrd   /{initrd}",
        *more,
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def check(plan: BootPlan) -> None:
    """Refuse what the format cannot hold.

    :raises ProviderError: and why.
    """
    check_versions(plan)
    for key, text in (("command line", plan.cmdline), ("title", plan.title)):
        if _UNPRINTABLE.search(text):
            raise ProviderError(
                f"the {key} {text!r}: an entry cannot hold it: it must be one line",
                hint="Write it as one line, in /etc/kernel/cmdline.",
            )


def read(root: Path) -> Iterator[Entry]:
    """The entries that are ours, in no order; nonsense in them counts as nothing.

    :param root: where the ESP is mounted.
    """
    for path in (root / ENTRIES).glob("proxmox[-_]*.conf"):
        counter = _COUNTER.search(path.stem)
        fields = read_fields(path)
        linux = fields.get("linux", [])[-1:]
        yield Entry(
            path,
            id=_COUNTER.sub("", path.stem) + ".conf",
            tries_left=int(counter["left"]) if counter else None,
            version=" ".join(fields.get("version", [])[-1:]),
            files=tuple(_within_esp(file) for file in [*linux, *fields.get("initrd", [])] if linux),
        )


def all_ids(root: Path) -> Iterator[str]:
    """The ids of all that the loader offers: entries, unified kernels, and what it finds by itself.

    Source: systemd-boot(7).

    :param root: where the ESP is mounted.
    """
    for pattern in (f"{ENTRIES}/*.conf", "EFI/Linux/*.efi"):
        for path in root.glob(pattern):
            yield path.name
            if plain := _uncounted(path.name):
                yield plain
    for name, file in _FOUND_BY_ITSELF.items():
        if (root / file).is_file():
            yield name
    yield "auto-reboot-to-firmware-setup"


def _uncounted(name: str) -> str:
    """The id since release 254 of a file with a boot counter: without it. Empty where it has none."""
    stem, dot, ending = name.rpartition(".")
    plain = _COUNTER.sub("", stem)
    return f"{plain}{dot}{ending}" if plain != stem else ""


def spent_ids(root: Path) -> set[str]:
    """The ids, in lower case, of entries and unified kernels whose boots are used up: none is left."""
    spent: set[str] = set()
    left: set[str] = set()
    for pattern in (f"{ENTRIES}/*.conf", "EFI/Linux/*.efi"):
        for path in root.glob(pattern):
            counter = _COUNTER.search(path.stem)
            ids = spent if counter and int(counter["left"]) == 0 else left
            ids |= {name.lower() for name in (path.name, _uncounted(path.name)) if name}
    return spent - left


def plain_ids(root: Path) -> set[str]:
    """The ids of entries and unified kernels, without boot counters."""
    return {
        _uncounted(path.name) or path.name
        for pattern in (f"{ENTRIES}/*.conf", "EFI/Linux/*.efi")
        for path in root.glob(pattern)
    }


def read_fields(path: Path) -> dict[str, list[str]]:
    """Key and values of a file in the loader's format: a word, space, a value; ``#`` begins a comment.

    A file that is not there has none.
    """
    fields: dict[str, list[str]] = {}
    if not path.is_file():
        return fields
    for line in path.read_bytes().decode(errors="replace").splitlines():
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key and not key.startswith("#"):
            fields.setdefault(key, []).append(value.strip().strip('"'))
    return fields


def _within_esp(path: str) -> PurePosixPath:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return PurePosixPath(*(piece for piece in parts if piece not in {"/", "//", ".."}))
