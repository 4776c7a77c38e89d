"""A Debian on two ESPs: apt brings and removes kernels and boot loaders, and what is new boots."""

import subprocess
import sys

import pytest
from environments import ROOT
from resources import uses
from servers.machines.debian import UPDATES, DebianHost, upgrade
from servers.machines.kernels import download

pytestmark = [pytest.mark.xdist_group("machines of their own"), pytest.mark.timeout(7200)]
PATIENCE = 1800.0
"""Seconds for what takes two minutes on a quiet machine."""
_SET_UP = """
set -e
for disk in vdb vdc; do
    pvefw boot partition /dev/$disk --yes
    pvefw boot format /dev/${disk}2 --yes
    pvefw boot init /dev/${disk}2 systemd-boot
done
pvefw boot install-hooks
"""
_GRUB = """
set -e
printf 'GRUB_TIMEOUT=1\\nGRUB_TERMINAL=console\\n' >/etc/default/grub
for disk in vdb vdc; do pvefw boot format /dev/${disk}2 --force --yes; done
pvefw boot clean
for disk in vdb vdc; do pvefw boot init /dev/${disk}2 grub; done
"""
"""Both ESPs anew, with the other loader."""
_HANG_ONCE = """
set -e
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nRuntimeWatchdogSec=60\\n' >/etc/systemd/system.conf.d/watchdog.conf
echo softdog >/etc/modules-load.d/watchdog.conf
cat >/usr/local/sbin/hang <<'END'
[ "$(uname -r)" = {0} ] || exit 0
until grep -qx active /sys/class/watchdog/watchdog0/state; do sleep 1; done
uname -r >>/root/hung
sync
kill -ABRT 1
sleep infinity
END
cat >/etc/systemd/system/hang.service <<'END'
[Unit]
Before=agent.service
[Service]
Type=oneshot
ExecStart=sh /usr/local/sbin/hang
[Install]
WantedBy=multi-user.target
END
systemctl enable hang.service
pvefw boot kernel pin {0} --next-boot
pvefw boot refresh
"""
"""A system whose process 1 ends, and with it what feeds the watchdog, with one of its kernels."""
_NO_LONGER = """
systemctl disable hang.service
rm /etc/modules-load.d/watchdog.conf /etc/systemd/system.conf.d/watchdog.conf
"""
_BOTH_HAVE = """
set -e
for esp in /dev/vdb2 /dev/vdc2; do
    mount -t vfat -o ro $esp /mnt
    (cd /mnt; {})
    umount /mnt
done
"""


@pytest.fixture(scope="module")
@uses("build")
def pvefw(tmp_path_factory):
    """Our Debian package."""
    folder = tmp_path_factory.mktemp("deb")
    subprocess.run([sys.executable, ROOT / "tools/deb.py", folder], check=True)
    (package,) = folder.glob("pvefw_*.deb")
    return package


@pytest.fixture(scope="module")
def systemd_boot(tmp_path_factory):
    """The version that is to come, and its packages."""
    return upgrade(("systemd-boot", "systemd-boot-efi"), tmp_path_factory.mktemp("systemd-boot"))


@pytest.fixture(scope="module")
def grub(tmp_path_factory):
    """The version that is to come, and its packages."""
    names = ("grub-efi-amd64-bin", "grub2-common", "grub-common")
    return upgrade(names, tmp_path_factory.mktemp("grub"))


@pytest.fixture(scope="module")
@uses("night")
def host(pvefw, systemd_boot, grub, kernels, tmp_path_factory):
    """A host with a kernel and with our package; the tests are its life, one after the other."""
    folder = tmp_path_factory.mktemp("living")
    newer_kernel = download(f"linux-image-{kernels[-2].version}", folder)
    updates = [*systemd_boot[1], *grub[1]]
    return DebianHost.new(folder / "host", kernels[-1].version, [pvefw, newer_kernel], updates)


def test_a_kernel_of_apts_reaches_both_esps(host, kernels):
    new = kernels[-2].version
    with host.power_on(from_esps=False) as shop:
        assert shop.run("cat /proc/1/comm") == "systemd\n"
        shop.run(_SET_UP, PATIENCE)
        shop.run(f"apt-get --yes install linux-image-{new}", PATIENCE)

        assert f"default: {new}" in shop.run("pvefw boot status")
        for name in (f"vmlinuz-{new}", f"initrd.img-{new}"):
            shop.run(_BOTH_HAVE.format(f"cmp /boot/{name} $(find . -name {name})"))
        shop.power_off()


def test_a_kernel_that_hangs_at_its_one_boot_gives_way_to_the_default(host, kernels):
    new, old = kernels[-2].version, kernels[-1].version
    with host.power_on() as shop:
        shop.run(_HANG_ONCE.format(old), PATIENCE)

        shop.reboot(PATIENCE)

        assert shop.run("cat /root/hung; uname -r") == f"{old}\n{new}\n"
        assert "next-boot" not in shop.run("pvefw boot kernel list")
        shop.run(_NO_LONGER)
        shop.power_off()


def test_it_boots_and_the_old_one_goes(host, kernels):
    new, old = kernels[-2].version, kernels[-1].version
    with host.power_on() as shop:
        assert shop.run("uname -r") == f"{new}\n"
        assert shop.run("systemctl --failed --plain --no-legend") == ""

        shop.run(f"apt-get --yes remove linux-image-{old}", PATIENCE)

        assert old not in shop.run("pvefw boot status")
        shop.run(_BOTH_HAVE.format(f"! find . | grep -F {old}; find . | grep -F {new}"))
        shop.power_off()


def test_an_upgrade_of_the_loader_reaches_both_esps_by_itself(host, systemd_boot, kernels):
    version, _ = systemd_boot
    with host.power_on() as shop:
        assert version not in shop.run("bootctl status; pvefw boot status")
        shop.run(f"echo '{UPDATES}' >>/etc/apt/sources.list && apt-get update")

        shop.run("apt-get --yes install --only-upgrade systemd-boot systemd-boot-efi", PATIENCE)

        assert shop.run("pvefw boot status").count(f"systemd-boot {version} (uefi)") == 2
        image = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
        for name in ("EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"):
            shop.run(_BOTH_HAVE.format(f"cmp {image} {name}"))
        shop.power_off()
    with host.power_on() as shop:
        assert shop.run("uname -r") == f"{kernels[-2].version}\n"
        assert f"systemd-boot {version}" in shop.run("bootctl status 2>&1; true")
        shop.power_off()


def test_an_upgrade_of_grub_reaches_both_esps_by_itself(host, grub, kernels):
    version, _ = grub
    with host.power_on() as shop:
        shop.run(_GRUB, PATIENCE)
        assert version not in shop.run("pvefw boot status")

        shop.run("apt-get --yes upgrade", PATIENCE)

        assert shop.run("pvefw boot status").count(f"grub {version} (uefi)") == 2
        modules = "/usr/lib/grub/x86_64-efi"
        for name in ("normal.mod", "linux.mod"):
            shop.run(_BOTH_HAVE.format(f"cmp {modules}/{name} grub/x86_64-efi/{name}"))
        shop.power_off()
    with host.power_on() as shop:
        assert shop.run("uname -r") == f"{kernels[-2].version}\n"
        assert f"GNU GRUB  version {version}" in shop.console
        shop.power_off()
