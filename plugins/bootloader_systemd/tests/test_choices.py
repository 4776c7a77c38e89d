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
    for _ in bring(esp.mountpoint, plugin.boot_render(esp, plan)):
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


def test_a_setting_with_an_equals_sign_is_what_was_meant(plan, esp):
    path = plan.root / "etc/kernel/loader.conf"
    path.parent.mkdir(parents=True)
    path.write_text("timeout=10\nconsole-mode = max\neditor no\n")
    tree = SystemdBoot().boot_render(esp, plan)
    [conf] = [data for name, data in tree.texts.items() if name.name == "loader.conf"]
    assert conf.decode().splitlines()[:3] == ["timeout 10", "console-mode max", "editor no"]
    assert len(tree.warnings) == 2
    assert "'timeout=10' is read as 'timeout 10'" in tree.warnings[0]


# --- what else is on the ESP, and what boots once ----------------------------------------------------


def configured(tree):
    [conf] = [data for name, data in tree.texts.items() if name.name == "loader.conf"]
    return conf.decode().splitlines()


@pytest.mark.parametrize(
    "name",
    [
        f"loader/entries/proxmox-{NEW}.bak.conf",
        f"loader/entries/PROXMOX-{NEW}.test.conf",
        f"EFI/Linux/proxmox-{NEW}.efi",
        f"EFI/Linux/proxmox-{NEW}+3.efi",
    ],
)
def test_what_is_called_like_the_default_is_not_started_in_its_place(state, plan, esp, name):
    """The loader begins with the newest id that matches, and ``.bak`` makes it newer."""
    path = esp.mountpoint / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"title mine\nversion {NEW}\nlinux /mine\n")
    assert state().default in (NEW, path.name.lower(), path.name.lower().replace("+3", ""))
    tree = SystemdBoot().boot_render(esp, plan)
    assert configured(tree)[-1] == f"default proxmox-{NEW}.conf"


def test_an_entry_that_boots_once_is_no_neighbour(plan, esp):
    for name in (f"proxmox_{NEW}+1.conf", f"proxmox_{NEW}+0-1.conf", f"proxmox_{NEW}.conf"):
        path = esp.mountpoint / "loader/entries" / name
        path.write_text(f"title once\nversion {OLD}\nlinux /x\n")
        assert configured(SystemdBoot().boot_render(esp, plan))[-1] == f"default proxmox?{NEW}[.+]*"
        path.unlink()


@pytest.mark.parametrize(
    ("default", "boots"),
    [
        ("debian*", "debian-6.1.conf"),
        ("auto-windows", "auto-windows"),
        ("PROXMOX-*", NEW),
        (f"proxmox-{OLD}*", OLD),
        ("@saved", OLD),
        ("gone.conf", NEW),
    ],
)
def test_a_changed_configuration_is_read_as_the_loader_reads_it(
    state, firmware, esp, default, boots
):
    state()
    firmware.set("LoaderEntryLastBooted", f"proxmox-{OLD}.conf")
    (esp.mountpoint / "loader/loader.conf").write_text(f"default {default}\n")
    assert state().default == boots


@pytest.mark.parametrize("name", ["loader/entries/other.conf", "EFI/Linux/other.efi"])
def test_what_is_ordered_by_a_sort_key_is_the_loaders_to_choose(state, esp, name):
    state()
    (esp.mountpoint / "loader/loader.conf").write_text("timeout 3\n")
    assert state().default == NEW
    (esp.mountpoint / "EFI/Linux").mkdir()
    (esp.mountpoint / name).write_text("sort-key debian\nlinux /x\n")
    assert state().default is None


@pytest.mark.parametrize("id_", ["debian-6.1.efi", "debian-6.1+3.efi"])
def test_a_unified_kernel_that_is_counted_has_two_ids(state, firmware, esp, id_):
    (esp.mountpoint / "EFI/Linux").mkdir()
    (esp.mountpoint / "EFI/Linux/debian-6.1+3.efi").write_bytes(b"MZ")
    firmware.set("LoaderEntryDefault", id_)
    assert state().default == id_
    assert id_ in state().overruled


def test_what_somebody_else_boots_once_is_told_and_stays(state, firmware, plan, esp):
    firmware.set("LoaderEntryOneShot", "auto-windows")
    assert state().next_boot == "auto-windows"
    plugin = SystemdBoot(efivars=firmware.folder)
    plugin.boot_arm(esp, plan, FakeTask())
    assert state().next_boot == "auto-windows"
    plugin.boot_arm(esp, replace(plan, take_over=True), FakeTask())
    assert state().next_boot is None


