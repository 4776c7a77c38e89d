"""Hosts as people have them: what was reported of kernels, command lines, disks and firmware."""

import dataclasses
import json
import random
import subprocess

import pytest
from boot.conftest import KERNELS, UUIDS, Plain, loaders_of
from boot.efivars import variables

from pvefw.api import hookimpl
from pvefw.boot import (
    choice,
    cmdline,
    disks,
    kernels,
    packages,
    refresh,
    registry,
    status,
)
from pvefw.boot import select as selecting
from pvefw.boot.boot_entries import BootEntries, Judge, OurEsp
from pvefw.boot.disks import Devices
from pvefw.boot.packages import KernelPackages
from pvefw.core.errors import ConfigError, StoreError, Unsupported, UsageError
from pvefw.store import kernel_files

DEBIAN = "6.12.43+deb13-amd64"


def stanza(name, status_="install ok installed"):
    return f"Package: {name}\nStatus: {status_}\nPriority: optional\nVersion: 1\n\n"


# --- kernels ------------------------------------------------------------------------------------------


def planned(host):
    made = choice.plan(host.paths).plan
    return [kernel.version for kernel in made.kernels], made.default


def test_debians_kernel_beside_proxmox_ves_counts_only_where_somebody_wants_it(host, monkeypatch):
    host.install(DEBIAN)
    assert planned(host) == (sorted(KERNELS, key=KERNELS.index, reverse=True), KERNELS[-1])
    choice.add(host.paths, DEBIAN)
    assert DEBIAN in planned(host)[0]
    choice.remove(host.paths, DEBIAN)
    choice.pin(host.paths, DEBIAN, next_boot=False)
    assert planned(host)[1] == DEBIAN
    choice.unpin(host.paths, next_boot=False)
    monkeypatch.setattr(kernels, "running", lambda: DEBIAN)
    assert DEBIAN in planned(host)[0]


def test_no_kernel_of_debians_pushes_one_of_proxmox_ves_off():
    random_ = random.Random(17)
    ours = [f"6.{series}.{patch}-1-pve" for series in (2, 5, 8) for patch in (1, 2, 3)]
    others = [f"6.{series}.{patch}+deb13-amd64" for series in (1, 8, 12) for patch in (1, 2)]
    for _ in range(300):
        there = random_.sample(ours, random_.randint(1, 9))
        debian = random_.sample(others, random_.randint(0, 6))
        running = random_.choice([*there, *debian])
        kept = kernels.automatic([*there, *debian], running)
        alone = kernels.automatic(there, running)
        assert set(kept) - {running} == set(alone) - {running}


def test_without_proxmox_ves_kernels_debians_are_what_counts():
    assert kernels.automatic(["6.1.1-amd64", DEBIAN], "gone") == [DEBIAN, "6.1.1-amd64"]


def test_a_kernel_of_proxmox_ves_by_its_package(host):
    host.write("var/lib/dpkg/status", stanza("proxmox-kernel-6.9.1-mine-signed") + stanza("bash"))
    found = packages.installed(host.paths)
    assert found.are_proxmox("6.9.1-mine")
    assert not found.are_proxmox("6.9.1-other")


def test_series_are_those_of_the_installed_meta_packages(host):
    host.write(
        "var/lib/dpkg/status",
        stanza("proxmox-kernel-6.8")
        + stanza("pve-kernel-6.2")
        + stanza("proxmox-kernel-6.5", "deinstall ok config-files")
        + stanza("proxmox-kernel-6.8.12-4-pve-signed")
        + stanza("proxmox-kernel-helper"),
    )
    found = packages.installed(host.paths)
    assert found.series == ["6.8", "6.2"]
    there = ["6.8.1-pve", "6.8.2-pve", "6.8.3-pve", "6.5.9-pve", "6.2.9-pve", "6.2.1-pve"]
    assert kernels.automatic(there, "gone", packages=found) == [
        "6.8.3-pve",
        "6.8.2-pve",
        "6.2.9-pve",
    ]
    assert "6.5.9-pve" in kernels.automatic(there, "gone", packages=KernelPackages())


