"""What people, editors, images and other tools leave in the files that a host starts with."""

import dataclasses
import json
from pathlib import Path

import pytest
from boot.conftest import KERNELS, UUIDS
from boot.efivars import variables

from pvefw.boot import choice, cmdline, disks, fstab, kernels, refresh, registry, status
from pvefw.boot.boot_entries import BootEntries, Judge, OurEsp
from pvefw.boot.disks import Device, parse
from pvefw.core.errors import ConfigError, ProgramError
from pvefw.store import kernel_files, oddities
from pvefw.testing.fakes import FakeTask

MARK = b"\xef\xbb\xbf"

# --- /etc/kernel/cmdline ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        (MARK + b"root=/dev/sda3 quiet\n", "root=/dev/sda3 quiet", "byte order mark"),
        (b"# mine\nroot=/dev/sda3 quiet\n", "root=/dev/sda3 quiet", "comments"),
        (b"root=/dev/new\n# root=/dev/old single\n", "root=/dev/new", "comments"),
        (b"root=/dev/new # root=/dev/old\n", "root=/dev/new", "comments"),
        (b'root=/dev/new dyndbg="file a#b # +p" a#b\n', None, ""),
        (b"root=/dev/sda3 \\\n  quiet\n", "root=/dev/sda3 quiet", "2 lines"),
        (
            b"initrd=\\EFI\\proxmox\\5.15.30-1-pve\\initrd.img-5.15.30-1-pve root=/dev/sda3 quiet\n",
            "root=/dev/sda3 quiet",
            "added by boot loaders",
        ),
        (b"BOOT_IMAGE=/vmlinuz-6.8 root=/dev/sda3 ro\n", "root=/dev/sda3 ro", "boot loaders"),
    ],
)
def test_what_is_no_option_reaches_no_kernel(host, content, line, told):
    host.paths.cmdline.write_bytes(content)
    heard = []
    with oddities.listening(heard.append):
        assert choice.plan(host.paths).plan.cmdline == (line or content.decode().strip())
    assert [told in warning for warning in heard[:1]] == [True] * bool(told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root=/dev/sda3\xa0quiet", "U+00A0 (NO-BREAK SPACE)"),
        ("root=/dev/sda3\u200b quiet", "byte 15 begins U+200B"),
        ("root=\u201cUUID=1\u201d quiet", "names no file system"),
        ("root='/dev/sda3'", "names no file system"),
        ("root=UUID=<uuid>", "names no file system"),
        ("root=/dev/a cryptdevice=UUID=:a", "cryptdevice=UUID=:a names no device"),
        ("root=/dev/a cryptopts=target=a,source=UUID=,key=b", "names no device"),
        ("root=/dev/a resume=PARTUUID=", "names no device"),
        ("root=/dev/a " + "x=1 " * 1200, "bytes, and kernels read 2047"),
    ],
)
def test_what_a_kernel_would_not_understand_is_refused_in_a_sentence(host, text, said):
    host.paths.cmdline.write_text(text)
    with pytest.raises(ConfigError) as caught:
        choice.plan(host.paths)
    assert said in caught.value.message
    assert "pvefw boot cmdline set" in caught.value.hint


def test_what_loaders_add_is_not_written_down(host):
    heard = []
    with oddities.listening(heard.append):
        assert cmdline.check("initrd=\\x root=/dev/a", "boot cmdline set") == "root=/dev/a"
    assert heard == ["boot cmdline set: initrd=\\x is added by boot loaders; it is left out"]


def test_the_longest_line_is_used():
    text = "root=/dev/a ".ljust(2047, "x")
    assert cmdline.check(text, "test") == text


def test_a_byte_order_mark_costs_no_esp_and_no_pin(host):
    host.paths.esp_uuids.write_bytes(MARK + b"AAAA-0001\nBBBB-0002\n")
    host.paths.pinned_kernel.write_bytes(MARK + KERNELS[0].encode())
    assert kernel_files.entries(host.paths.esp_uuids) == list(UUIDS)
    assert choice.load(host.paths).pinned == KERNELS[0]


# --- kernels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [".new", ".disabled", "-backup", ".old-dkms", ".rpmsave", ".20260101", "_mine", ".gz"]
)
def test_a_copy_beside_a_kernel_is_none(host, end):
    host.write(f"boot/vmlinuz-{KERNELS[-1]}{end}", "a copy")
    found = kernels.installed(host.paths)
    assert (found.versions, found.incomplete) == (list(reversed(KERNELS)), {})


def test_a_kernel_of_ones_own_that_lacks_its_modules_is_told(host):
    for name in ("vmlinuz", "initrd.img"):
        host.write(f"boot/{name}-{KERNELS[-1]}-mine", "built here")
    assert f"{KERNELS[-1]}-mine" in kernels.installed(host.paths).incomplete


