"""What has to go from an ESP before a change, so that the change fits on it."""

from dataclasses import replace

from pvefw.boot import sync
from pvefw.boot.context import Context
from pvefw.boot.difference import Difference, compare, merged
from pvefw.boot.esps import Volume
from pvefw.boot.look import Looked
from pvefw.boot.machine import Mounted
from pvefw.boot.manifest import key
from pvefw.core.errors import StoreError
from pvefw.core.model import BootPlan


def make_room(
    context: Context, volume: Volume, mount: Mounted, looked: Looked, plan: BootPlan
) -> Difference | None:
    """What has to be done before the change, so that it fits; ``None`` where it does as it is.

    :raises StoreError: it does not fit in either way; with the numbers.
    """
    files = context.files(mount.path)
    with volume.reading():
        need = sync.need(files, looked.listing, looked.change)
        if need.fits:
            return None
        first = _fewer_kernels(context, mount, looked, plan)
        if first is not None:
            before = sync.need(files, looked.listing, first)
            if before.fits and need.needed <= need.free + _freed(looked, first):
                return first
    raise StoreError(
        f"{volume.who}: it is too small: the refresh needs {need.needed / sync.MIB:.1f} MiB, "
        f"and {need.free / sync.MIB:.1f} MiB of {looked.esp.size / sync.MIB:.1f} MiB are free",
        hint="Nothing was written. " + _what_helps(looked),
    )


def _what_helps(looked: Looked) -> str:
    not_ours = [
        str(name)
        for pattern in looked.tree.owned
        for name in looked.listing.matching(pattern)
        if key(name) not in looked.record.manifest and name not in looked.tree.copies
    ]
    if not_ours:
        return (
            f"Another tool's files are on it ({', '.join(not_ours[:3])}); if they can go: "
            "pvefw boot refresh --take-over"
        )
    return "Keep fewer kernels (pvefw boot kernel list), or use a larger ESP."


def _fewer_kernels(
    context: Context, mount: Mounted, looked: Looked, plan: BootPlan
) -> Difference | None:
    """The change to those kernels only that are on the ESP already, and are right."""
    smaller = _only_what_is_there(looked, plan)
    if smaller is None:
        return None
    trees = {
        name: context.loaders.get(name).hooks.boot_render(esp=looked.esp, plan=smaller)
        for name in looked.probed.states
    }
    files = context.files(mount.path)
    first = compare(files, looked.listing, merged(trees), looked.record, {})
    return replace(first, copies={})


def _freed(looked: Looked, first: Difference) -> int:
    """Bytes of what goes."""
    return sum(
        max(looked.listing.size(target) or 0, 0) for group in first.prune for target in group
    )


def _only_what_is_there(looked: Looked, plan: BootPlan) -> BootPlan | None:
    """The plan with those kernels only that are on the ESP already, and are right."""
    absent = set(looked.change.copies.values())
    there = [kernel for kernel in plan.kernels if not {kernel.vmlinuz, kernel.initrd} & absent]
    if not there or not looked.probed.states:
        return None
    versions = [kernel.version for kernel in there]
    return replace(
        plan,
        kernels=there,
        default=plan.default if plan.default in versions else versions[0],
        next_boot=plan.next_boot if plan.next_boot in versions else None,
    )
