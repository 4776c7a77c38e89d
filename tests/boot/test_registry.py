"""ESPs whose boot loader is put on them again, and those that a boot loader cannot be put on."""

import pytest
from boot.conftest import UUIDS, Plain, loaders_of
from boot.test_firmware import GLOBAL, variable

from pvefw.api import Firmware, Unsupported, hookimpl
from pvefw.boot import records, refresh, registry
from pvefw.core.errors import ProviderError, PvefwError, StoreError


class UefiOnly(Plain):
    @hookimpl
    def boot_firmware(self):
        return [Firmware.UEFI]


class BiosOnly(Plain):
    @hookimpl
    def boot_firmware(self):
        return [Firmware.BIOS]


class Unable(Plain):
    """Finds nothing to install from, for whichever firmware."""

    @hookimpl
    def boot_install(self, esp, firmware, task):
        raise Unsupported("its package is not installed")


class Breaking(Plain):
    @hookimpl
    def boot_install(self, esp, firmware, task):
        raise OSError(5, "Input/output error")


def test_a_loader_that_this_machines_firmware_does_not_start(context, machine, host):
    before = list(machine.directory.rglob("*"))
    with pytest.raises(Unsupported) as caught:
        registry.init(context(loaders=loaders_of(UefiOnly())), machine.path_of(UUIDS[0]), "plain")
    assert caught.value.message == (
        "ESP AAAA-0001 (/dev/sda2): this machine is started by BIOS, which does not start plain"
    )
    assert caught.value.hint == "For BIOS: pvefw boot init /dev/sda2 grub"
    assert list(machine.directory.rglob("*")) == before
    assert not host.paths.esp_uuids.exists()


def test_a_loader_that_can_be_installed_for_no_firmware(context, machine, host):
    variable(host, "SecureBoot", GLOBAL, b"\0")
    with pytest.raises(Unsupported, match="its package is not installed"):
        registry.init(context(loaders=loaders_of(Unable())), machine.path_of(UUIDS[0]), "plain")
    assert not host.paths.esp_uuids.exists()


def test_a_disk_that_breaks_while_a_loader_is_put_on_it_is_named(context, machine, host):
    with pytest.raises(PvefwError) as caught:
        registry.init(context(loaders=loaders_of(Breaking())), machine.path_of(UUIDS[0]), "plain")
    assert caught.value.message == (
        "ESP AAAA-0001 (/dev/sda2): plain: boot_install failed: Input/output error"
    )
    assert not host.paths.esp_uuids.exists()


# --- reinit -------------------------------------------------------------------------------------------


def loader_of(machine, uuid):
    return machine.directory / uuid / "plain/loader"


def test_reinit_repairs_the_others_where_one_is_missing(ready, machine):
    (machine.directory / UUIDS[0]).rename(machine.directory.parent / "pulled")
    loader_of(machine, UUIDS[1]).unlink()
    with pytest.raises(StoreError, match="AAAA-0001: not found") as caught:
        registry.reinit(ready())
    assert "pvefw boot clean" in caught.value.hint
    assert loader_of(machine, UUIDS[1]).exists()


def test_reinit_goes_on_after_an_esp_that_fails(ready, machine):
    machine.read_only.add(UUIDS[0])
    loader_of(machine, UUIDS[1]).unlink()
    context = ready()
    with pytest.raises(StoreError, match="Read-only file system"):
        registry.reinit(context)
    assert loader_of(machine, UUIDS[1]).exists()
    assert any(line.startswith("ERROR: ") for line in context.task.lines)


def test_a_loader_that_fails_on_every_esp_says_of_which_it_speaks(ready, machine):
    class Failing(Plain):
        @hookimpl
        def boot_render(self, esp, plan):
            raise ProviderError("no font for the menu")

    with pytest.raises(StoreError) as caught:
        refresh.refresh(ready(loaders=loaders_of(Failing())))
    assert caught.value.message == (
        "ESPs: 2 of 2 failed: ESP AAAA-0001 (/dev/sda2): plain: no font for the menu; "
        "ESP BBBB-0002 (/dev/sdb2): plain: no font for the menu"
    )


@pytest.fixture
def forgotten(ready, host):
    """Both ESPs are registered, and the state of this node is lost: a new system disk, say."""
    for path in host.paths.boot_state.rglob("*.json"):
        path.unlink()
    assert records.load(host.paths, UUIDS[0]).loader == ""
    return ready


@pytest.mark.usefixtures("forgotten")
def test_a_loader_that_nobody_has_noted_is_found(context, machine, host):
    loaders = loaders_of(Plain("grub"), Plain())
    registry.reinit(context(loaders=loaders))
    assert records.load(host.paths, UUIDS[0]).loader == "plain"
    assert not (machine.directory / UUIDS[0] / "grub").exists()


@pytest.mark.usefixtures("forgotten")
def test_an_empty_esp_gets_the_loader_that_fits_this_machine(context, machine, host):
    loader_of(machine, UUIDS[0]).unlink()
    registry.reinit(context(loaders=loaders_of(Plain("grub"), Plain())))
    assert [records.load(host.paths, uuid).loader for uuid in UUIDS] == ["grub", "plain"]


@pytest.mark.usefixtures("forgotten")
def test_of_several_loaders_that_nobody_has_noted_the_administrator_chooses(context, machine, host):
    other = machine.directory / UUIDS[0] / "other"
    other.mkdir()
    (other / "loader").write_text("1.0")
    loaders = loaders_of(Plain("other"), Plain())
    with pytest.raises(ProviderError) as caught:
        registry.reinit(context(loaders=loaders))
    assert caught.value.message == (
        "ESP AAAA-0001 (/dev/sda2): several boot loaders are on it: other, plain"
    )
    hint = "Choose one, other or plain: pvefw boot init /dev/sda2 other"
    assert caught.value.hint == hint
    registry.init(context(loaders=loaders), machine.path_of(UUIDS[0]), "other")
    assert records.load(host.paths, UUIDS[0]).loader == "other"
    registry.reinit(context(loaders=loaders))
