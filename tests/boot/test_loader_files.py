"""Loaders' own files age: an upgrade of their packages reaches every ESP, and harms none."""

import errno
import os
from pathlib import PurePosixPath

import pytest
from boot.computer import PowerCut, Steps
from boot.conftest import UUIDS, Plain, loaders_of
from environments import ROOT

from pvefw.api import ProviderError, hookimpl
from pvefw.boot import records, refresh, registry, status
from pvefw.boot.esp_files import EspFiles
from pvefw.core.errors import Cancelled, PvefwError
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import platforms
from pvefw_bootloader_systemd import installation


class Packaged(Plain):
    """Comes from a package; starts from either of two images that say ``loader``."""

    images = ("plain/loader", "spare/loader")

    def __init__(self, package):
        super().__init__()
        self.package = package

    @hookimpl
    def boot_install(self, esp, firmware, task):
        super().boot_install(esp=esp, firmware=firmware, task=task)
        for image in self.images:
            (esp.mountpoint / image).parent.mkdir(exist_ok=True)
            (esp.mountpoint / image).write_bytes(self.package.read_bytes())

    @hookimpl
    def boot_probe(self, esp):
        images = [esp.mountpoint / image for image in self.images]
        if not any(image.exists() and image.read_bytes().startswith(b"loader") for image in images):
            return None
        return super().boot_probe(esp=esp)

    @hookimpl
    def boot_files(self, esp):
        return {PurePosixPath(image): self.package for image in self.images}


class Made(Packaged):
    """Its image is made on the host."""

    made = b"loader 2 for this disk"

    @hookimpl
    def boot_update(self, esp, firmware, task):
        assert list(firmware) == [self.firmware]
        for image in self.images:
            (esp.mountpoint / image).write_bytes(self.package.read_bytes())
        (esp.mountpoint / "plain/core").write_bytes(self.made)
        if self.made == b"":
            raise ProviderError("no space left on device")


@pytest.fixture
def package(host):
    host.write("usr/lib/plain/loader", "loader 1")
    return host.root / "usr/lib/plain/loader"


def set_up(context, machine, loader):
    def again(**changes):
        return context(loaders=loaders_of(loader), **changes)

    for uuid in UUIDS:
        registry.init(again(), machine.path_of(uuid), "plain")
    assert status.status(again()).ok
    return again


@pytest.fixture
def aging(context, machine, package):
    """Both ESPs, with a loader that comes from a package."""
    return set_up(context, machine, Packaged(package))


def images(machine, uuid):
    return [(machine.directory / uuid / image).read_bytes() for image in Packaged.images]


def test_an_upgrade_is_seen_and_reaches_every_esp(aging, machine, package):
    package.write_bytes(b"loader 2")  # as long as the old one

    for esp in status.status(aging()).esps:
        assert esp.state == "drift"
        assert esp.problems == [
            "plain differs from this host's packages: plain/loader and 1 more: pvefw boot refresh"
        ]
    result = refresh.refresh(aging())

    assert sorted(result.changed) == sorted(UUIDS)
    assert [images(machine, uuid) for uuid in UUIDS] == [[b"loader 2"] * 2] * 2
    assert status.status(aging()).ok
    assert refresh.refresh(aging()).changed == []


def test_a_loader_damaged_on_an_esp_is_repaired(aging, machine):
    (machine.directory / UUIDS[1] / "spare/loader").write_bytes(b"loader 0")
    assert [esp.state for esp in status.status(aging()).esps] == ["ok", "drift"]
    refresh.refresh(aging())
    assert status.status(aging()).ok


def test_a_new_loader_that_does_not_pass_its_probe_is_taken_back(aging, machine, package, host):
    package.write_bytes(b"rubbish!")
    host.install("6.8.20-1-pve")

    with pytest.raises(PvefwError, match="its probe does not find it") as caught:
        refresh.refresh(aging())

    assert "The old one is back, and stays on the other ESPs, too" in caught.value.hint
    assert [images(machine, uuid) for uuid in UUIDS] == [[b"loader 1"] * 2] * 2
    for esp in status.status(aging()).esps:
        assert "6.8.20-1-pve" in esp.loaders["plain"]["kernels"]


def test_an_image_that_is_made_on_the_host_is_made_again(context, machine, package):
    again = set_up(context, machine, Made(package))
    package.write_bytes(b"loader 2")
    refresh.refresh(again())
    for uuid in UUIDS:
        assert (machine.directory / uuid / "plain/core").read_bytes() == Made.made
    assert status.status(again()).ok


