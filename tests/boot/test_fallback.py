"""``EFI/BOOT``: whether the firmware could start a disk that it has no entry for, with real loaders."""

import platform
from pathlib import Path

import pytest
from boot.conftest import UUIDS

from pvefw.api import hookimpl
from pvefw.boot import fallback, refresh, status
from pvefw.boot.loaders import Loaders
from pvefw.core import binding
from pvefw.core.families import BOOTLOADER
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub, install, platforms
from pvefw_bootloader_systemd import SystemdBoot

SYSTEMD = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
DEBIAN = platform.freedesktop_os_release()["VERSION_ID"]
SHIM = Path("/usr/lib/shim/shimx64.efi.signed")
GRUB = Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
MADE_HERE = Path("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")
"""An image as grub-install makes one: without a signature."""
FALLBACK, BESIDE = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi"


class Disk:
    """A host that is started by UEFI, with one ESP that a loader was put on and pvefw keeps."""

    def __init__(self, context, host, machine):
        self.root = machine.directory / UUIDS[0]
        self.context = context
        self.loaders = {}
        (host.root / "sys/firmware/efi").mkdir()
        host.write("etc/kernel/proxmox-boot-uuids", f"{UUIDS[0]}\n")

    def put(self, **images):
        names = {
            "systemd": "EFI/systemd/systemd-bootx64.efi",
            "shim": "EFI/proxmox/shimx64.efi",
            "grub": "EFI/proxmox/grubx64.efi",
            "fallback": FALLBACK,
            "beside": BESIDE,
        }
        for name, image in images.items():
            path = self.root / names[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.read_bytes())

    def started_by(self, name, plugin):
        self.loaders = {name: binding.bind_object(BOOTLOADER, plugin, name)}
        self.refresh()
        assert self.problems() == []
        return self

    def refresh(self, **options):
        task = FakeTask()
        refresh.refresh(self.context(loaders=Loaders(self.loaders, {}), task=task), **options)
        return task

    def problems(self):
        [esp] = status.status(self.context(loaders=Loaders(self.loaders, {}))).esps
        return list(esp.problems)

    @property
    def is_behind(self):
        [esp] = status.status(self.context(loaders=Loaders(self.loaders, {}))).esps
        return esp.is_behind

    def read(self, name):
        return (self.root / name).read_bytes()

    def write(self, data, name=FALLBACK):
        (self.root / name).write_bytes(data)


class MadeByGrub(Grub):
    """grub-install that writes as the real one does, without a block device to ask."""

    @hookimpl
    def boot_update(self, esp, firmware, task):
        for name in ("EFI/proxmox/grubx64.efi", FALLBACK):
            (esp.mountpoint / name).write_bytes(MADE_HERE.read_bytes())
        for module in platforms.MODULES.glob("x86_64-efi/*.mod"):
            target = esp.mountpoint / "grub/x86_64-efi" / module.name
            target.write_bytes(module.read_bytes())


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """GRUB's packages, without signed images."""
    folder = tmp_path / "grub"
    (folder / "x86_64-efi").mkdir(parents=True)
    (folder / "x86_64-efi/linux.mod").write_text("module")
    monkeypatch.setattr(platforms, "MODULES", folder)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(install, "_program", lambda: None)
    return folder / "x86_64-efi"


@pytest.fixture
def empty(context, host, machine):
    """The host, before a loader is on its ESP."""
    return Disk(context, host, machine)


@pytest.fixture
def systemd(empty, tmp_path):
    """An ESP that systemd-boot starts."""
    empty.put(systemd=SYSTEMD, fallback=SYSTEMD)
    return empty.started_by("systemd-boot", SystemdBoot(efivars=tmp_path / "efivars"))


def grub_on(empty, modules, **images):
    (empty.root / "grub/x86_64-efi").mkdir(parents=True)
    (empty.root / "grub/x86_64-efi/linux.mod").write_bytes((modules / "linux.mod").read_bytes())
    empty.put(**images)
    return empty.started_by("grub", MadeByGrub())


@pytest.fixture
def grub(empty, modules):
    """An ESP that GRUB starts, as grub-install makes it without signed images."""
    return grub_on(empty, modules, grub=MADE_HERE, fallback=MADE_HERE)


@pytest.fixture
def signed(empty, modules):
    """One that shim and GRUB start."""
    return grub_on(empty, modules, grub=GRUB, shim=SHIM, fallback=SHIM, beside=GRUB)


def cut_off(data):
    return data[: len(data) // 2]


def windows(data):
    """Another loader that does not say what it is in a ``.sbat``."""
    data = data.replace(b".sbat", b".else").replace(b"LoaderInfo: systemd-boot", b"x" * 24)
    return data + "bootmgfw.efi".encode("utf-16-le")


@pytest.mark.parametrize("loader", ["systemd", "grub", "signed"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "is missing"),
        (lambda _: b"", "is empty"),
        (lambda _: b"rubbish", "is no program for UEFI"),
        (lambda _: cut_off(SHIM.read_bytes()), "is cut off"),
    ],
    ids=["missing", "empty", "rubbish", "cut off"],
)
def test_what_cannot_start_is_told_and_put_back(request, loader, data, said):
    disk = request.getfixturevalue(loader)
    before = disk.read(FALLBACK)
    if data is None:
        (disk.root / FALLBACK).unlink()
    else:
        disk.write(data(before))
    assert disk.problems() == [
        f"{FALLBACK} {said}, and the firmware may need it to start this disk: pvefw boot refresh"
    ]
    assert disk.is_behind
    assert f"{FALLBACK} {said}: writing it again" in "\n".join(disk.refresh().lines)
    assert disk.read(FALLBACK) == before
    assert disk.problems() == []
    assert "nothing has changed" in "\n".join(disk.refresh().lines)


