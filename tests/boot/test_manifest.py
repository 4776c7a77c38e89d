"""What pvefw did not write on an ESP stays there, whatever it is called."""

import contextlib
import dataclasses
import json
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from boot.computer import PowerCut, Steps
from boot.conftest import UUIDS, HostTree, Plain, loaders_of
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import uses
from servers.directory_machine import DirectoryMachine

from pvefw.api import Firmware, ProviderError, hookimpl
from pvefw.boot import records, refresh, registry, status
from pvefw.boot.context import Context
from pvefw.boot.disks import BIOS_BOOT_TYPE, Devices
from pvefw.boot.loaders import Loaders
from pvefw.core import binding
from pvefw.core.errors import PvefwError, StoreError, Unsupported, UsageError
from pvefw.core.families import BOOTLOADER
from pvefw.testing.fakes import FakeTask

VERSIONS = [f"6.{series}.{patch}-1-pve" for series in (5, 8, 11) for patch in range(4)]
LOADERS = {
    "systemd-boot": {"EFI/systemd/systemd-bootx64.efi": "systemd-boot"},
    "grub": {"EFI/proxmox/grubx64.efi": "GRUB", "grub/x86_64-efi/modinfo.sh": "x"},
}
OTHERS = [
    # what the loaders' patterns would take for their own
    "vmlinuz-6.1.0-9-amd64",
    "initrd.img-6.1.0-9-amd64",
    "vmlinuz-6.2.16-20-pve",
    "grub/early/microcode.cpio",
    "grub/background.png",
    "loader/entries/proxmox-6.1.0-9-amd64.conf",
    "loader/entries/proxmox_6.1.0+0-1.conf",
    "EFI/proxmox/6.1.0-9-amd64/vmlinuz-6.1.0-9-amd64",
    "EFI/proxmox/6.2.16-20-pve/initrd.img-6.2.16-20-pve",
    # what an interrupted change leaves
    "FSCK0000.REC",
    ".vmlinuz-6.1.0-9-amd64.pvefw-new",
    "loader/entries/.mine.conf.pvefw-new",
    # other systems
    "EFI/Microsoft/Boot/bootmgfw.efi",
    "EFI/debian/shimx64.efi",
    "EFI/Linux/other.efi",
    "grub/custom.cfg",
]
_NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
_STEM = st.sampled_from(
    ["vmlinuz-", "initrd.img-", "loader/entries/proxmox-", "EFI/proxmox/", "grub/early/", ".", ""]
)
_END = st.sampled_from([".conf", ".pvefw-new", "/vmlinuz-6.8", "+0-1.conf", ""])


