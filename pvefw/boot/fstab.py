"""Where ``/etc/fstab`` mounts a partition, fstab(5)."""

import re
from collections.abc import Iterator
from pathlib import Path

from pvefw.boot.disks import Device
from pvefw.core.errors import PvefwError
from pvefw.store import files
from pvefw.store.paths import Paths

_OCTAL = re.compile(r"\\([0-7]{3})")


def mounts_of(paths: Paths, device: Device) -> list[str]:
    """The mount points that the file gives this partition; none where it cannot be read."""
    try:
        data = files.read_if_exists(paths.below("etc/fstab")) or b""
    except PvefwError:
        return []
    names = set(_names(device))
    return [
        where
        for source, where in _lines(data.decode(errors="replace"))
        if source in names or (source.startswith("/dev/") and Path(source).resolve() == device.path)
    ]


def _names(device: Device) -> Iterator[str]:
    yield str(device.path)
    for tag, value in (
        ("UUID", device.uuid),
        ("PARTUUID", device.partition_uuid),
        ("LABEL", device.label),
        ("PARTLABEL", device.partition_label),
    ):
        for spelling in {value, value.upper(), value.lower()} - {""}:
            yield from (
                f"{tag}={spelling}",
                f'{tag}="{spelling}"',
                f"/dev/disk/by-{tag.lower()}/{spelling}",
            )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        fields = [
            _OCTAL.sub(lambda match: chr(int(match[1], 8)), word)
            for word in line.partition("#")[0].split()
        ]
        if len(fields) > 1:
            yield fields[0], fields[1]
