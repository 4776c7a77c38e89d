"""What few hosts meet: files of the host that cannot be read, disks that break, plugins with faults."""

import errno
import os

import pytest
from boot.conftest import KERNELS, UUIDS, Plain, loaders_of

from pvefw.api import BootState, hookimpl
from pvefw.boot import (
    choice,
    cmdline,
    esp_files,
    fstab,
    kernels,
    packages,
    records,
    refresh,
    registry,
    status,
)
from pvefw.boot.hooks import SNIPPET
from pvefw.core.errors import StoreError, UsageError


def a_directory(path):
    """What is meant to be a file, and cannot be read as one."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


# --- files of the host --------------------------------------------------------------------------------


def test_without_dpkgs_database_kernels_go_by_their_names(ready, host):
    host.install("6.12.43+deb13-amd64")
    a_directory(host.root / "var/lib/dpkg/status")
    assert packages.installed(host.paths).names == frozenset()
    refresh.refresh(ready())
    assert status.status(ready()).kernels == list(reversed(KERNELS))


def test_an_fstab_that_cannot_be_read_names_no_esp(host, machine):
    a_directory(host.root / "etc/fstab")
    assert fstab.mounts_of(host.paths, machine.devices().find(machine.path_of(UUIDS[0]))) == []


def test_a_boot_that_is_no_directory_is_an_error_not_a_host_without_kernels(host):
    (host.root / "boot").rename(host.root / "old")
    host.write("boot", "")
    with pytest.raises(StoreError, match=r"/boot: could not list the file: Not a directory"):
        kernels.installed(host.paths)


def test_apts_own_configuration_keeps_no_esp_from_a_refresh(ready, host, monkeypatch):
    monkeypatch.setattr("pvefw.boot.autoremove.are_installed", lambda _paths: True)
    a_directory(host.paths.below(SNIPPET))
    host.install("6.8.20-1-pve")
    context = ready()
    refresh.refresh(context)
    assert context.task.warnings == [
        f"{host.paths.below(SNIPPET)}: could not read the file: Is a directory"
    ]
    assert status.status(ready()).ok


@pytest.mark.parametrize(
    ("running", "told"), [(KERNELS[0], False), (KERNELS[1], True)], ids=["as wanted", "another"]
)
def test_only_a_one_time_boot_that_did_not_come_up_is_told(ready, host, monkeypatch, running, told):
    choice.pin(host.paths, KERNELS[0], next_boot=True)
    refresh.refresh(ready())
    host.boot(2)
    hooks = []
    monkeypatch.setattr(refresh.events, "tell", lambda _node, hook, *_rest: hooks.append(hook))
    monkeypatch.setattr(kernels, "running", lambda: running)
    context = ready()
    refresh.refresh(context)
    assert f"the one-time boot of kernel {KERNELS[0]} is over" in "\n".join(context.task.lines)
    assert (refresh.events.NOTICE in hooks) is told


# --- ESPs and their disks -----------------------------------------------------------------------------


def test_what_the_check_of_a_file_system_found_is_told(ready, host, machine, monkeypatch):
    records.begin(host.paths, UUIDS[0])
    monkeypatch.setattr(machine, "repair", lambda _device: "fsck.vfat: 1 file was repaired")
    context = ready()
    refresh.refresh(context)
    told = [line for line in context.task.lines if UUIDS[0] in line]
    assert told[:2] == [
        "ESP AAAA-0001 (/dev/sda2): the last change was interrupted; checking the file system",
        "ESP AAAA-0001 (/dev/sda2): fsck.vfat: 1 file was repaired",
    ]


def test_another_tools_kernels_fill_an_esp(ready, host, machine):
    for uuid in UUIDS:
        theirs = machine.directory / uuid / "plain/9.9.9-1-theirs/vmlinuz"
        theirs.parent.mkdir()
        theirs.write_text("theirs")
    host.install("6.8.20-1-pve", size=100_000)

    def full(root):
        files = esp_files.EspFiles(root)
        files.space = lambda: (1 << 20, 50_000, 512)
        return files

    with pytest.raises(StoreError, match="too small") as caught:
        refresh.refresh(ready(files=full))
    assert caught.value.hint == (
        "Nothing was written. Another tool's files are on it (plain/9.9.9-1-theirs/vmlinuz); "
        "if they can go: pvefw boot refresh --take-over"
    )
    refresh.refresh(ready(), take_over=True)
    assert status.status(ready()).ok


def test_where_the_kernel_cannot_send_a_file_it_is_read(ready, host, machine, monkeypatch):
    def unable(*_arguments):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "sendfile", unable)
    host.install("6.8.20-1-pve", size=3 << 20)
    refresh.refresh(ready())
    for name, source in (("vmlinuz", "vmlinuz"), ("initrd", "initrd.img")):
        copy = machine.directory / UUIDS[1] / f"plain/6.8.20-1-pve/{name}-6.8.20-1-pve"
        assert copy.read_bytes() == (host.root / f"boot/{source}-6.8.20-1-pve").read_bytes()


def test_an_esp_that_becomes_read_only_says_how_to_look(ready, host):
    class Failing(esp_files.EspFiles):
        def create(self, target, chunks):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError, match="Read-only file system") as caught:
        refresh.refresh(ready(files=Failing))
    assert caught.value.hint == (
        "The file system became read-only: look at the kernel's log (dmesg), then check it with "
        "fsck.vfat."
    )


def test_loaders_on_esps_that_cannot_be_looked_at_are_told_apart(ready, machine, monkeypatch):
    mounted = machine.mounted

    def first_fails(device):
        if device.uuid == UUIDS[0]:
            raise StoreError(f"{device.path}: cannot be mounted: Input/output error")
        return mounted(device)

    monkeypatch.setattr(machine, "mounted", first_fails)
    assert status.present(ready()) == (
        {UUIDS[1]: ["plain"]},
        [
            "ESP AAAA-0001 (/dev/sda2): /dev/sda2: cannot be mounted: Input/output error",
            "ESP BBBB-0002 (/dev/sdb2): plain",
        ],
    )

    def no_lsblk():
        raise StoreError("lsblk: not found")

    monkeypatch.setattr(machine, "devices", no_lsblk)
    assert status.present(ready()) == ({}, ["ESPs: not checked: lsblk: not found"])


# --- the summary that `pvefw status` shows ------------------------------------------------------------


def test_a_pin_that_cannot_be_read_is_a_problem_of_the_summary(ready, host):
    a_directory(host.paths.pinned_kernel)
    found = status.summary(host.paths)
    assert found["problem"] == (
        f"{host.paths.pinned_kernel}: could not read the file: Is a directory"
    )
    assert (found["esps"], found["pinned"], found["unexpected"]) == ([], None, None)


def test_a_line_that_names_no_esp_is_told_in_the_summary(ready, host):
    with host.paths.esp_uuids.open("a") as file:
        file.write("/dev/sda2\n")
    assert status.summary(host.paths)["esps"][-1] == {
        "uuid": "/dev/sda2",
        "there": False,
        "interrupted": False,
        "failure": "no volume id",
    }


# --- loaders with faults ------------------------------------------------------------------------------


def test_a_loader_that_misses_one_kernel_says_whose_fault_it_is(ready, host):
    class Blind(Plain):
        @hookimpl
        def boot_probe(self, esp):
            state = super().boot_probe(esp=esp)
            kernels_ = [version for version in state.kernels if version != "6.8.20-1-pve"]
            return BootState(state.firmware, kernels_, state.default, None, "1.0")

    host.install("6.8.20-1-pve")
    with pytest.raises(StoreError) as caught:
        refresh.refresh(ready(loaders=loaders_of(Blind())))
    assert "plain does not find 6.8.20-1-pve after the refresh" in caught.value.message
    assert caught.value.hint == "This is a fault in the plugin plain, or of the disk."


def test_a_command_line_that_cannot_be_read_does_not_keep_a_loader_off(
    context, machine, host, monkeypatch
):
    """The refresh says so, and which file it is."""
    both = loaders_of(Plain("grub"), Plain())
    registry.init(context(loaders=both), machine.path_of(UUIDS[0]), "plain")
    monkeypatch.setattr(cmdline, "runs_from", lambda _root: True)
    monkeypatch.setattr(cmdline, "running", lambda: ["root=/dev/sda3", "console=ttyS0"])
    with pytest.raises(UsageError, match="options of the running kernel would be lost"):
        registry.init(context(loaders=both), machine.path_of(UUIDS[0]), "grub")
    a_directory(host.paths.cmdline)
    with pytest.raises(StoreError, match=r"etc/kernel/cmdline: could not read the file"):
        registry.init(context(loaders=both), machine.path_of(UUIDS[0]), "grub")