def test_a_link_to_a_kernel_is_none(host):
    (host.root / "boot/vmlinuz-6.8").symlink_to(f"vmlinuz-{KERNELS[-1]}")
    (host.root / "boot/vmlinuz-6").symlink_to("vmlinuz-nowhere")
    found = kernels.installed(host.paths)
    assert (found.versions, found.incomplete) == (list(reversed(KERNELS)), {})


def test_a_kernel_with_a_longer_name_and_modules_is_one(host):
    for version in ("6.8.12-4-pve-rt", "6.8.12-4-pve.1"):
        host.install(version)
        assert version in kernels.installed(host.paths).versions
        (host.root / f"boot/initrd.img-{version}").unlink()
        assert version in kernels.installed(host.paths).incomplete


# --- /etc/fstab ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "LABEL=EFI_SYSPART",
        'LABEL="EFI_SYSPART"',
        "/dev/disk/by-label/EFI_SYSPART",
        "PARTLABEL=primary",
    ],
)
def test_images_mount_their_esp_by_its_label(host, source):
    device = Device(
        Path("/dev/sda1"), "sda1", "part", 1, label="EFI_SYSPART", partition_label="primary"
    )
    host.write("etc/fstab", f"{source} /boot/efi vfat defaults 0 1\n")
    assert fstab.mounts_of(host.paths, device) == ["/boot/efi"]
    assert (
        fstab.mounts_of(host.paths, dataclasses.replace(device, label="", partition_label="")) == []
    )


def test_lsblk_tells_labels():
    row = dict.fromkeys(
        ("pkname", "size", "fstype", "uuid", "parttype", "pttype", "mountpoints", "log-sec", "ro")
    )
    row |= {"path": "/dev/sda1", "kname": "sda1", "type": "part", "label": "ESP", "partlabel": "p"}
    [device] = parse(json.dumps({"blockdevices": [row]}))
    assert (device.label, device.partition_label) == ("ESP", "p")


# --- what boots once ----------------------------------------------------------------------------------

_PARTITION = "5f630000-0000-4000-8000-000000000000"
_HD = "HD(2,GPT,{},0x800,0x1000)/File(\\EFI\\{})"
_ENTRIES = "\n".join(
    [
        "BootCurrent: 0003\n{}BootOrder: 0003,0007,0001",
        "Boot0001* Windows Boot Manager\t"
        + _HD.format("0aa0" + _PARTITION[4:], "Microsoft\\Boot\\bootmgfw.efi"),
        "Boot0003* Linux Boot Manager\t" + _HD.format(_PARTITION, "systemd\\systemd-bootx64.efi"),
    ]
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", []),
        ("BootNext: 0003\n", []),
        ("BootNext: 0009\n", []),
        (
            "BootNext: 0001\n",
            [
                "the firmware starts Boot0001 (Windows Boot Manager) once; to prevent that: efibootmgr -N"
            ],
        ),
    ],
)
def test_another_system_that_the_firmware_starts_once_is_told(line, told):
    entries = BootEntries.read(variables(_ENTRIES.format(line)))
    assert Judge(entries, [OurEsp(_PARTITION)]).lines() == told


def test_another_entry_that_the_loader_starts_once_is_told_and_stays(ready, plain, machine):
    """Nobody is made to press a key for it: it is over after the boot."""
    plain.once[UUIDS[0]] = "auto-windows"
    found = status.status(ready())
    assert found.esps[0].state == "drift"
    assert "plain boots auto-windows once, which pvefw has not set" in found.esps[0].problems[0]
    task = FakeTask()
    refresh.refresh(ready(task=task))
    assert plain.once[UUIDS[0]] == "auto-windows"
    assert "nothing has changed" in "\n".join(task.lines)
    refresh.refresh(ready(), take_over=True)
    assert status.status(ready()).ok


# --- the list of ESPs, and a host that has no plan ------------------------------------------------


@pytest.mark.parametrize("line", ["AAAA-0001,BBBB-0002", "UUID=AAAA-0001", '"aaaa-0001"'])
def test_a_line_that_names_a_living_esp_in_an_odd_form_is_never_cleaned(ready, host, line):
    host.paths.esp_uuids.write_text(f"{line}\nFFFF-0009\n")
    [odd, missing] = status.status(ready()).esps
    assert "boot clean" not in odd.problems[0]
    assert "AAAA-0001" in odd.problems[0]
    assert "boot clean" in missing.problems[0]
    assert registry.clean(ready(), dry_run=False) == ["FFFF-0009"]
    assert host.paths.esp_uuids.read_text() == f"{line}\n"


def test_what_starts_is_told_where_nothing_can_be_planned(ready, host):
    host.paths.cmdline.write_text("quiet\n")
    found = status.status(ready())
    assert not found.ok
    assert found.default == KERNELS[-1]


def test_in_a_chroot_without_sys_the_next_step_is_told(tmp_path, monkeypatch):
    (tmp_path / "lsblk").write_text("#!/bin/sh\necho 'lsblk: failed to access sysfs' >&2\nexit 1\n")
    (tmp_path / "lsblk").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ProgramError, match="failed to access sysfs") as caught:
        disks.read()
    assert "/sys" in caught.value.hint
