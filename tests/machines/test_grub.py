"""What only GRUB has: settings that a shell quotes, an environment block on FAT, Secure Boot."""

import subprocess

import pytest
from servers.machines.kernels import boot_kernels, unsigned
from servers.machines.power import CONSOLE, bad_initrd, new_variables, power_on
from servers.machines.workshop import workshop

pytestmark = [pytest.mark.xdist_group("grub"), pytest.mark.timeout(900)]

_SETTINGS = rf"""
mkdir -p /etc/kernel /etc/default
echo 'root=/dev/none' >/etc/kernel/cmdline
cat >/etc/default/grub <<'END'
GRUB_TIMEOUT=1
GRUB_TERMINAL=console
GRUB_CMDLINE_LINUX="{CONSOLE}"
GRUB_CMDLINE_LINUX_DEFAULT='it\'\''s=1 dyndbg="file x.c +p" range=1M\$0x10 a;b \\back $HOME {{z}} #x'
END
"""
_QUOTED = r"""it\'s=1 "dyndbg=file x.c +p" range=1M$0x10 a;b \\back $HOME {z} #x"""
"""As GRUB hands it over: words with a blank in quotes, quotes and backslashes escaped."""


def test_disks_of_grub_in_computers_that_never_saw_them(tmp_path):
    newest, middle, oldest = boot_kernels()
    disks = [tmp_path / "first", tmp_path / "second"]
    for disk in disks:
        with disk.open("wb") as image:
            image.truncate(1200 << 20)
    with workshop(tmp_path / "w", disks, new_variables(tmp_path / "variables")) as shop:
        shop.install_kernel(newest)
        shop.install_kernel(oldest, bad_initrd())
        shop.run(_SETTINGS)
        for name in ("vda", "vdb"):
            shop.run(
                f"pvefw boot partition /dev/{name} --yes && pvefw boot format /dev/{name}2 --yes"
            )
            shop.run(f"pvefw boot init /dev/{name}2 grub")
        entries = shop.run("efibootmgr --verbose")
        for name in ("vda2", "vdb2"):  # neither has lost its own to the other
            assert shop.run(f"lsblk -no PARTUUID /dev/{name}").strip() in entries
        shop.install_kernel(unsigned(middle))
        once = "pvefw boot kernel pin {} --next-boot && pvefw boot refresh && sync".format
        shop.run(once(middle.version))
        own_build = tmp_path / "own-build"
        with shop.frozen():
            subprocess.run(["cp", "--sparse=always", disks[0], own_build], check=True)
        shop.run(once(oldest.version))
        shop.run("pvefw boot status")
        shop.switch_off()

    def secure(name):
        return new_variables(tmp_path / name, secure_boot=True)

    in_uefi = power_on(disks[:1], secure("others"), restarts=1)
    in_bios = power_on(disks[1:], restarts=1)

    for boots in (in_uefi, in_bios):
        starts = [(start.kernel, start.panics) for start in boots.starts]
        assert starts == [(oldest.version, True), (newest.version, False)]
        assert boots.last.cmdline.endswith(f"root=/dev/none ro {CONSOLE} {_QUOTED}")
    assert in_uefi.console.count("secureboot: Secure boot enabled") == 2

    refused = power_on([own_build], secure("more"))
    assert "bad shim signature" in refused.console
    assert refused.kernels == [newest.version]
