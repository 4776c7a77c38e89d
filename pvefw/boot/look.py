"""One mounted ESP against the plan: what loaders want there, and what is there. Nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from pvefw.boot import esps, fallback, loader_age, signatures
from pvefw.boot.context import Context
from pvefw.boot.difference import Difference, compare, merged
from pvefw.boot.esp_files import Listing, shown
from pvefw.boot.esps import Volume
from pvefw.boot.fallback import Fallback
from pvefw.boot.loaders import Probed
from pvefw.boot.machine import Mounted
from pvefw.boot.manifest import keys
from pvefw.boot.records import EspRecord, Origins
from pvefw.core.errors import NotFound, StoreError
from pvefw.core.model import BootPlan, BootState, BootTree, Esp
from pvefw.host.fat import folded, is_version


@dataclass
class Looked:
    """What was seen."""

    esp: Esp
    probed: Probed
    tree: BootTree
    listing: Listing
    change: Difference
    to_arm: Sequence[str]
    """Loaders that would boot something else than the plan says, and can be told."""
    record: EspRecord
    """With the files that are ours."""
    missing_loader: str = ""
    """What was put on it by ``init`` but is no longer there."""
    refused: Sequence[str] = ()
    """Why Secure Boot will not start its loaders."""
    aged: loader_age.Aged = field(default_factory=loader_age.Aged)
    """The loaders' own files against those of this host's packages."""
    fallback: Fallback = field(default_factory=Fallback)
    """What the firmware starts without an entry of its own."""

    @property
    def is_behind(self) -> bool:
        """Whether a refresh has something to do here."""
        return bool(self.change or self.to_arm or self.aged.loaders or self.fallback.repair)


def look(
    context: Context,
    volume: Volume,
    mount: Mounted,
    plan: BootPlan,
    record: EspRecord,
    believed: Origins,
) -> Looked:
    """Compare a mounted ESP with what its loaders want there.

    :param believed: what its files are known to equal, so that they need not be read.
    :raises PvefwError: no loader is on it, or one of them cannot say what it wants.
    """
    with volume.reading():
        esp = esps.esp(volume, mount.path)
        probed = context.loaders.probe(esp)
        names = _responsible(context, volume, probed, record)
        tree = _wanted(context, names, esp, plan)
        files = context.files(mount.path)
        listing = files.listing()
        _check_folders(volume, listing, tree)
        _check_apart(volume, mount, tree)
        if plan.take_over:
            record = replace(record, manifest=sorted(keys(listing.files)))
        change = compare(files, listing, tree, record, believed)
        refused = signatures.refused_loaders(context.paths, mount.path)
        aged = loader_age.aged(context, esp, probed, files, listing, believed)
        known = {*map(folded, aged.targets)}
        without_entry = fallback.judge(
            files, listing, probed, record.manifest, known, unchanged=bool(believed)
        )
    arm, missing = to_arm(context, probed, plan), "" if probed.states else names[0]
    return Looked(
        esp, probed, tree, listing, change, arm, record, missing, refused, aged, without_entry
    )


def _wanted(context: Context, names: Sequence[str], esp: Esp, plan: BootPlan) -> BootTree:
    trees = {
        name: context.loaders.get(name).hooks.boot_render(esp=esp, plan=plan) for name in names
    }
    return merged(trees)


def _check_folders(volume: Volume, listing: Listing, tree: BootTree) -> None:
    for target in (*tree.copies, *tree.texts):
        if folded(target) in listing.directories:
            raise StoreError(
                f"{volume.who}: {shown(target)} is a folder, and must be a file",
                hint="See what is in it, and remove it.",
            )


def _check_apart(volume: Volume, mount: Mounted, tree: BootTree) -> None:
    """Refuse an ESP that is the host's own ``/boot``: a copy would replace its own source."""
    for target, source in tree.copies.items():
        there = mount.path / target
        if there.exists() and source.exists() and there.samefile(source):
            raise StoreError(
                f"{volume.who}: it is this host's {source.parent}: {shown(PurePosixPath(target))} is "
                f"{source} itself",
                hint="Kernels need a /boot of their own, and are copied from there to ESPs.",
            )


def _responsible(
    context: Context, volume: Volume, probed: Probed, record: EspRecord
) -> Sequence[str]:
    """The loaders whose files are kept on this ESP: all that are on it."""
    if record.loader in probed.failures:
        raise StoreError(
            f"{volume.who}: {probed.failures[record.loader]}",
            hint=f"{record.loader} was put on it, and could not say what is there. Nothing was changed.",
        )
    if probed.states:
        return sorted(probed.states, key=lambda name: (name != record.loader, name))
    if record.loader:
        return [record.loader]
    unused = [*context.loaders.unused.values()]
    reasons = [*probed.failures.values(), *(error.message for error in unused)]
    why = f": {'; '.join(reasons)}" if reasons else ""
    known = ", ".join(context.loaders.bound) or "none"
    new = (
        f"Installed: {known}. Put one there: pvefw boot init {volume.device and volume.device.path}"
    )
    raise NotFound(
        f"{volume.who}: it has no boot loader that an installed plugin knows{why}",
        hint=next((error.hint for error in unused), new),
    )


def to_arm(context: Context, probed: Probed, plan: BootPlan) -> list[str]:
    """The loaders that have to be told which kernel boots once, or that nothing may overrule the plan."""
    return [
        name
        for name, state in probed.states.items()
        if _differs(state, plan) and "boot_arm" in context.loaders.get(name).implemented
    ]


def _differs(state: BootState, plan: BootPlan) -> bool:
    overruled = bool(state.overruled) and (plan.pinned or plan.take_over)
    if of_others(state) and plan.next_boot is None and not plan.take_over:
        return overruled
    return overruled or state.next_boot != plan.next_boot


def of_others(state: BootState) -> bool:
    """Whether what boots once is no kernel of ours: somebody has chosen that elsewhere, and it stays."""
    return bool(state.next_boot) and not is_version((state.next_boot or "").partition(" ")[0])