def test_what_could_not_be_made_is_taken_back(context, machine, package):
    loader = Made(package)
    again = set_up(context, machine, loader)
    package.write_bytes(b"loader 2")
    refresh.refresh(again())
    package.write_bytes(b"loader 3")
    loader.made = b""

    with pytest.raises(PvefwError, match="no space left on device"):
        refresh.refresh(again())

    for uuid in UUIDS:
        assert images(machine, uuid) == [b"loader 2"] * 2
        assert (machine.directory / uuid / "plain/core").read_bytes() == Made.made


class InPlace(Packaged):
    """Writes one image over the other, as grub-install does, until the ESP is full."""

    failure = None

    @hookimpl
    def boot_install(self, esp, firmware, task):
        super().boot_install(esp=esp, firmware=firmware, task=task)
        if self.failure:
            (esp.mountpoint / "plain/loader").write_bytes(b"loa")
            (esp.mountpoint / "plain/more").write_bytes(b"")
            raise self.failure


@pytest.mark.parametrize(
    "failure", [ProviderError("no space left on device"), OSError(28, "full"), Cancelled()], ids=str
)
def test_an_installation_that_fails_leaves_what_was_there(context, machine, package, failure):
    loader = InPlace(package)
    again = set_up(context, machine, loader)
    known = {uuid: records.load(again().paths, uuid).manifest for uuid in UUIDS}
    package.write_bytes(b"loader 2, and longer")
    loader.failure = failure

    with pytest.raises((PvefwError, Cancelled)):
        registry.reinit(again())

    for uuid in UUIDS:
        assert images(machine, uuid)[0] != b"loa"
        assert not (machine.directory / uuid / "plain/more").exists()
        assert set(known[uuid]) >= {*records.load(again().paths, uuid).manifest}


def test_the_room_of_what_failed_is_used_to_put_the_old_back(context, machine, package):
    """Nothing is free: only what was written in vain makes room."""

    class Full(EspFiles):
        def write(self, descriptor, data):
            if (self.root / "plain/loader").exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(descriptor, data)

    loader = InPlace(package)
    again = set_up(context, machine, loader)
    loader.failure = ProviderError("no space left on device")
    with pytest.raises(PvefwError, match="no space left on device"):
        registry.init(again(files=Full), machine.path_of(UUIDS[0]), "plain")
    assert images(machine, UUIDS[0]) == [b"loader 1"] * 2


def test_a_file_that_cannot_be_read_does_not_keep_the_loader_off(aging, machine):
    """It may be what the installation is to repair."""
    stray = PurePosixPath("other/strange")

    class Broken(EspFiles):
        def read(self, target):
            if target == stray:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(target)

    path = machine.directory / UUIDS[0] / stray
    path.parent.mkdir()
    path.write_bytes(b"?")
    registry.reinit(aging(files=Broken))
    assert status.status(aging()).ok


def test_a_cancelled_task_leaves_the_old_loader(aging, machine, package):
    class Stopped(FakeTask):
        def log(self, message):
            self.cancelled |= "own files" in message

    package.write_bytes(b"loader 2")
    with pytest.raises(Cancelled):
        refresh.refresh(aging(task=Stopped()))
    assert images(machine, UUIDS[0]) == [b"loader 1"] * 2


@pytest.mark.parametrize("lossy", [False, True])
def test_a_power_cut_leaves_a_whole_image_at_every_step(aging, machine, package, lossy):
    whole, stop = {b"loader 1", b"loader 2", b"loader 3"}, 0
    wanted = b"loader 1"
    while True:
        wanted = b"loader 3" if wanted == b"loader 2" else b"loader 2"
        package.write_bytes(wanted)
        steps = Steps(stop, lossy=lossy)
        try:
            refresh.refresh(aging(files=steps.files))
        except PowerCut:
            assert whole & {
                path.read_bytes()
                for image in Packaged.images
                if (path := machine.directory / UUIDS[0] / image).exists()
            }
            refresh.refresh(aging())
            assert [images(machine, uuid) for uuid in UUIDS] == [[wanted] * 2] * 2
            stop += 1
            continue
        break
    assert stop > 10


def test_every_folder_that_loaders_come_from_has_a_trigger_of_dpkgs():
    kinds = [platforms.BIOS, *platforms.UEFI]
    folders = {installation.PACKAGED, *(platform.modules for platform in kinds)}
    folders |= {image.parent for platform in platforms.UEFI for image in platform.signed}
    lines = (ROOT / "packaging/debian/triggers").read_text().splitlines()
    interests = {line.split()[1] for line in lines if line.startswith("interest-noawait ")}
    assert interests == set(map(str, folders))
