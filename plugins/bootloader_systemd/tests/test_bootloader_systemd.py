"""systemd-boot: the conformance kit with and without variables, Proxmox VE's bytes, bootctl, rubbish."""

import importlib.util
import os
import struct
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from servers.bootctl import write_bootctl

from pvefw.api import BootPlan, Firmware, ProviderError, Unsupported
from pvefw.core.binding import bind_object
from pvefw.core.families import BOOTLOADER
from pvefw.testing.boot import BootloaderConformance, Machine
from pvefw.testing.fakes import FakeTask, fake_esp, fake_kernel
from pvefw_bootloader_systemd import SystemdBoot

_spec = importlib.util.spec_from_file_location("loader", Path(__file__).with_name("loader.py"))
loader = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(loader)

OLD, NEW = "6.5.13-6-pve", "6.8.12-4-pve"
BINARY = b"MZ #### LoaderInfo: systemd-boot 252.39-1~deb12u2 ####"
VARIABLE = loader.ONE_SHOT


def put_loader(root):
    for name in ("EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(BINARY)


@pytest.fixture
def efivars(tmp_path):
    """A firmware with variables."""
    folder = tmp_path / "efivars"
    folder.mkdir()
    (folder / "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\7\0\0\0\0\0")
    return folder


class Conformance(BootloaderConformance):
    @pytest.fixture
    def install(self):
        return put_loader


class TestByVariable(Conformance):
    @pytest.fixture
    def plugin(self, efivars):
        return SystemdBoot(efivars=efivars)

    @pytest.fixture
    def boots(self, efivars):
        return lambda root: loader.start(root, efivars)


class TestByBootCounting(Conformance):
    @pytest.fixture
    def plugin(self, tmp_path):
        return SystemdBoot(efivars=tmp_path / "not-mounted")

    @pytest.fixture
    def boots(self):
        return loader.start


# --- what Proxmox VE has ------------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path):
    kernels = [fake_kernel(tmp_path / "host", version) for version in (NEW, OLD)]
    return BootPlan(kernels, NEW, None, "root=ZFS=rpool/ROOT/pve-1 boot=zfs", tmp_path / "host")


@pytest.fixture
def esp(tmp_path):
    esp = fake_esp(tmp_path / "esp")
    esp.mountpoint.mkdir()
    return esp


@pytest.fixture
def hooks(efivars):
    return bind_object(BOOTLOADER, SystemdBoot(efivars=efivars), "systemd-boot").hooks


def conf(hooks, esp, plan):
    return hooks.boot_render(esp=esp, plan=plan).texts[PurePosixPath("loader/loader.conf")].decode()


def test_entries_are_those_of_proxmox_ve(hooks, esp, plan):
    tree = hooks.boot_render(esp=esp, plan=plan)
    assert tree.texts[PurePosixPath(f"loader/entries/proxmox-{NEW}.conf")].decode() == (
        "title    Proxmox\n"
        f"version  {NEW}\n"
        "options   root=ZFS=rpool/ROOT/pve-1 boot=zfs\n"
        f"linux    /EFI/proxmox/{NEW}/vmlinuz-{NEW}\n"
        f"initrd   /EFI/proxmox/{NEW}/initrd.img-{NEW}\n"
    )
    assert list(map(str, tree.copies)) == [
        f"EFI/proxmox/{version}/{name}-{version}"
        for version in (NEW, OLD)
        for name in ("vmlinuz", "initrd.img")
    ]
    assert conf(hooks, esp, plan) == f"timeout 3\ndefault proxmox?{NEW}[.+]*\n"


def test_an_esp_of_proxmox_ve_is_understood(hooks, esp, plan, efivars, tmp_path):
    """Its ``loader.conf`` leaves the choice to the loader, which takes the newest."""
    refreshed(SystemdBoot(efivars=efivars), esp, plan, tmp_path)
    (esp.mountpoint / "loader/loader.conf").write_text("timeout 3\ndefault proxmox-*\n")
    state = hooks.boot_probe(esp=esp)
    assert (set(state.kernels), state.default, state.next_boot) == ({OLD, NEW}, NEW, None)
    assert state.loader_version == "252.39-1~deb12u2"
    (esp.mountpoint / "loader/loader.conf").write_text(f"timeout 3\ndefault proxmox-{OLD}.conf\n")
    assert hooks.boot_probe(esp=esp).default == OLD


def test_what_was_chosen_in_the_menu_is_the_default(hooks, esp, plan, efivars, tmp_path):
    """Whatever loader.conf says: the status must not."""
    machine = refreshed(SystemdBoot(efivars=efivars), esp, plan, tmp_path)
    assert machine.probe().default == NEW
    chosen = efivars / "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    chosen.write_bytes(b"\7\0\0\0" + f"proxmox-{OLD}.conf\0".encode("utf-16-le"))
    assert machine.probe().default == OLD
    chosen.write_bytes(b"\7\0\0\0" + "gone.conf\0".encode("utf-16-le"))
    assert machine.probe().default == NEW


def test_windows_line_ends_on_the_esp(hooks, esp, plan, efivars, tmp_path):
    refreshed(SystemdBoot(efivars=efivars), esp, plan, tmp_path)
    for path in esp.mountpoint.rglob("*.conf"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b"    /", b"\t\\"))
    state = hooks.boot_probe(esp=esp)
    assert (set(state.kernels), state.default) == ({OLD, NEW}, NEW)


