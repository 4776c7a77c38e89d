"""Before a loader is put on an ESP: whether that would cost something that is not ours."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pvefw.boot import cmdline, esps, records
from pvefw.boot.context import Context
from pvefw.boot.esp_files import Listing, shown
from pvefw.boot.esps import Volume
from pvefw.boot.loaders import Probed
from pvefw.boot.manifest import key
from pvefw.core.errors import PvefwError, UsageError
from pvefw.store import kernel_files

_REPLACED = re.compile(r"efi/boot/(?:boot|grub|fb|mm)[^/]*\.efi|loader/loader\.conf|grub/grub\.cfg")
"""What loaders write that other systems have, too."""
_NOT_CARRIED = ("ro", "rw", "quiet", "splash")
"""Options that no host depends on."""


def check(context: Context, volume: Volume, name: str, *, forced: bool) -> None:
    """Refuse to put a loader where it would replace another system's, or drop options of the host.

    :param forced: whether the administrator wants another system's loader replaced.
    :raises UsageError: it would; nothing was changed.
    """
    record = records.load(context.paths, volume.entry)
    with context.machine.mounted(volume.partition) as mount, volume.reading():
        listing = context.files(mount.path).listing()
        probed = context.loaders.probe(esps.esp(volume, mount.path))
    known = {*probed.states, record.loader} - {""}
    if known and name not in known:
        _check_options(context, volume, name)
    if forced or record.loader or _is_listed(context, volume) or _is_proxmox(probed, listing):
        return
    strange = list(_strange(listing, record.manifest))
    if strange:
        raise UsageError(
            f"{volume.who}: another system's boot loader is on it: {', '.join(map(shown, strange))} "
            "would be replaced",
            hint="Use an ESP of its own; or, if that system need not start any more: --take-over",
        )


def _is_listed(context: Context, volume: Volume) -> bool:
    return volume.entry.upper() in map(str.upper, kernel_files.entries(context.paths.esp_uuids))


def _is_proxmox(probed: Probed, listing: Listing) -> bool:
    """Whether Proxmox VE's own tool has set it up: with a loader that we know, and its folders."""
    own = {"efi/proxmox", "grub"} & set(listing.directories)
    return bool(probed.states) and bool(own)


def _strange(listing: Listing, ours: Sequence[str]) -> Iterator[PurePosixPath]:
    for folded_name, (name, _) in sorted(listing.files.items()):
        if _REPLACED.fullmatch(folded_name) and key(name) not in ours:
            yield name


def _check_options(context: Context, volume: Volume, name: str) -> None:
    """Refuse to go from one loader to another where options of the running kernel would be lost.

    :raises UsageError: and which.
    """
    if not cmdline.runs_from(context.paths.root):
        return
    try:
        wanted, now = cmdline.wanted(context.paths), cmdline.running()
    except PvefwError:
        return  # the refresh says so
    words = cmdline.words(wanted.text) if wanted.written else []
    lost = [
        word
        for word in now
        if word not in words and word not in _NOT_CARRIED and not cmdline.is_rescue(word)
    ]
    if lost:
        every = " ".join([*words, *lost])
        raise UsageError(
            f"{volume.who}: with {name}, options of the running kernel would be lost: {' '.join(lost)}",
            hint=f"Write down all that is to stay: pvefw boot cmdline set {shlex.quote(every)}",
        )