def test_a_pattern_may_boot_once(state, firmware):
    firmware.set("LoaderEntryOneShot", f"Proxmox-{OLD}*")
    assert state().next_boot == OLD


def test_a_byte_order_mark_is_no_part_of_a_setting(plan, esp):
    path = plan.root / "etc/kernel/loader.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xef\xbb\xbftimeout 10\n")
    assert configured(SystemdBoot().boot_render(esp, plan))[0] == "timeout 10"


def test_settings_are_read_as_they_were_meant(plan, esp):
    path = plan.root / "etc/kernel/loader.conf"
    path.parent.mkdir(parents=True)
    path.write_text("TIMEOUT 10 # seconds\nconsole-mode max\nPreferred auto-windows\n")
    tree = SystemdBoot().boot_render(esp, plan)
    assert configured(tree)[:-1] == ["timeout 10", "console-mode max"]
    assert "'preferred' is not used" in tree.warnings[0]
    assert "'TIMEOUT 10 # seconds' is read as 'timeout 10'" in tree.warnings[1]


# --- what is preferred, and a menu that waits -----------------------------------------------------------


@pytest.fixture
def recent(esp):
    """A loader that knows what is preferred: the name of the variable is in its image."""
    image = esp.mountpoint / "EFI/systemd/systemd-bootx64.efi"
    image.write_bytes(b"MZ" + "LoaderEntryPreferred".encode("utf-16-le"))


def test_what_is_preferred_comes_before_a_choice(state, recent, firmware, plan, esp):
    firmware.set("LoaderEntryPreferred", "auto-windows")
    firmware.set("LoaderEntryDefault", f"proxmox-{OLD}.conf")
    found = state()
    assert found.default == "auto-windows"
    assert found.overruled == "the firmware's LoaderEntryPreferred names auto-windows"
    plugin = SystemdBoot(efivars=firmware.folder)
    plugin.boot_arm(esp, replace(plan, pinned=True), FakeTask())
    assert not firmware.path("LoaderEntryPreferred").exists()
    assert (state().default, state().overruled) == (NEW, "")


def test_what_is_preferred_and_is_the_default_makes_a_choice_harmless(state, recent, firmware):
    firmware.set("LoaderEntryPreferred", f"proxmox-{NEW}.conf")
    firmware.set("LoaderEntryDefault", "auto-windows")
    assert (state().default, state().overruled) == (NEW, "")


def test_an_older_loader_does_not_know_what_is_preferred(state, firmware):
    firmware.set("LoaderEntryPreferred", "auto-windows")
    assert (state().default, state().overruled) == (NEW, "")


def test_an_entry_without_a_try_left_is_not_preferred(state, recent, firmware, esp):
    (esp.mountpoint / "loader/entries/debian-6.1.conf").rename(
        esp.mountpoint / "loader/entries/debian-6.1+0-3.conf"
    )
    firmware.set("LoaderEntryPreferred", "debian-6.1*")
    assert (state().default, state().overruled) == (NEW, "")
    firmware.set("LoaderEntryDefault", "debian-6.1.conf")
    assert state().default == "debian-6.1.conf", "as a default it counts nevertheless"


def test_what_is_preferred_in_the_configuration_is_the_default(state, recent, esp):
    state()
    conf = esp.mountpoint / "loader/loader.conf"
    conf.write_text(f"{conf.read_text()}preferred auto-windows\n")
    assert state().default == "auto-windows"


@pytest.mark.parametrize(
    ("name", "value", "waits"),
    [
        ("LoaderConfigTimeout", "menu-force", True),
        ("LoaderConfigTimeout", "0", False),
        ("LoaderConfigTimeout", "menu-hidden", False),
        ("LoaderConfigTimeout", "30", False),
        ("LoaderConfigTimeoutOneShot", "menu-force", True),
        ("LoaderConfigTimeoutOneShot", "0", True),
        ("LoaderConfigTimeoutOneShot", "30", False),
    ],
)
def test_a_menu_that_waits_for_a_key_is_told(state, firmware, plan, esp, name, value, waits):
    firmware.set(name, value)
    said = f"the firmware's {name} is {value}, so that the menu waits for a key" if waits else ""
    assert (state().default, state().overruled) == (NEW, said)
    plugin = SystemdBoot(efivars=firmware.folder)
    plugin.boot_arm(esp, replace(plan, take_over=True), FakeTask())
    assert firmware.path(name).exists() != waits
    assert state().overruled == ""


def test_what_was_started_this_time_overrules_nothing(state, firmware):
    firmware.set("LoaderEntrySelected", "auto-windows")
    assert (state().default, state().overruled) == (NEW, "")