# --- settings of the menu -----------------------------------------------------------------------------


def host_conf(plan, data):
    path = plan.root / "etc/kernel/loader.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def test_the_hosts_settings_are_used(hooks, esp, plan):
    host_conf(plan, b"# ours\r\ntimeout 10\r\n\r\nconsole-mode  max\r\neditor no\r\n")
    assert conf(hooks, esp, plan) == (
        f"timeout 10\nconsole-mode max\neditor no\ndefault proxmox?{NEW}[.+]*\n"
    )


def test_the_time_out_of_proxmox_ve_stays(hooks, esp, plan):
    host_conf(plan, b"editor no\n")
    assert conf(hooks, esp, plan).startswith("timeout 3\neditor no\n")


def test_the_default_is_not_the_hosts_setting(hooks, esp, plan):
    host_conf(plan, b"default windows.conf\n")
    assert conf(hooks, esp, plan) == f"timeout 3\ndefault proxmox?{NEW}[.+]*\n"
    [warning] = hooks.boot_render(esp=esp, plan=plan).warnings
    assert "'default' is not used" in warning


def test_a_setting_that_is_no_text_keeps_no_kernel_off_the_esp(hooks, esp, plan):
    host_conf(plan, b"# f\xfcr uns\ntimeout \xff\xfe\neditor no\n")
    assert conf(hooks, esp, plan) == f"timeout 3\neditor no\ndefault proxmox?{NEW}[.+]*\n"
    [warning] = hooks.boot_render(esp=esp, plan=plan).warnings
    assert "is left out: it is not text in UTF-8" in warning


def test_settings_that_cannot_be_read(hooks, esp, plan):
    (plan.root / "etc/kernel/loader.conf").mkdir(parents=True)
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        hooks.boot_render(esp=esp, plan=plan)
    assert "loader.conf" in caught.value.hint


# --- booting once -------------------------------------------------------------------------------------


def refreshed(plugin, esp, plan, tmp_path, task=None):
    put_loader(esp.mountpoint)
    machine = Machine(
        tmp_path / "host",
        esp,
        bind_object(BOOTLOADER, plugin, "it"),
        loader.start,
        task or FakeTask(),
    )
    machine.bring(plan)
    return machine


def test_the_variable_is_what_bootctl_would_write(hooks, esp, plan, efivars, tmp_path):
    once = replace(plan, next_boot=OLD)
    refreshed(SystemdBoot(efivars=efivars), esp, once, tmp_path)
    attributes, value = (
        struct.unpack_from("<I", data := (efivars / VARIABLE).read_bytes())[0],
        data[4:],
    )
    assert attributes == 7
    assert value == f"proxmox-{OLD}.conf\0".encode("utf-16-le")
    assert not list(esp.mountpoint.glob("loader/entries/proxmox_*"))


def test_somebody_elses_next_boot_stays(hooks, esp, plan, efivars, tmp_path):
    windows = b"\7\0\0\0" + "auto-windows\0".encode("utf-16-le")
    (efivars / VARIABLE).write_bytes(windows)
    machine = refreshed(SystemdBoot(efivars=efivars), esp, plan, tmp_path)
    assert machine.probe().next_boot is None
    hooks.boot_arm(esp=esp, plan=plan, task=FakeTask())
    assert (efivars / VARIABLE).read_bytes() == windows


def test_a_variable_that_cannot_be_written(hooks, esp, plan, efivars, tmp_path):
    """Whatever the reason: the boot is counted."""
    (efivars / VARIABLE).mkdir()
    task = FakeTask()
    machine = refreshed(
        SystemdBoot(efivars=efivars), esp, replace(plan, next_boot=OLD), tmp_path, task
    )
    assert "counting boots instead" in task.lines[-1]
    [entry] = esp.mountpoint.glob("loader/entries/proxmox_*")
    assert entry.name == f"proxmox_{NEW}+1.conf"
    assert f"/EFI/proxmox/{OLD}/vmlinuz-{OLD}\n" in entry.read_text()
    assert machine.probe().next_boot == OLD


def test_what_is_spent_is_cleaned_up(hooks, esp, plan, tmp_path):
    machine = refreshed(
        SystemdBoot(efivars=tmp_path / "none"), esp, replace(plan, next_boot=OLD), tmp_path
    )
    machine.check_start(OLD, "armed")
    assert [path.name for path in esp.mountpoint.glob("loader/entries/proxmox_*")] == [
        f"proxmox_{NEW}+0-1.conf"
    ]
    machine.bring(plan)
    assert not list(esp.mountpoint.glob("loader/entries/proxmox_*"))


