"""However a refresh ends, every ESP boots, and the next refresh repairs the rest.

The walk is exhaustive: for each kind of change, the power fails before every single step of it; once so
that all that was done is on the disk, and once so that names which were not synced yet are lost.
"""

import errno
import functools
import shutil
from pathlib import PurePosixPath

import pytest
from boot.computer import FAULTS, PowerCut, Steps
from boot.conftest import KERNELS, UUIDS, Plain, loaders_of
from boot.reader import bootable

from pvefw.api import BootTree, hookimpl
from pvefw.boot import choice, refresh, status
from pvefw.boot.loaders import Loaders
from pvefw.core import binding
from pvefw.core.errors import StoreError
from pvefw.core.families import BOOTLOADER
from pvefw.testing.fakes import FakeTask

NEW = "6.8.20-1-pve"


def add(host):
    host.install(NEW)


def remove(host):
    host.remove("6.8.12-4-pve")


def rebuild(host):
    for name in ("vmlinuz", "initrd.img"):
        path = host.root / f"boot/{name}-6.8.12-4-pve"
        path.write_text(path.read_text() + " again")


def other_command_line(host):
    host.write("etc/kernel/cmdline", "root=/dev/sdb3 quiet\n")


def everything(host):
    for change in (add, rebuild, other_command_line):
        change(host)
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=False)


def next_boot(host):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)


def no_next_boot(host):
    choice.unpin(host.paths, next_boot=True)


def nothing(host):
    """Nothing is changed on the host: the ESP is new."""


CHANGES = [add, remove, rebuild, other_command_line, everything, next_boot, no_next_boot]


class Rendered(Plain):
    """A loader whose one-shot is a part of its configuration."""

    boot_arm = None

    @hookimpl
    def boot_render(self, esp, plan):
        made = super().boot_render(esp, plan)
        once = {PurePosixPath("plain/once"): plan.next_boot.encode()} if plan.next_boot else {}
        return BootTree(made.copies, {**once, **made.texts}, [*made.owned, "plain/once"])


class World:
    """A host and its ESPs, which can be put back to where they were."""

    def __init__(self, host, machine, context, keep, loader="plain"):
        self.loader = loader
        self.host, self.machine, self.context = host, machine, context
        self._kept = keep
        for name, path in self._trees():
            shutil.copytree(path, keep / name, symlinks=True)

    def _trees(self):
        return [("host", self.host.root), ("esps", self.machine.directory)]

    def reset(self):
        for name, path in self._trees():
            shutil.rmtree(path)
            shutil.copytree(self._kept / name, path, symlinks=True)

    def contents(self):
        """Every content that a version's files may have now: those of before, too."""
        found = {}
        for root in (self.host.root, self._kept / "host"):
            for path in (root / "boot").iterdir():
                version = path.name.partition("-")[2]
                found.setdefault(version, set()).add(path.read_text())
        return found

    def boots(self, uuid):
        return bootable(self.machine.directory / uuid, self.contents(), self.loader)


@pytest.fixture
def world(ready, host, machine, memory, request):
    change = request.node.callspec.params["change"]
    if change in (next_boot, no_next_boot):
        ready = functools.partial(ready, loaders=loaders_of(Rendered()))
    if change is no_next_boot:
        next_boot(host)
        refresh.refresh(ready())
    if change is nothing:
        for uuid in UUIDS:
            shutil.rmtree(machine.directory / uuid / "plain")
            (machine.directory / uuid / "plain").mkdir()
            (machine.directory / uuid / "plain/loader").write_text("1.0")
    return World(host, machine, ready, memory / "kept")


def steps_of(world, change):
    """All steps of a change that nothing disturbs."""
    steps = Steps()
    change(world.host)
    refresh.refresh(world.context(files=steps.files))
    assert status.status(world.context()).ok
    return steps.done


