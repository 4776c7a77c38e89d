"""Which files on an ESP are ours: those that pvefw wrote, or found there exactly as it would write them.

Only these are ever removed. A loader's patterns say which of them it no longer needs; they never make a
file of somebody else's ours, whatever it is called.

A name is in the manifest, durably, before the file takes its place on the ESP.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from pvefw.boot.esp_files import Listing
from pvefw.host.fat import folded

_COUNTER = re.compile(r"\+[0-9]+(?:-[0-9]+)?(?=\.(?:conf|efi)$)")
"""Of an entry's name; the loader itself counts it down (Boot Loader Specification, "Boot counting")."""
Stamps = Mapping[str, tuple[int, ...]]


def key(target: PurePosixPath | str) -> str:
    """What a file is known by: its name as FAT compares it, without its boot counter."""
    return _COUNTER.sub("", folded(PurePosixPath(target)))


def keys(targets: Iterable[PurePosixPath | str]) -> set[str]:
    """The same, of several."""
    return {key(target) for target in targets}


def still_there(known: Collection[str], listing: Listing) -> set[str]:
    """What of a manifest is on the ESP."""
    return keys(name for name, _ in listing.files.values()) & set(known)


def written(before: Stamps, after: Stamps) -> set[str]:
    """The files that somebody wrote between two looks at an ESP."""
    return keys(name for name, stamp in after.items() if before.get(name) != stamp)
