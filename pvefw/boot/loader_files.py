"""The loaders' own files are replaced: an upgrade of their packages has to reach every ESP.

What has aged (:mod:`pvefw.boot.loader_age`) is replaced after the kernels and the configuration. The old
files are kept until the new ones are complete and the loader was probed with them; they are put back
where that fails, and the other ESPs keep theirs.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.boot import firmware, signatures
from pvefw.boot.context import Context
from pvefw.boot.difference import Difference
from pvefw.boot.esp_files import EspFiles, Listing, shown
from pvefw.boot.esps import Volume
from pvefw.boot.look import Looked
from pvefw.boot.manifest import key, keys
from pvefw.boot.sync import Change
from pvefw.core import causes
from pvefw.core.errors import Cancelled, PvefwError, StoreError, Unsupported
from pvefw.core.model import BootPlan, BootState, Task
from pvefw.host.durable import remove_file, replace_file

_LARGEST = 16 << 20
"""Bytes: what is larger is no loader's file, but a kernel or an initrd."""


@contextmanager
def refused_taken_back(context: Context, who: str, esp: Path) -> Iterator[None]:
    """Loaders are installed meanwhile; where Secure Boot would not start one of them, all is as before.

    :raises Unsupported: so it is, and what to do.
    :raises OSError: the ESP cannot be read or written.
    """
    if not firmware.secure_boot(context.paths):
        yield
        return
    old = {target: path.read_bytes() for target, path in signatures.loaders(esp).items()}
    yield
    new = signatures.loaders(esp)
    changed = [target for target, path in new.items() if path.read_bytes() != old.get(target)]
    refused = signatures.refusals(context.paths, new, changed)
    if not refused:
        return
    for target in changed:
        if target in old:
            replace_file(esp / target, old[target])
        else:
            remove_file(esp / target)
    target, first = next(iter(refused.items()))
    raise Unsupported(
        f"{who}: {shown(target)} is not installed: Secure Boot would not start it: {first.why}",
        hint=f"{first.advice[0].upper()}{first.advice[1:]}.",
    )


@contextmanager
def all_or_nothing(files: EspFiles, who: str, task: Task) -> Iterator[None]:
    """A loader is being installed meanwhile; where that fails, what was on the ESP before is back.

    grub-install writes its images in place: on an ESP that is full it leaves one that is cut off.
    """
    before = files.listing()
    change = Change(files, who, task, before.directories)
    old: dict[PurePosixPath, bytes] = {}
    for name, size in before.files.values():
        if 0 <= size <= _LARGEST:
            with suppress(OSError):  # it is damaged: perhaps that is why one installs
                old[name] = files.read(name)
    try:
        yield
    except (PvefwError, OSError, Cancelled):
        try:
            _as_before(files, change, before, old)
        except (PvefwError, OSError) as trouble:
            change.log(f"ERROR: what was there before could not be put back: {causes.of(trouble)}")
        else:
            change.log("what was there before is back")
        raise


def _as_before(
    files: EspFiles, change: Change, before: Listing, old: Mapping[PurePosixPath, bytes]
) -> None:
    there = files.listing()
    for name, (target, _) in there.files.items():
        if name not in before.files:
            files.remove(target)
    for target, data in old.items():
        if there.size(target) == len(data) and files.read(target) == data:
            continue
        _put_in_its_place(files, change, target, data)


def _put_in_its_place(files: EspFiles, change: Change, target: PurePosixPath, data: bytes) -> None:
    try:
        change.replace(target, data)
    except StoreError as error:
        if getattr(error.__cause__, "errno", None) != errno.ENOSPC:
            raise
        files.remove(target)  # what failed is of no use, and its room is needed
        change.replace(target, data)


def repair_fallback(files: EspFiles, change: Change, looked: Looked) -> None:
    """Put back what the firmware starts without an entry of its own, from the loader beside it.

    :raises OSError: the ESP cannot be read.
    :raises StoreError: it cannot be written.
    """
    listing = files.listing()
    for target, own in looked.fallback.repair.items():
        data = files.read(own)
        if listing.size(target) != len(data) or files.read(target) != data:
            change.log(f"{shown(target)} {looked.fallback.broken[target]}: writing it again")
            change.replace(target, data)


@dataclass(frozen=True)
class Renewal:
    """Replaces the files of loaders on one ESP; its kernels and configuration are in place."""

    context: Context
    volume: Volume
    looked: Looked
    plan: BootPlan
    files: EspFiles
    change: Change

    def run(self) -> None:
        """Replace what has aged.

        :raises StoreError: the new files cannot be written, or did not pass; the old ones are in place.
        :raises Cancelled: the old ones are in place.
        """
        for name, difference in self.looked.aged.loaders.items():
            with self.volume.reading():
                problem = self._renew(name, difference)
            if problem:
                self.context.unfit.add(name)
                raise StoreError(
                    f"{self.volume.who}: {name} could not be replaced by that of this host's packages: "
                    f"{problem}",
                    hint="The old one is back, and stays on the other ESPs, too. "
                    f"Check the packages of {name}, then: pvefw boot refresh",
                )

    def _renew(self, name: str, difference: Difference) -> str:
        """Replace the files of one loader; why that did not do, or empty."""
        count = len(difference.copies)
        self.context.task.log(f"{self.volume.who}: {name}: replacing {count} of its own files")
        before, old = self.looked.probed.states[name], self._old_files(difference)
        try:
            self._write(name, difference, before)
            problem = self._problem(name, before)
        except Cancelled:
            self._put_back(old)
            raise
        except PvefwError as error:
            problem = error.message
        if problem:
            self._put_back(old)
        return problem

    def _write(self, name: str, difference: Difference, before: BootState) -> None:
        loader, task = self.context.loaders.get(name), self.context.task
        if "boot_update" in loader.implemented:
            others = {target: self.files.read(target) for target in self.looked.fallback.others}
            loader.hooks.boot_update(esp=self.looked.esp, firmware=before.firmware, task=task)
            self._put_back(others)
        else:
            self.change.apply(difference, self.files.listing())

    def _old_files(self, difference: Difference) -> Mapping[PurePosixPath, bytes]:
        """The loader's own files as they are: what is to be replaced, and what else was put there by us
        and is neither kernel nor configuration.
        """
        rendered = keys((*self.looked.tree.copies, *self.looked.tree.texts))
        wanted = ({*self.looked.record.manifest} - rendered) | keys(difference.copies)
        listing = self.files.listing()
        return {
            path: self.files.read(path)
            for path, size in listing.files.values()
            if key(path) in wanted and size >= 0
        }

    def _put_back(self, old: Mapping[PurePosixPath, bytes]) -> None:
        listing = self.files.listing()
        for target, data in old.items():
            if listing.size(target) != len(data) or self.files.read(target) != data:
                _put_in_its_place(self.files, self.change, target, data)

    def _problem(self, name: str, before: BootState) -> str:
        """What the probe does not find with the new files; empty where all is well."""
        probed = self.context.loaders.probe(self.looked.esp)
        state = probed.states.get(name)
        if state is None:
            return probed.failures.get(name, "its probe does not find it")
        if before.loader_version and not state.loader_version:
            return "its probe does not find its version"
        missing = [
            kernel.version for kernel in self.plan.kernels if kernel.version not in state.kernels
        ]
        if missing:
            return f"its probe does not find {', '.join(missing)}"
        refused = signatures.refused_loaders(self.context.paths, self.looked.esp.mountpoint)
        return "" if self.looked.refused else "; ".join(refused)
