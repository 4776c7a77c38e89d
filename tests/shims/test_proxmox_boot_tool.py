"""Every example of the administration guide for ``proxmox-boot-tool``, word for word.

Real disks are formatted and filled with them in tests/machines, and booted.
"""

from boot.conftest import KERNELS

OLDER = KERNELS[0]


def test_esps(types, host):
    types("proxmox-boot-tool status", status=2)
    types("proxmox-boot-tool init /dev/sda2 grub")
    assert host.paths.esp_uuids.read_text() == "AAAA-0001\n"
    types("proxmox-boot-tool refresh")
    assert "AAAA-0001" in types("proxmox-boot-tool status")
    assert types("proxmox-boot-tool status --quiet") == ""
    types("proxmox-boot-tool reinit")
    types("proxmox-boot-tool clean --dry-run")
    types("proxmox-boot-tool clean")


def test_a_partition_that_is_not_there_is_not_formatted(types, capsys):
    for line in (
        "proxmox-boot-tool format /dev/sdz2",
        "proxmox-boot-tool format /dev/sdz2 --force",
    ):
        assert "FAT32" not in types(line, status=1)


def test_kernels(types, host):
    types(f"proxmox-boot-tool kernel add {OLDER}")
    listed = types("proxmox-boot-tool kernel list")
    manual, _, automatic = listed.partition("\n\n")
    assert manual == f"Manually selected kernels:\n{OLDER}"
    assert automatic.startswith("Automatically selected kernels:\n")
    types(f"proxmox-boot-tool kernel remove {OLDER}")
    assert types("proxmox-boot-tool kernel list").startswith(
        "Manually selected kernels:\nNone.\n\n"
    )


def test_pins(types, host):
    types("proxmox-boot-tool init /dev/sda2 grub")
    said = types(f"proxmox-boot-tool kernel pin {OLDER}")
    assert "refresh" in said
    types(f"proxmox-boot-tool kernel pin {KERNELS[1]} --next-boot")
    listed = types("proxmox-boot-tool kernel list")
    assert f"Pinned kernel:\n{OLDER}" in listed
    assert f"Kernel pinned on next-boot:\n{KERNELS[1]}" in listed
    types("proxmox-boot-tool kernel unpin --next-boot")
    types("proxmox-boot-tool kernel unpin")
    assert "inned" not in types("proxmox-boot-tool kernel list")


def test_hooks_of_proxmox_ve_can_call_it(types):
    types("proxmox-boot-tool init /dev/sda2 grub")
    assert "nothing has changed" in types("proxmox-boot-tool refresh --hook zz-proxmox-boot")
