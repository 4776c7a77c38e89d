"""What has to change on an ESP: the tree that its loader wants, against what is there."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pvefw.boot.esp_files import EspFiles, Listing, shown
from pvefw.boot.manifest import key, keys
from pvefw.boot.records import EspRecord, Identity, Origins
from pvefw.core.errors import PluginFailed
from pvefw.core.model import BootTree
from pvefw.host.durable import unfinished
from pvefw.host.fat import folded


@dataclass(frozen=True)
class Difference:
    """What is to be done, and why."""

    copies: Mapping[PurePosixPath, Path] = field(default_factory=dict)
    texts: Mapping[PurePosixPath, bytes] = field(default_factory=dict)
    prune: Sequence[Sequence[PurePosixPath]] = ()
    """What is no longer wanted, one list for each pattern that has something, in their order."""
    empty: Sequence[PurePosixPath] = ()
    """Folders that are, or will be, empty."""
    unfinished: Sequence[PurePosixPath] = ()
    reasons: Mapping[PurePosixPath, str] = field(default_factory=dict)
    """Why a file is to be written: ``is missing``, ``differs``."""
    origins: Origins = field(default_factory=dict)
    """Of the copies that are already right: target to the identity of what it equals."""

    def __bool__(self) -> bool:
        return bool(self.copies or self.texts or self.prune or self.empty or self.unfinished)

    def lines(self) -> list[str]:
        """The difference for people, one line for each file."""
        lines = [
            f"{shown(target)} {self.reasons[target]}" for target in (*self.copies, *self.texts)
        ]
        lines += [f"{shown(target)} is not needed" for group in self.prune for target in group]
        lines += [
            f"{shown(target)} is left from an interrupted refresh" for target in self.unfinished
        ]
        lines += [f"{shown(folder)} is an empty folder" for folder in self.empty]
        return lines


def merged(trees: Mapping[str, BootTree]) -> BootTree:
    """The trees of all loaders of an ESP as one.

    :param trees: loader to its tree.
    :raises PluginFailed: a path leads out of the ESP, or two files are wanted in one place.
    """
    copies: dict[PurePosixPath, Path] = {}
    texts: dict[PurePosixPath, bytes] = {}
    owner: dict[str, tuple[str, PurePosixPath]] = {}
    for name, tree in trees.items():
        for target in (*tree.copies, *tree.texts):
            _check(name, target)
            other, first = owner.setdefault(folded(target), (name, target))
            if first != target and other == name:
                raise PluginFailed(
                    f"{name} wants both {shown(first)} and {shown(target)}, which are one file on an ESP",
                    plugin=name,
                    hint="Two kernels whose versions differ in case only? Remove one of them.",
                )
            if other != name:
                raise PluginFailed(
                    f"{name} and {other} both want {shown(target)}",
                    plugin=name,
                    hint="Two boot loaders cannot share this ESP: format it, and init it with one.",
                )
        copies |= tree.copies
        texts |= tree.texts
    return BootTree(
        copies,
        texts,
        [pattern for tree in trees.values() for pattern in tree.owned],
        [warning for tree in trees.values() for warning in tree.warnings],
    )


def _check(name: str, target: PurePosixPath) -> None:
    if target.is_absolute() or not target.name or ".." in target.parts:
        raise PluginFailed(
            f"{name}: boot_render wants a file outside the ESP: {shown(target)}", plugin=name
        )


def compare(
    files: EspFiles, listing: Listing, tree: BootTree, record: EspRecord, believed: Origins
) -> Difference:
    """What has to change.

    :param record: says which of the files are ours.
    :param believed: what files on the ESP are known to equal, so that they need not be read, by target.
    :raises OSError: something on the ESP cannot be read.
    :raises StoreError: something on the host cannot be read.
    """
    reasons, origins = compare_copies(files, listing, tree.copies, believed)
    for target, data in tree.texts.items():
        size = listing.size(target)
        if size is None:
            reasons[target] = "is missing"
        elif size != len(data) or files.read(target) != data:
            reasons[target] = "differs"
    staged = keys(map(unfinished, (*tree.copies, *tree.texts)))
    left = [*record.leftovers(listing)]
    left += [
        target for target in listing.unfinished() if key(target) in staged and target not in left
    ]
    ours = {*record.manifest, *keys((*tree.copies, *tree.texts))}
    prune = _unwanted(listing, tree, ours, left)
    return Difference(
        {target: source for target, source in tree.copies.items() if target in reasons},
        {target: data for target, data in tree.texts.items() if target in reasons},
        prune,
        _empty(listing, tree, ours, [*left, *(target for group in prune for target in group)]),
        left,
        reasons,
        origins,
    )


def compare_copies(
    files: EspFiles, listing: Listing, copies: Mapping[PurePosixPath, Path], believed: Origins
) -> tuple[dict[PurePosixPath, str], dict[str, tuple[int, ...]]]:
    """Why copies are to be written, and the origins of those that are right.

    :raises OSError: something on the ESP cannot be read.
    :raises StoreError: something on the host cannot be read.
    """
    reasons: dict[PurePosixPath, str] = {}
    origins: dict[str, tuple[int, ...]] = {}
    for target, source in copies.items():
        size, identity = listing.size(target), Identity.of(source)
        settled = identity.settled  # before it is read
        known = believed.get(str(target)) == identity
        if size is None:
            reasons[target] = "is missing"
        elif size != identity.size:
            reasons[target] = "differs in size"
        elif not known and not files.equals(target, source):
            reasons[target] = "differs"
        elif settled:
            origins[str(target)] = identity
    return reasons, origins


def _unwanted(
    listing: Listing, tree: BootTree, ours: Collection[str], left: Sequence[PurePosixPath]
) -> list[list[PurePosixPath]]:
    """What is ours and not wanted any more, pattern after pattern.

    :param left: what goes before all of it.
    """
    taken = {folded(target) for target in (*tree.copies, *tree.texts, *left)}
    groups = []
    for pattern in tree.owned:
        group = [
            target
            for target in listing.matching(pattern)
            if folded(target) not in taken and key(target) in ours
        ]
        taken |= {folded(target) for target in group}
        if group:
            groups.append(group)
    return groups


def _empty(
    listing: Listing, tree: BootTree, ours: Collection[str], going: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """The loader's own folders that will have nothing in them, the innermost first.

    Its own are those that match a pattern with a ``*`` and had a file of ours in them:
    ``EFI/proxmox/*`` of ``EFI/proxmox/*/*``.

    :param going: the files that are to be removed.
    """
    needed = {folded(parent) for target in (*tree.copies, *tree.texts) for parent in target.parents}
    gone = {folded(target) for target in going}
    held = {folded(parent) for target in ours for parent in PurePosixPath(target).parents}
    own: dict[str, PurePosixPath] = {}
    for pattern in tree.owned:
        folder = PurePosixPath(pattern).parent
        while "*" in str(folder):
            own |= {
                folded(directory): directory for directory in listing.directories_of(str(folder))
            }
            folder = folder.parent
    directories = []
    for name, directory in sorted(own.items(), reverse=True):
        if name in held - needed and listing.is_empty(directory, gone):
            directories.append(directory)
            gone.add(name)
    return directories