@pytest.mark.parametrize("name", [f"proxmox_{NEW}.conf", f"proxmox_{OLD}+1.conf"])
def test_leftovers_are_seen_and_go(name, hooks, esp, plan, tmp_path):
    """One that the system has blessed, and one that was armed beside another default."""
    machine = refreshed(
        SystemdBoot(efivars=tmp_path / "none"), esp, replace(plan, next_boot=OLD), tmp_path
    )
    [entry] = esp.mountpoint.glob("loader/entries/proxmox_*")
    entry.rename(entry.with_name(name))
    assert OLD in machine.probe().next_boot
    machine.bring(plan)
    assert machine.probe().next_boot is None
    assert not list(esp.mountpoint.glob("loader/entries/proxmox_*"))


def test_a_counted_entry_beside_the_variable(esp, plan, efivars, tmp_path):
    """The firmware's variables could not be written, and now they can: one boot, not two."""
    once = replace(plan, next_boot=OLD)
    refreshed(SystemdBoot(efivars=tmp_path / "none"), esp, once, tmp_path)
    plugin = SystemdBoot(efivars=efivars)
    (efivars / VARIABLE).write_bytes(b"\7\0\0\0" + f"proxmox-{OLD}.conf\0".encode("utf-16-le"))
    refreshed(plugin, esp, once, tmp_path)
    assert not list(esp.mountpoint.glob("loader/entries/proxmox_*"))
    assert (efivars / VARIABLE).exists()


def test_names_that_counting_cannot_tell_apart(hooks, esp, tmp_path):
    """Then the default is named exactly, and only the firmware's variable can do it."""
    kernels = [fake_kernel(tmp_path / "host", version) for version in ("6.9.0+", "6.9.0")]
    plan = BootPlan(kernels, "6.9.0", None, "root=/dev/sda1", tmp_path / "host")
    machine = refreshed(SystemdBoot(efivars=tmp_path / "none"), esp, plan, tmp_path)
    machine.check_start("6.9.0", "it is the default")
    with pytest.raises(ProviderError, match="cannot boot once"):
        machine.arm(replace(plan, next_boot="6.9.0+"))
    machine.check_start("6.9.0", "arming failed")


def test_a_full_or_broken_esp_while_arming(hooks, esp, plan, tmp_path):
    machine = refreshed(SystemdBoot(efivars=tmp_path / "none"), esp, plan, tmp_path)
    in_the_way = esp.mountpoint / f"loader/entries/proxmox_{NEW}+1.conf"
    in_the_way.mkdir()
    with pytest.raises(ProviderError, match="next boot could not be changed"):
        machine.arm(replace(plan, next_boot=OLD))
    in_the_way.rmdir()
    machine.check_start(NEW, "arming failed")


# --- bootctl ------------------------------------------------------------------------------------------


@pytest.fixture
def bootctl(tmp_path, monkeypatch):
    """The real bootctl, on a directory; what is called with a shell line that runs before it."""
    folder, mnt = tmp_path / "bin", tmp_path / "mnt"
    folder.mkdir()
    mnt.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(before=":"):
        write_bootctl(folder, mnt, before)

    write()
    return write


def test_bootctl_installs_the_loader(bootctl, esp, tmp_path):
    task = FakeTask()
    hooks = bind_object(BOOTLOADER, SystemdBoot(efivars=tmp_path / "none"), "it").hooks
    for _ in range(2):  # reinit
        hooks.boot_install(esp=esp, firmware=Firmware.UEFI, task=task)
    [binary] = esp.mountpoint.glob("EFI/systemd/systemd-boot*.efi")
    arch = binary.stem.removeprefix("systemd-boot")
    assert (esp.mountpoint / f"EFI/BOOT/BOOT{arch.upper()}.EFI").read_bytes() == binary.read_bytes()
    state = hooks.boot_probe(esp=esp)
    assert (list(state.firmware), list(state.kernels)) == ([Firmware.UEFI], [])
    assert state.loader_version.split(".")[0].isdigit()
    assert "EFI/BOOT alone" in task.lines[-1]


def test_registration_that_fails_is_a_warning(bootctl, esp, efivars):
    bootctl(before="case $* in *--no-variables*) ;; *) echo no room >&2; exit 1;; esac")
    task = FakeTask()
    SystemdBoot(efivars=efivars).boot_install(esp=esp, task=task)
    [warning] = task.warnings
    assert "not registered in the firmware (no room)" in warning


def test_no_bootctl(esp, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    hooks = bind_object(BOOTLOADER, SystemdBoot(), "it").hooks
    with pytest.raises(Unsupported, match="not installed") as caught:
        hooks.boot_install(esp=esp, firmware=Firmware.UEFI, task=FakeTask())
    assert "apt install systemd-boot" in caught.value.hint


def test_bootctl_refuses(esp):
    """What is no ESP: in bootctl's own words."""
    hooks = bind_object(BOOTLOADER, SystemdBoot(), "it").hooks
    with pytest.raises(ProviderError, match="bootctl could not install"):
        hooks.boot_install(esp=esp, firmware=Firmware.UEFI, task=FakeTask())
