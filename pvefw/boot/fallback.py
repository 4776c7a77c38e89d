"""``EFI/BOOT``: what the firmware starts from an ESP that none of its own entries leads to.

There lie copies of the ESP's own loader: of ``EFI/systemd/systemd-bootx64.efi``, or of GRUB's images in
``EFI/proxmox``. A copy that cannot start is put back where it is ours, or nothing was left of it; another
system's loader is told, and stays.
"""

import re
from collections.abc import Collection, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pvefw.boot.esp_files import EspFiles, Listing, shown
from pvefw.boot.images import Image
from pvefw.boot.loaders import Probed
from pvefw.boot.manifest import key
from pvefw.core.model import Firmware
from pvefw.host.fat import folded

_OWN = re.compile(
    r"efi/(?:systemd/systemd-boot|proxmox/(?P<image>shim|grub))(?P<processor>[a-z0-9]+)\.efi"
)
_ORDER = ("", "shim", "grub")
_NAMES = (
    (b"LoaderInfo: systemd-boot", "systemd-boot"),
    ("bootmgfw".encode("utf-16-le"), "Windows"),
)
"""What is in images that do not say in their ``.sbat`` what they are."""
_NO_SYSTEM = "grub.peimage"
"""A component that GRUBs of several distributions name behind their own."""
_STRANGE = "is no program for UEFI"


@dataclass(frozen=True)
class Fallback:
    """What is in ``EFI/BOOT`` in the place of an ESP's own loader."""

    broken: MutableMapping[PurePosixPath, str] = field(default_factory=dict)
    """What the firmware cannot start, and what is wrong with it."""
    repair: MutableMapping[PurePosixPath, PurePosixPath] = field(default_factory=dict)
    """Those of them that a refresh puts back, and what they are a copy of."""
    others: MutableMapping[PurePosixPath, str] = field(default_factory=dict)
    """Loaders of other systems, and what they are."""
    ours: MutableSequence[PurePosixPath] = field(default_factory=list)
    """Copies as they should be, and what they are copies of."""

    @property
    def left(self) -> Mapping[PurePosixPath, str]:
        """What is broken, and a refresh does not put back."""
        return {target: why for target, why in self.broken.items() if target not in self.repair}

    def lines(self) -> list[str]:
        """For people, one line for each file."""
        lines = [
            f"{shown(target)} {why}, and the firmware may need it to start this disk: pvefw boot "
            f"{'refresh' if target in self.repair else 'reinit'}"
            for target, why in self.broken.items()
        ]
        return lines + [
            f"{shown(target)} is another system's loader ({what}), which the firmware starts where it "
            "has no entry for this disk; to replace it: pvefw boot reinit"
            for target, what in self.others.items()
        ]


def judge(
    files: EspFiles,
    listing: Listing,
    probed: Probed,
    manifest: Collection[str],
    known: Collection[str],
    *,
    unchanged: bool,
) -> Fallback:
    """Compare ``EFI/BOOT`` with the loader that it is to start.

    :param manifest: the files that are ours.
    :param known: folded names of files that a loader looks after itself.
    :param unchanged: whether nobody has written to the ESP since it was right; then sizes are enough.
    :raises OSError: the ESP cannot be read.
    """
    fallback = Fallback({}, {}, {}, [])
    uefi = any(Firmware.UEFI in state.firmware for state in probed.states.values())
    look = _Look(files, listing, manifest, known, unchanged, fallback)
    for target, own in _copies(listing).items() if uefi else ():
        look.at(target, own)
    return fallback


def _copies(listing: Listing) -> Mapping[PurePosixPath, Sequence[PurePosixPath]]:
    """What should lie in ``EFI/BOOT``, and what it may be a copy of, the likeliest first.

    Shim starts the GRUB beside it.
    """
    images = {
        (match["image"] or "", match["processor"]): path
        for name, (path, _) in sorted(listing.files.items())
        if (match := _OWN.fullmatch(name))
    }
    copies = {}
    for processor in sorted({processor for _, processor in images}):
        there = {
            image: images[image, processor] for image in _ORDER if (image, processor) in images
        }
        copies[_in_boot(listing, f"BOOT{processor.upper()}.EFI")] = [*there.values()]
        if there.keys() >= {"shim", "grub"}:
            copies[_in_boot(listing, f"grub{processor}.efi")] = [there["grub"]]
    return copies


