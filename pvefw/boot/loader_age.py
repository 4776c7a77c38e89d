"""The loaders' own files age: what of them on an ESP is not what this host's packages have now.

They are compared by content. Replacing them is :mod:`pvefw.boot.loader_files`' task.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pvefw.boot import firmware, signatures
from pvefw.boot.context import Context
from pvefw.boot.difference import Difference, compare_copies
from pvefw.boot.esp_files import EspFiles, Listing, shown
from pvefw.boot.loaders import Probed
from pvefw.boot.records import Origins
from pvefw.core.model import Esp


@dataclass(frozen=True)
class Aged:
    """What of the loaders on one ESP is not what this host's packages have."""

    loaders: Mapping[str, Difference] = field(default_factory=dict)
    """Loader to its files that are to be replaced."""
    origins: Origins = field(default_factory=dict)
    """Of the files that are right."""
    refused: Sequence[str] = ()
    """What is not replaced, as Secure Boot would refuse it, one sentence each."""
    targets: Collection[PurePosixPath] = ()
    """All that the loaders look after."""

    def lines(self) -> list[str]:
        """For people, one line for each loader."""
        lines = []
        for name, change in self.loaders.items():
            first, *others = change.copies
            more = f" and {len(others)} more" if others else ""
            lines.append(
                f"{name} differs from this host's packages: {shown(first)}{more}: pvefw boot refresh"
            )
        return [*lines, *self.refused]


def aged(
    context: Context, esp: Esp, probed: Probed, files: EspFiles, listing: Listing, believed: Origins
) -> Aged:
    """Compare the loaders that were found with the host's packages.

    :param believed: what files on the ESP are known to equal, so that they need not be read.
    :raises OSError: something cannot be read.
    :raises PvefwError: a loader cannot say what it is made of.
    """
    loaders: dict[str, Difference] = {}
    origins: dict[str, tuple[int, ...]] = {}
    refused: list[str] = []
    targets: set[PurePosixPath] = set()
    for name in probed.states:
        loader = context.loaders.get(name)
        if "boot_files" not in loader.implemented or name in context.unfit:
            continue
        copies = dict(loader.hooks.boot_files(esp=esp))
        targets |= copies.keys()
        reasons, same = compare_copies(files, listing, copies, believed)
        origins |= same
        changed = {target: copies[target] for target in reasons}
        problem = _refused(context, esp, changed)
        if problem:
            refused.append(
                f"{name} is left as it is: Secure Boot would not start the new one: {problem}"
            )
        elif reasons:
            loaders[name] = Difference(changed, reasons=reasons)
    return Aged(loaders, origins, refused, targets)


def _refused(context: Context, esp: Esp, new: Mapping[PurePosixPath, Path]) -> str:
    """Why Secure Boot would not start these images, in the place of others that it starts."""
    images = {target: path for target, path in new.items() if target.suffix.lower() == ".efi"}
    if not images or not firmware.secure_boot(context.paths):
        return ""
    there = {
        image: esp.mountpoint / image for image in images if (esp.mountpoint / image).is_file()
    }
    old = {**signatures.loaders(esp.mountpoint), **there}
    before = signatures.refusals(context.paths, old, there)
    after = signatures.refusals(context.paths, {**old, **images}, there)
    worse = {images[image]: str(why) for image, why in after.items() if image not in before}
    return "; ".join(f"{path}: {why}" for path, why in worse.items())