@pytest.mark.parametrize(
    ("loader", "make", "what"),
    [
        ("systemd", SHIM.read_bytes, "shim.debian"),
        ("systemd", GRUB.read_bytes, f"grub.debian{DEBIAN}"),
        ("systemd", lambda: windows(SYSTEMD.read_bytes()), "Windows"),
        (
            "systemd",
            lambda: SHIM.read_bytes().replace(b"shim.debian", b"shim.ubuntu"),
            "shim.ubuntu",
        ),
        ("grub", SYSTEMD.read_bytes, "systemd-boot"),
        (
            "signed",
            lambda: SHIM.read_bytes().replace(b"shim.debian", b"shim.ubuntu"),
            "shim.ubuntu",
        ),
    ],
    ids=["shim", "GRUB", "Windows", "another shim", "systemd-boot", "another shim for shim"],
)
def test_another_systems_loader_is_told_and_stays(request, loader, make, what):
    disk = request.getfixturevalue(loader)
    disk.write(make())
    said = (
        f"{FALLBACK} is another system's loader ({what}), which the firmware starts where it has no "
        "entry for this disk; to replace it: pvefw boot reinit"
    )
    assert disk.problems() == [said]
    assert not disk.is_behind, "a refresh would change nothing"
    assert [warning for warning in disk.refresh().warnings if said in warning]
    disk.refresh(take_over=True)
    assert disk.read(FALLBACK) == make()


def test_what_shim_starts_belongs_to_it(signed):
    signed.write(b"", BESIDE)
    assert signed.problems() == [
        f"{BESIDE} is empty, and the firmware may need it to start this disk: pvefw boot refresh"
    ]
    signed.refresh()
    assert signed.read(BESIDE) == GRUB.read_bytes()
    assert signed.problems() == []


def test_where_shim_is_used_no_longer_grub_starts_by_itself(empty, modules):
    """As after a new installation without the signed packages: grub-install leaves shim's files there."""
    grub_on(empty, modules, grub=MADE_HERE, shim=SHIM, fallback=MADE_HERE, beside=GRUB)


def test_a_copy_that_is_spoilt_or_older_is_put_back(signed):
    """A bad block: the image is as long as before, and still says what it is."""
    before = signed.read(FALLBACK)
    signed.write(before[:200_000] + bytes(512) + before[200_512:])
    [said] = signed.problems()
    assert said.startswith(f"{FALLBACK} is not as EFI/proxmox/shimx64.efi")
    signed.refresh()
    assert signed.read(FALLBACK) == before
    assert signed.problems() == []


def test_an_older_release_that_pvefw_has_not_put_there_stays(empty, modules, tmp_path):
    older = tmp_path / "older"
    older.write_bytes(SHIM.read_bytes() + b"older")
    disk = grub_on(empty, modules, grub=GRUB, shim=SHIM, fallback=older, beside=GRUB)
    assert disk.read(FALLBACK) == older.read_bytes()


def test_what_pvefw_has_not_written_is_replaced_by_nobody(empty, tmp_path):
    """Rubbish was there before pvefw: perhaps it means something to somebody."""
    empty.put(systemd=SYSTEMD)
    (empty.root / "EFI/BOOT").mkdir()
    empty.write(b"something")
    empty.loaders = {
        "systemd-boot": binding.bind_object(
            BOOTLOADER, SystemdBoot(efivars=tmp_path / "efivars"), "systemd-boot"
        )
    }
    task = empty.refresh()
    assert empty.read(FALLBACK) == b"something"
    [said] = empty.problems()
    assert said.endswith("pvefw boot reinit")
    assert [warning for warning in task.warnings if said in warning]


def test_grubs_own_image_is_put_back_from_its_copy(grub):
    grub.write(b"", "EFI/proxmox/grubx64.efi")
    [said] = grub.problems()
    assert said.startswith("EFI/proxmox/grubx64.efi is empty")
    assert said.endswith("pvefw boot refresh")
    grub.refresh()
    assert grub.read("EFI/proxmox/grubx64.efi") == MADE_HERE.read_bytes()
    assert grub.problems() == []


def test_an_upgrade_of_grub_leaves_another_systems_loader(grub, modules):
    other = SYSTEMD.read_bytes()
    grub.write(other)
    (modules / "linux.mod").write_text("a later module")
    grub.refresh()
    assert (grub.root / "grub/x86_64-efi/linux.mod").read_text() == "a later module"
    assert grub.read(FALLBACK) == other


def test_a_loader_for_bios_has_no_fallback(ready, machine):
    root = machine.directory / UUIDS[0]
    for name in (FALLBACK, "EFI/proxmox/grubx64.efi"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    assert status.status(ready()).ok


def test_as_long_as_nobody_wrote_there_the_images_are_not_read(systemd, monkeypatch):
    """A refresh that changes nothing reads no loader that a seal says is as it was."""
    monkeypatch.setattr(fallback._Look, "_damage", lambda *_: pytest.fail("an image was read"))
    assert "nothing has changed" in "\n".join(systemd.refresh().lines)