def _in_boot(listing: Listing, name: str) -> PurePosixPath:
    """A file in ``EFI/BOOT``, as its name is written there."""
    target = PurePosixPath("EFI/BOOT", name)
    return listing.files.get(folded(target), (target, 0))[0]


@dataclass(frozen=True)
class _Look:
    files: EspFiles
    listing: Listing
    manifest: Collection[str]
    known: Collection[str]
    unchanged: bool
    fallback: Fallback

    def at(self, target: PurePosixPath, sources: Sequence[PurePosixPath]) -> None:
        """Judge one of the files in ``EFI/BOOT``, and what it should be a copy of."""
        if sources[0] in self.fallback.ours:
            return  # it is started without shim
        copied = next((own for own in sources if self._is_copy(target, own)), None)
        if copied:
            self.fallback.ours.extend((target, copied))
            return
        whole = [own for own in sources if not self._own_is_broken(own)]
        size = self.listing.size(target)
        if what := self._damage(target):
            self.fallback.broken[target] = what
            if whole and (not size or key(target) in self.manifest):
                self.fallback.repair[target] = whole[0]
        elif not whole:
            self._put_back_from(target, sources)
        elif folded(target) not in self.known:
            self._compare(target, whole)

    def _compare(self, target: PurePosixPath, sources: Sequence[PurePosixPath]) -> None:
        """Judge what could start, and is no copy: a spoilt or an older one of ours, or another's."""
        if not self._are_alike(target, sources):
            self.fallback.others[target] = _name(Image(self.files.read(target)))
        elif key(target) in self.manifest:
            self.fallback.broken[target] = f"is not as {shown(sources[0])}"
            self.fallback.repair[target] = sources[0]

    def _is_copy(self, target: PurePosixPath, own: PurePosixPath) -> bool:
        size = self.listing.size(target)
        if not size or size < 0 or size != self.listing.size(own):
            return False
        if self.unchanged and key(target) in self.manifest:
            return True
        return self.files.read(target) == self.files.read(own)

    def _own_is_broken(self, own: PurePosixPath) -> bool:
        """Whether a loader itself cannot start; what no plugin would replace by itself is told."""
        what = self._damage(own)
        if what == _STRANGE:
            return False
        if what and folded(own) not in self.known:
            self.fallback.broken[own] = what
        return bool(what)

    def _put_back_from(self, target: PurePosixPath, sources: Sequence[PurePosixPath]) -> None:
        """The copy is left of a loader: both must be ours."""
        for own in sources:
            if own in self.fallback.broken and {key(own), key(target)} <= {*self.manifest}:
                self.fallback.repair[own] = target

    def _are_alike(self, target: PurePosixPath, sources: Sequence[PurePosixPath]) -> bool:
        """Whether it is the same program, perhaps of another release: they say so in their ``.sbat``."""
        says = Image(self.files.read(target)).generations.keys()
        return bool(says) and any(
            Image(self.files.read(own)).generations.keys() == says for own in sources
        )

    def _damage(self, target: PurePosixPath) -> str:
        """What is wrong with an image; empty where the firmware could start it."""
        size = self.listing.size(target)
        if size is None:
            return "is missing"
        if size <= 0:
            return "is empty" if size == 0 else "is no file"
        length = Image(self.files.read(target)).length
        if length is None:
            return _STRANGE
        return "is cut off" if length > size else ""


def _name(image: Image) -> str:
    """What another loader is, as far as it says."""
    known = next((name for mark, name in _NAMES if mark in image.data), "")
    components = [name for name in image.generations if name != _NO_SYSTEM]
    return known or next(reversed(components), "unknown")