@pytest.mark.parametrize(
    "ordered",
    [
        ["6.12-rc5-amd64", "6.12-amd64"],
        ["6.12.0-rc5", "6.12.0"],
        ["6.12.1-trunk-amd64", "6.12.1-1-amd64"],
        ["6.12.1-trunk-amd64", "6.12.1-amd64"],
        ["6.12.1-amd64", "6.12.1-bpo12-amd64"],
        ["6.8.12-4-pve", "6.8.12-10-pve"],
    ],
)
def test_pre_releases_and_backports_are_ordered_as_linux_version_has_it(ordered):
    assert kernels.automatic(list(reversed(ordered)), "gone") == ordered[::-1]
    said = subprocess.run(
        ["linux-version", "sort", *reversed(ordered)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ordered


@pytest.mark.parametrize(
    "end", ["signed", "unsigned", "sig", "hmac", "old", "bak", "orig", "sha256"]
)
def test_what_lies_beside_a_kernel_is_none(host, end):
    for name in ("vmlinuz", "initrd.img"):
        host.write(f"boot/{name}-6.8.12-4-pve.{end}", "beside it")
    found = kernels.installed(host.paths)
    assert found.versions == list(reversed(KERNELS))
    assert found.incomplete == {}


# --- the running kernel -------------------------------------------------------------------------------


@pytest.fixture
def in_use(monkeypatch):
    """This root is the running system's, and so is this kernel."""

    def in_use(version):
        monkeypatch.setattr(cmdline, "runs_from", lambda _root: True)
        monkeypatch.setattr(cmdline, "names_its_loader", lambda: True)
        monkeypatch.setattr(kernels, "running", lambda: version)

    return in_use


def everything(machine):
    return {path: path.read_bytes() for path in machine.directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("below", [[], ["6.2.16-20-pve"]], ids=["nothing else", "an old one below"])
def test_a_boot_that_is_not_mounted_costs_no_kernel(ready, host, machine, in_use, below):
    in_use(KERNELS[-1])
    for version in below:
        host.install(version)
    for version in KERNELS[-1:] if not below else KERNELS:
        host.remove(version)
    before = everything(machine)
    with pytest.raises(StoreError, match=f"kernel {KERNELS[-1]} is running, but .*/boot"):
        refresh.refresh(ready())
    assert everything(machine) == before
    found = status.status(ready())
    assert not found.ok
    assert any("is running, but" in problem for problem in found.problems)


def test_a_running_kernel_without_its_initrd_stays_on_the_esps(ready, host, machine, in_use):
    in_use(KERNELS[-1])
    (host.root / f"boot/initrd.img-{KERNELS[-1]}").unlink()
    before = everything(machine)
    with pytest.raises(StoreError, match=r"is running, but there is no .*initrd"):
        refresh.refresh(ready())
    assert everything(machine) == before


def test_an_esp_that_never_had_the_running_kernel_is_served(ready, in_use):
    in_use("6.1.0-rescue")
    refresh.refresh(made := ready())
    assert any("6.1.0-rescue is running, but" in warning for warning in made.task.warnings)


def test_a_kernel_that_a_hypervisor_was_given_need_not_be_in_boot(ready, in_use, monkeypatch):
    in_use("6.1.0-given")
    monkeypatch.setattr(cmdline, "names_its_loader", lambda: False)
    refresh.refresh(made := ready())
    assert made.task.warnings == []
    assert status.status(ready()).ok


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BOOT_IMAGE=/vmlinuz-6.8 root=x", True),
        (r"initrd=\EFI\proxmox\initrd root=x", True),
        ("root=x initrd=initrd", False),
    ],
)
def test_a_command_line_shows_which_loader_wrote_it(monkeypatch, text, said):
    monkeypatch.setattr(cmdline, "_running", lambda: text)
    assert cmdline.names_its_loader() is said
    assert cmdline.running() == ["root=x"]


# --- the command line ---------------------------------------------------------------------------------

RESCUE = """
single S 1 emergency rescue -b init=/bin/bash rdinit=/bin/sh rd.break rd.break=pre-mount break=init
systemd.unit=rescue.target systemd.unit=emergency.target rd.systemd.unit=emergency.target
systemd.debug_shell systemd.debug-shell=1 rd.shell recovery
"""
KEPT = """
root=UUID=12 ro quiet console=tty0 init=/sbin/init init=/lib/systemd/systemd s390 1a
systemd.unit=multi-user.target single_thread singleboot=1 breakpoint
"""


def test_words_of_a_rescue_boot_are_never_taken(host, monkeypatch, in_use, ready):
    in_use(KERNELS[-1])
    monkeypatch.setattr(cmdline, "running", (KEPT + RESCUE).split)
    host.paths.cmdline.unlink()
    found = cmdline.wanted(host.paths)
    assert found.text.split() == KEPT.split()
    assert list(found.left_out) == RESCUE.split()

    refresh.refresh(made := ready())
    assert any("this is a rescue boot, so single" in warning for warning in made.task.warnings)
    assert any(f"the running command line: {found.text}" in line for line in made.task.lines)


def test_a_fall_back_is_said_and_is_no_fault(host, monkeypatch, in_use, ready):
    in_use(KERNELS[-1])
    monkeypatch.setattr(cmdline, "running", lambda: ["root=/dev/sda3", "quiet"])
    host.paths.cmdline.unlink()
    refresh.refresh(made := ready())
    assert made.task.warnings == []
    assert any("does not exist: kernels get the running" in line for line in made.task.lines)
    assert choice.plan(host.paths).plan.running_cmdline
    assert status.status(ready()).ok


def test_tabs_are_blanks(host):
    host.paths.cmdline.write_text("root=/dev/sda3\tro\t quiet\n")
    assert choice.plan(host.paths).plan.cmdline.split() == ["root=/dev/sda3", "ro", "quiet"]


@pytest.mark.parametrize(
    "root", ["UUID=", "PARTUUID=", "LABEL=", "ZFS=", "$ROOT", "UUID=$ROOT", ""]
)
def test_a_root_that_names_nothing_is_refused(host, root):
    host.paths.cmdline.write_text(f"root={root} ro\n")
    with pytest.raises(ConfigError, match="root="):
        choice.plan(host.paths)


def test_going_to_another_loader_drops_no_option(ready, machine, host, monkeypatch, in_use):
    in_use(KERNELS[-1])
    monkeypatch.setattr(
        cmdline, "running", lambda: ["root=/dev/sda3", "ro", "console=ttyS0", "single"]
    )
    other = Plain("other")
    made = ready(loaders=loaders_of(Plain(), other))
    before = everything(machine)
    with pytest.raises(UsageError, match="would be lost: console=ttyS0") as caught:
        registry.init(made, machine.path_of(UUIDS[0]), "other")
    assert "boot cmdline set 'root=/dev/sda3 quiet console=ttyS0'" in caught.value.hint
    assert everything(machine) == before
    host.paths.cmdline.write_text("root=/dev/sda3 quiet console=ttyS0\n")
    registry.init(ready(loaders=loaders_of(Plain(), other)), machine.path_of(UUIDS[0]), "other")


# --- disks and the list -------------------------------------------------------------------------------


def test_a_comment_behind_a_uuid_costs_no_esp(ready, host):
    text = "".join(f"{uuid}\t # the disk on the left\n" for uuid in UUIDS)
    host.paths.esp_uuids.write_text(text)
    assert status.status(ready()).ok
    assert registry.clean(ready(), dry_run=False) == []
    assert kernel_files.entries(host.paths.esp_uuids) == list(UUIDS)
    assert kernel_files.remove(host.paths.esp_uuids, [UUIDS[0]])
    assert host.paths.esp_uuids.read_text() == text.splitlines(keepends=True)[1]


def row(kname, type_, pkname="", **rest):
    return {
        "path": f"/dev/mapper/{kname}" if kname.startswith("mpath") else f"/dev/{kname}",
        "kname": kname,
        "pkname": pkname,
        "type": type_,
        "size": 1 << 30,
        "fstype": None,
        "uuid": None,
        "parttype": None,
        "pttype": "gpt",
        "mountpoints": [None],
        "log-sec": 512,
        "ro": False,
        **rest,
    }


def test_one_volume_through_two_paths_is_one(host):
    esp = {"fstype": "vfat", "uuid": "ABCD-1234", "parttype": disks.ESP_TYPE}
    rows = [
        row("sda", "disk"),
        row("sda2", "part", "sda", **esp),
        row("mpatha", "mpath", "sda"),
        row("mpatha-part2", "part", "mpatha", **esp),
        row("sdb", "disk"),
        row("sdb2", "part", "sdb", **esp),
        row("mpatha", "mpath", "sdb"),
    ]
    found = disks.parse(json.dumps({"blockdevices": rows}))
    [device] = found.with_uuid("abcd-1234")
    assert device.kname == "mpatha-part2"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"partition_type": "0xef", "table": "dos"}, "MBR partition table"),
        ({"fstype": "linux_raid_member", "users": ("md0",)}, "out of the array"),
        ({"partition_type": "0fc63daf"}, "EF00"),
    ],
)
def test_hints_fit_the_disk(context, machine, monkeypatch, changes, said):
    devices = Devices(
        [
            dataclasses.replace(device, **changes) if device.uuid == UUIDS[0] else device
            for device in machine.devices()
        ]
    )
    monkeypatch.setattr(machine, "devices", lambda: devices)
    with pytest.raises(UsageError) as caught:
        registry.init(context(), machine.path_of(UUIDS[0]), "plain")
    assert said in caught.value.hint
    assert "boot format" not in caught.value.hint


