"""What somebody chose in the firmware comes before ``loader.conf``, and is told and taken away."""

from dataclasses import replace

import pytest

from pvefw.api import BootPlan, Esp
from pvefw.testing.boot import bring
from pvefw.testing.fakes import FakeTask, fake_kernel
from pvefw_bootloader_systemd import SystemdBoot

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"
_VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


class Firmware:
    """Variables, as files."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder / "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\7\0\0\0\0\0")

    def path(self, name):
        return self.folder / f"{name}-{_VENDOR}"

    def set(self, name, text):
        self.path(name).write_bytes(b"\7\0\0\0" + f"{text}\0".encode("utf-16-le"))


@pytest.fixture
def firmware(tmp_path):
    return Firmware(tmp_path / "efivars")


@pytest.fixture
def plan(tmp_path):
    host = tmp_path / "host"
    kernels = [fake_kernel(host, version) for version in (NEW, OLD)]
    return BootPlan(kernels, NEW, None, "root=/dev/sda3", host)


@pytest.fixture
def esp(tmp_path):
    root = tmp_path / "esp"
    for name in ("EFI/systemd/systemd-bootx64.efi", "EFI/Microsoft/Boot/bootmgfw.efi"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"MZ")
    (root / "loader/entries").mkdir(parents=True)
    (root / "loader/entries/debian-6.1.conf").write_text("title Debian\nlinux /debian\n")
    return Esp("ABCD-1234", tmp_path / "sda2", tmp_path / "sda", root, 512 << 20, 400 << 20)


@pytest.fixture
def state(firmware, plan, esp):
    """What is found after a refresh."""
    plugin = SystemdBoot(efivars=firmware.folder)
    for _ in bring(esp.mountpoint, plugin.boot_render(plan)):
        pass
    return lambda: plugin.boot_probe(esp)


@pytest.mark.parametrize(
    ("chosen", "boots"),
    [
        ("auto-windows", "auto-windows"),
        ("debian-6.1.conf", "debian-6.1.conf"),
        ("debian-*", "debian-6.1.conf"),
        (f"proxmox-{OLD}.conf", OLD),
        (f"PROXMOX-{OLD}*", OLD),
        ("auto-reboot-to-firmware-setup", "auto-reboot-to-firmware-setup"),
    ],
)
def test_a_choice_in_the_firmware_is_told(state, firmware, chosen, boots):
    firmware.set("LoaderEntryDefault", chosen)
    found = state()
    assert found.default == boots
    assert f"LoaderEntryDefault names {chosen}" in found.overruled


def test_what_was_started_the_last_time_may_be_the_default(state, firmware):
    firmware.set("LoaderEntryDefault", "@saved")
    assert (state().default, state().overruled) == (NEW, "")
    firmware.set("LoaderEntryLastBooted", f"proxmox-{OLD}.conf")
    assert state().default == OLD
    assert "@saved" in state().overruled


@pytest.mark.parametrize("chosen", [f"proxmox-{NEW}.conf", "gone.conf", "auto-osx", ""])
def test_a_choice_that_changes_nothing_is_nothing(state, firmware, chosen):
    firmware.set("LoaderEntryDefault", chosen)
    assert (state().default, state().overruled) == (NEW, "")


@pytest.mark.parametrize("changes", [{"pinned": True}, {"take_over": True}])
def test_a_pin_and_a_take_over_take_the_choice_away(state, firmware, plan, esp, changes):
    plugin = SystemdBoot(efivars=firmware.folder)
    firmware.set("LoaderEntryDefault", "auto-windows")
    plugin.boot_arm(esp, plan, FakeTask())
    assert firmware.path("LoaderEntryDefault").exists()
    plugin.boot_arm(esp, replace(plan, **changes), FakeTask())
    assert not firmware.path("LoaderEntryDefault").exists()
    assert (state().default, state().overruled) == (NEW, "")


def test_a_setting_with_an_equals_sign_is_what_was_meant(plan):
    path = plan.root / "etc/kernel/loader.conf"
    path.parent.mkdir(parents=True)
    path.write_text("timeout=10\nconsole-mode = max\neditor no\n")
    tree = SystemdBoot().boot_render(plan)
    [conf] = [data for name, data in tree.texts.items() if name.name == "loader.conf"]
    assert conf.decode().splitlines()[:3] == ["timeout 10", "console-mode max", "editor no"]
    assert len(tree.warnings) == 2
    assert "'timeout=10' is read as 'timeout 10'" in tree.warnings[0]