def put(root, name, content="another's"):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def everything(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(params=list(LOADERS))
def synced(request, context, host, machine, memory):
    """Both ESPs, with one of the project's loaders."""
    options = {"efivars": str(memory / "no")} if request.param == "systemd-boot" else {}
    bound = binding.bind(BOOTLOADER, request.param, options)
    (host.root / "sys/firmware/efi").mkdir()
    for uuid in UUIDS:
        for name, text in LOADERS[request.param].items():
            put(machine.directory / uuid, name, text)
    host.paths.esp_uuids.write_text("".join(f"{uuid}\n" for uuid in UUIDS))
    return lambda **more: context(loaders=Loaders({request.param: bound}, {}), **more)


def a_random_day(random_, host):
    """Kernels come and go, and their initrds are made again."""
    version = random_.choice(VERSIONS)
    installed = [path.name.partition("-")[2] for path in (host.root / "boot").glob("vmlinuz-*")]
    if version not in installed or random_.random() < 0.3:
        host.install(version, marker=str(random_.random()), size=random_.randint(300, 900))
    elif len(installed) > 2:
        host.remove(version)
    host.paths.pinned_kernel.unlink(missing_ok=True)
    if random_.random() < 0.3:
        host.paths.pinned_kernel.write_text(f"{random_.choice(installed)}\n")


def refresh_somehow(random_, made):
    """As a whole, or until the power fails."""
    if random_.random() < 0.8:
        refresh.refresh(made())
        return
    steps = Steps(stop=random_.randint(0, 60))
    with contextlib.suppress(PowerCut, PvefwError):
        refresh.refresh(made(files=steps.files))


def test_what_others_keep_on_an_esp_outlives_random_refreshes(synced, host, machine):
    others_outlive(60, synced, host, machine)


@uses("night")
@pytest.mark.timeout(3600)
def test_what_others_keep_on_an_esp_outlives_a_thousand_refreshes(synced, host, machine):
    others_outlive(1000, synced, host, machine)


def others_outlive(refreshes, synced, host, machine):
    random_ = random.Random(19)
    root = machine.directory / UUIDS[0]
    others = {put(root, name) for name in OTHERS}
    for _ in range(refreshes):
        a_random_day(random_, host)
        if random_.random() < 0.2:  # somebody comes by, now and then
            name = f"{random_.choice(OTHERS)}{random_.randint(0, 9)}"
            others.add(put(root, name))
        refresh_somehow(random_, synced)
        assert all(other.is_file() and other.read_text() == "another's" for other in others)
    refresh.refresh(synced())
    ours = [{str(path) for path in everything(machine.directory / uuid)} for uuid in UUIDS]
    assert {path for path in ours[0] if "-1-pve" in path} == {
        path for path in ours[1] if "-1-pve" in path
    }


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_name_makes_a_file_ours(data):
    with tempfile.TemporaryDirectory() as folder:
        host, machine = HostTree(Path(folder) / "host"), DirectoryMachine(Path(folder) / "esps")
        machine.add(UUIDS[0])
        bound = {
            "systemd-boot": binding.bind(BOOTLOADER, "systemd-boot", {"efivars": f"{folder}/no"}),
            "grub": binding.bind(BOOTLOADER, "grub", {}),
        }
        root = machine.directory / UUIDS[0]
        for loader in LOADERS.values():
            for name, text in loader.items():
                put(root, name, text)
        host.paths.esp_uuids.write_text(f"{UUIDS[0]}\n")

        def again():
            return Context(host.paths, machine, Loaders(bound, {}), FakeTask())

        refresh.refresh(again())
        wanted = everything(root)
        names = data.draw(st.lists(st.tuples(_STEM, _NAME, _END).map("".join), max_size=8))
        others = []
        for name in names:
            try:
                if not (root / name).exists():
                    others.append(put(root, name))
            except (OSError, ValueError):
                continue  # no file can be called that here
        before = everything(root)
        host.install("6.8.20-1-pve")
        refresh.refresh(again())
        host.remove("6.8.20-1-pve")
        refresh.refresh(again())
        for other in others:
            assert other.read_bytes() == before[other.relative_to(root)]
        assert set(everything(root)) >= set(wanted)


def test_every_file_that_was_written_is_in_the_manifest(synced, host, machine):
    refresh.refresh(synced())
    for uuid in UUIDS:
        root = machine.directory / uuid
        written = {str(path).casefold() for path in everything(root)}
        loaders = {name.casefold() for files in LOADERS.values() for name in files}
        assert written - set(records.load(host.paths, uuid).manifest) <= loaders


def test_init_notes_the_loaders_own_files(ready, host):
    for uuid in UUIDS:
        assert "plain/loader" in records.load(host.paths, uuid).manifest


def test_what_another_tool_has_left_goes_when_it_is_said(synced, machine):
    refresh.refresh(synced())
    root = machine.directory / UUIDS[0]
    left = [put(root, name) for name in OTHERS[:12]]
    precious = [put(root, name) for name in OTHERS[12:]]
    refresh.refresh(synced())
    assert all(path.exists() for path in left)
    refresh.refresh(synced(), take_over=True)
    assert not all(path.exists() for path in left)
    assert all(path.exists() for path in precious)


def test_what_the_original_wrote_is_ours_where_it_is_what_we_would_write(synced, host, machine):
    refresh.refresh(synced())
    for uuid in UUIDS:  # as if it had been there before us
        records.forget(host.paths, uuid)
    refresh.refresh(synced())
    host.install("6.8.20-1-pve")
    host.install("6.8.21-1-pve")
    host.remove("6.8.4-2-pve")
    refresh.refresh(synced())
    for uuid in UUIDS:
        assert not [path for path in everything(machine.directory / uuid) if "6.8.4-2" in str(path)]


def test_the_record_of_1_0_says_what_is_ours(ready, host, machine):
    for uuid in UUIDS:
        path = host.paths.boot_state / f"esp-{uuid}.json"
        raw = json.loads(path.read_text())
        raw["digests"] = {
            name: "SHA-256" for name in raw["manifest"] if not name.endswith("/loader")
        }
        del raw["manifest"], raw["strangers"], raw["origins"]
        path.write_text(json.dumps(raw))
    host.remove("6.5.13-6-pve")
    refresh.refresh(ready())
    for uuid in UUIDS:
        assert not (machine.directory / uuid / "plain/6.5.13-6-pve").exists()


def test_an_esp_that_is_boot_itself_is_refused_and_keeps_all(ready, host, machine):
    """An ESP that somebody registered although it is /boot: every copy would be its own source."""
    root = machine.directory / UUIDS[0]
    for path in (host.root / "boot").iterdir():
        shutil.copy(path, root / path.name)
    shutil.rmtree(host.root / "boot")
    (host.root / "boot").symlink_to(root)
    bound = binding.bind(BOOTLOADER, "grub", {})
    put(root, "EFI/proxmox/grubx64.efi")
    put(root, "grub/x86_64-efi/modinfo.sh")
    before = everything(root)
    made = ready(loaders=Loaders({"grub": bound}, {}))
    with pytest.raises(StoreError, match=r"is this host's .*/boot"):
        refresh.refresh(made)
    assert everything(root) == before


@pytest.mark.parametrize(
    ("fstab", "mounted"),
    [
        ("UUID=CCCC-0003 /boot vfat defaults 0 2\n", ()),
        ('UUID="cccc-0003"\t/boot/efi\tvfat\n', ()),
        ("# /boot is an ESP\n/dev/sdc2 /boot vfat\n", ()),
        ("", ("/boot",)),
    ],
)
def test_what_the_host_mounts_itself_is_no_esp_for_us(
    context, host, machine, fstab, mounted, monkeypatch
):
    machine.add("CCCC-0003")
    host.write("etc/fstab", fstab)
    devices = Devices(
        [
            dataclasses.replace(device, mountpoints=mounted)
            if device.uuid == "CCCC-0003"
            else device
            for device in machine.devices()
        ]
    )
    monkeypatch.setattr(machine, "devices", lambda: devices)
    with pytest.raises(UsageError, match="mount") as caught:
        registry.init(context(), machine.path_of("CCCC-0003"), "plain")
    assert "fstab" in caught.value.message + caught.value.hint
    assert everything(machine.directory / "CCCC-0003") == {}


def test_init_asks_before_it_replaces_another_systems_loader(context, host, machine):
    machine.add("CCCC-0003")
    root = machine.directory / "CCCC-0003"
    windows = [
        put(root, name) for name in ("EFI/BOOT/BOOTX64.EFI", "EFI/Microsoft/Boot/bootmgfw.efi")
    ]
    path = machine.path_of("CCCC-0003")
    before = everything(root)
    with pytest.raises(UsageError, match=r"EFI/BOOT/BOOTX64\.EFI would be replaced") as caught:
        registry.init(context(), path, "plain")
    assert "--take-over" in caught.value.hint
    assert everything(root) == before
    registry.init(context(), path, "plain", take_over=True)
    registry.init(context(), path, "plain")  # it is ours now
    assert all(window.exists() for window in windows)


def test_an_esp_that_bios_cannot_start_is_no_redundancy(context, host, machine, monkeypatch):
    devices = Devices(
        [device for device in machine.devices() if device.partition_type != BIOS_BOOT_TYPE]
    )
    monkeypatch.setattr(machine, "devices", lambda: devices)
    with pytest.raises(Unsupported, match="started by BIOS") as caught:
        registry.init(context(), machine.path_of(UUIDS[0]), "plain")
    assert "EF02" in caught.value.hint
    assert everything(machine.directory / UUIDS[0]) == {}
    assert not host.paths.esp_uuids.exists()


def test_status_says_that_this_machine_cannot_be_started_from_an_esp(ready, plain):
    plain.firmware = Firmware.UEFI
    found = status.status(ready())
    assert not found.ok
    assert all("started by BIOS" in "".join(esp.problems) for esp in found.esps)


def test_a_probe_that_raises_is_reported_in_the_plugins_words(ready, plain, machine):
    class Unable(Plain):
        @hookimpl
        def boot_probe(self, esp):
            raise ProviderError("the menu is written in Klingon")

    made = ready(loaders=loaders_of(Unable()))
    before = everything(machine.directory)
    with pytest.raises(StoreError, match="the menu is written in Klingon"):
        refresh.refresh(made)
    assert everything(machine.directory) == before
    for esp in status.status(made).esps:
        assert esp.state == "error"
        assert "the menu is written in Klingon" in esp.problems[0]