# --- firmware -----------------------------------------------------------------------------------------

_PARTITION = "fdaf6fbb-9076-904f-878f-d90d74c0b379"
_ENTRY = (
    f"Boot0003{{}} proxmox\tHD(2,GPT,{_PARTITION},0x800,0x100000)/File(\\EFI\\proxmox\\shimx64.efi)"
)


@pytest.mark.parametrize(
    ("order", "mark", "said"),
    [
        ("0003,0001", "*", None),
        ("0003,0001", "", "inactive: efibootmgr -b 0003 -a"),
        ("0001", "*", "not in BootOrder: efibootmgr -o 0001,0003"),
    ],
)
def test_an_entry_that_the_firmware_passes_over_is_told(order, mark, said):
    text = f"BootCurrent: 0001\nBootOrder: {order}\nBoot0001* UiApp\n{_ENTRY.format(mark)}\n"
    entries = BootEntries.read(variables(text))
    found = Judge(entries, [OurEsp(uuid) for uuid in (_PARTITION, "another", "")]).lines()
    assert [said in problem for problem in found] == ([True] if said else [])


class Selecting(Plain):
    """A loader that can be told by itself."""

    def __init__(self, name):
        super().__init__(name)
        self.selected = []

    @hookimpl
    def boot_select(self, default, next_boot, root, task):
        self.selected.append((default, next_boot))