def on_the_first(steps):
    """The steps on the first ESP, and the first one on the second: it goes on in the same way there."""
    return range(len(steps) // 2 + 1)


def end_it(world, change, steps):
    world.reset()
    change(world.host)
    try:
        refresh.refresh(world.context(files=steps.files))
    except (PowerCut, StoreError) as error:
        return error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("lossy", [False, True], ids=["in-order", "unsynced-lost"])
@pytest.mark.parametrize("change", [*CHANGES, nothing], ids=lambda function: function.__name__)
def test_the_power_fails_before_every_step(world, change, lossy, some):
    done = steps_of(world, change)
    assert len(done) >= (4 if change is no_next_boot else 8)
    for stop in some(on_the_first(done)):
        error = end_it(world, change, Steps(stop, lossy=lossy))
        assert isinstance(error, PowerCut)
        for uuid in UUIDS:
            there, default = world.boots(uuid)
            where = f"{uuid}, before step {stop} of {len(done)}, {done[stop]}"
            if change is nothing:
                assert default is None or default in there, where
                continue
            assert default in there, f"the default does not boot: {where}"
            assert len(there) >= 2, where

        world.machine.boots += 1
        world.host.boot(world.machine.boots + 1)
        if change is next_boot:
            choice.pin(world.host.paths, "6.5.13-6-pve", next_boot=True)
        refresh.refresh(world.context())
        assert status.status(world.context()).ok, f"not repaired: {done[stop]}"
        for uuid in UUIDS:
            there, default = world.boots(uuid)
            assert default in there
            assert not list((world.machine.directory / uuid).rglob("*.pvefw-new"))


# --- the loaders of the project -----------------------------------------------------------------------

BINARIES = {
    "systemd-boot": {
        "EFI/systemd/systemd-bootx64.efi": "#### LoaderInfo: systemd-boot 252.39 ####",
        "EFI/BOOT/BOOTX64.EFI": "#### LoaderInfo: systemd-boot 252.39 ####",
    },
    "grub": {
        "EFI/proxmox/grubx64.efi": "GRUB",
        "EFI/BOOT/BOOTX64.EFI": "GRUB",
        "grub/x86_64-efi/modinfo.sh": 'grub_package_version="2.06-13"\n',
    },
}


@pytest.mark.parametrize(
    "change", [nothing, everything, remove], ids=lambda function: function.__name__
)
@pytest.mark.parametrize("loader", list(BINARIES))
def test_the_power_fails_under_the_projects_loaders(
    context, host, machine, memory, loader, change, some
):
    settings = {"efivars": str(memory / "no")} if loader == "systemd-boot" else {}
    bound = binding.bind(BOOTLOADER, loader, settings)
    again = functools.partial(context, loaders=Loaders({loader: bound}, {}))
    (host.root / "sys/firmware/efi").mkdir()  # both are there for UEFI
    for uuid in UUIDS:
        for name, text in BINARIES[loader].items():
            path = machine.directory / uuid / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    host.paths.esp_uuids.write_text("".join(f"{uuid}\n" for uuid in UUIDS))
    if change is not nothing:
        refresh.refresh(again())
    world = World(host, machine, again, memory / "kept", loader)

    done = steps_of(world, change)
    for uuid in UUIDS:
        there, default = world.boots(uuid)
        assert len(there) >= 2, "the reader sees what the loader sees"
        assert default in there
    for stop in some(on_the_first(done)):
        assert isinstance(end_it(world, change, Steps(stop)), PowerCut)
        for uuid in UUIDS:
            there, default = world.boots(uuid)
            if change is not nothing:
                assert default in there, f"{uuid}, before {done[stop]}"
        world.host.boot(stop + 2)
        refresh.refresh(again())
        assert status.status(again()).ok, done[stop]


@pytest.mark.parametrize("fault", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("change", [add, everything], ids=lambda function: function.__name__)
def test_every_step_may_fail(world, change, fault, some):
    done = steps_of(world, change)
    for stop in some(on_the_first(done)):
        error = end_it(world, change, Steps(stop, fault))
        assert isinstance(error, StoreError)
        assert error.hint
        if fault == errno.ENOSPC:
            assert "MiB free" in error.message, done[stop]
        for uuid in UUIDS:
            there, default = world.boots(uuid)
            assert default in there, f"{uuid}: {done[stop]}"
        states = [esp.state for esp in status.status(world.context()).esps]
        assert states.count("ok") >= 1, f"the other one was not synced: {done[stop]}"
        assert world.machine.repaired or not any(
            step.startswith(("create", "rename")) for step in done[:stop]
        )
        refresh.refresh(world.context())
        assert status.status(world.context()).ok


# --- too small ------------------------------------------------------------------------------------------


def small(steps, free):
    """ESPs on which so many bytes are free, or as many more as were there before."""

    def files(root):
        made = steps.files(root)
        used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        made.space = lambda: (1 << 20, free - used, 512)
        return made

    return files


def used(machine):
    return sum(
        path.stat().st_size for path in (machine.directory / UUIDS[0]).rglob("*") if path.is_file()
    )


def test_too_small_is_said_before_the_first_step(ready, machine, host):
    host.install(NEW, size=200_000)
    steps = Steps()
    task = FakeTask()
    with pytest.raises(
        StoreError, match=r"too small: the refresh needs 0\.4 MiB, and 0\.1 MiB"
    ) as e:
        refresh.refresh(ready(files=small(steps, used(machine) + 100_000), task=task))
    assert steps.done == []
    assert not any(mount.writable for mount in machine.mounts[-2:])
    assert "Nothing was written" in e.value.hint
    for uuid in UUIDS:
        there, default = bootable(
            machine.directory / uuid,
            {
                version: {
                    (host.root / f"boot/{name}-{version}").read_text()
                    for name in ("vmlinuz", "initrd.img")
                }
                for version in KERNELS
            },
        )
        assert default in there


def test_what_goes_makes_room_for_what_comes(ready, machine, host):
    """The old kernel goes first where both do not fit, once nothing refers to it any more."""
    host.install(NEW)
    steps = Steps()
    free = used(machine) + 6_000  # one kernel takes 10,000
    refresh.refresh(ready(files=small(steps, free)))
    assert status.status(ready()).ok
    first_removed = next(at for at, step in enumerate(steps.done) if step.startswith("unlink"))
    menu = steps.done.index("rename plain/menu")
    first_copied = next(at for at, step in enumerate(steps.done) if NEW in step)
    assert menu < first_removed < first_copied


def test_room_is_not_made_for_kernels_that_are_damaged(ready, machine, host):
    """What goes may be all that boots."""
    for version in KERNELS[1:]:
        for uuid in UUIDS:
            path = machine.directory / uuid / f"plain/{version}/initrd-{version}"
            path.write_text("damaged".ljust(5000))
    host.remove("6.5.13-6-pve")
    with pytest.raises(StoreError, match="too small"):
        refresh.refresh(ready(files=small(Steps(), used(machine) + 6_000)))
    assert (machine.directory / UUIDS[0] / "plain/6.5.13-6-pve/vmlinuz-6.5.13-6-pve").exists()


def test_while_room_is_made_every_step_boots(ready, machine, host, memory):
    world = World(host, machine, ready, memory / "kept")
    free = used(machine) + 6_000
    steps = Steps()
    add(host)
    refresh.refresh(ready(files=small(steps, free)))
    for stop in range(len(steps.done)):
        world.reset()
        add(host)
        with pytest.raises(PowerCut):
            refresh.refresh(ready(files=small(Steps(stop), free)))
        for uuid in UUIDS:
            there, default = world.boots(uuid)
            assert default in there, steps.done[stop]
        refresh.refresh(ready())
        assert status.status(ready()).ok