@pytest.mark.parametrize("info", ["systemd-boot 252.39", ""])
def test_a_pin_without_esps_goes_to_the_loader_in_use(context, host, info):
    variable = host.root / (
        "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    )
    variable.parent.mkdir(parents=True)
    if info:
        variable.write_bytes(b"\6\0\0\0" + f"{info}\0".encode("utf-16-le"))
    grub, systemd = Selecting("grub"), Plain("systemd-boot")
    made = context(loaders=loaders_of(grub, systemd))

    def pin():
        choice.pin(host.paths, KERNELS[0], next_boot=False)

    if info:
        with pytest.raises(Unsupported, match="started by systemd-boot"):
            selecting.change(made, pin)
        assert grub.selected == []
        assert not host.paths.pinned_kernel.exists()
    else:
        selecting.change(made, pin)
        assert grub.selected == [(KERNELS[0], None)]


def test_status_prints_the_default_that_boots(ready, host):
    class Numbered(Plain):
        @hookimpl
        def boot_probe(self, esp):
            state = super().boot_probe(esp)
            return state and dataclasses.replace(state, default=KERNELS[0])

    made = ready(loaders=loaders_of(Numbered()))
    assert status.status(made).default == KERNELS[0]


def test_status_prints_the_default_of_each_esp_where_they_differ(ready):
    class Saved(Plain):
        """Each ESP remembers what was chosen in its menu."""

        @hookimpl
        def boot_probe(self, esp):
            state = super().boot_probe(esp)
            chosen = KERNELS[UUIDS.index(esp.uuid)]
            return state and dataclasses.replace(state, default=chosen)

    found = status.status(ready(loaders=loaders_of(Saved())))
    assert found.ok
    assert found.default == f"{KERNELS[0]} ({UUIDS[0]}); {KERNELS[1]} ({UUIDS[1]})"


def test_what_overrules_the_plan_is_told_and_goes_with_a_pin_or_when_it_is_said(ready, host):
    class Chosen(Plain):
        gone = False

        @hookimpl
        def boot_probe(self, esp):
            state = super().boot_probe(esp)
            why = "" if self.gone else "LoaderEntryDefault names auto-windows"
            return state and dataclasses.replace(state, overruled=why)

        @hookimpl
        def boot_arm(self, esp, plan, task):
            self.gone = plan.pinned or plan.take_over

    for pinned in (False, True):
        loader = Chosen()
        made = ready(loaders=loaders_of(loader))
        assert not status.status(made).ok
        refresh.refresh(made)
        assert not loader.gone
        [said] = status.status(made).esps[0].problems
        assert (
            said == "plain: LoaderEntryDefault names auto-windows: pvefw boot refresh --take-over"
        )
        if pinned:
            choice.pin(host.paths, KERNELS[-1], next_boot=False)
        refresh.refresh(made, take_over=not pinned)
        assert loader.gone
        assert status.status(made).ok
