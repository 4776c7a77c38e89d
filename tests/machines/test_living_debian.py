"""A Debian on two ESPs: apt brings and removes kernels and boot loaders, and what is new boots."""

import subprocess
import sys

import pytest
from environments import ROOT
from resources import uses
from servers.machines.debian import UPDATES, DebianHost, newer
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
def loader(tmp_path_factory):
    """systemd-boot of today, and the version that is to come; the packages of that."""
    folder = tmp_path_factory.mktemp("loader")
    packages = [download(one, folder) for one in ("systemd-boot", "systemd-boot-efi")]
    version = packages[0].name.split("_")[1]
    return f"{version[:-1]}z", newer(packages, version, f"{version[:-1]}z", folder)


@pytest.fixture(scope="module")
@uses("night")
def host(pvefw, loader, kernels, tmp_path_factory):
    """A host with a kernel and with our package; the tests are its life, one after the other."""
    folder = tmp_path_factory.mktemp("living")
    newer_kernel = download(f"linux-image-{kernels[-2].version}", folder)
    return DebianHost.new(folder / "host", kernels[-1].version, [pvefw, newer_kernel], loader[1])


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


def test_it_boots_and_the_old_one_goes(host, kernels):
    new, old = kernels[-2].version, kernels[-1].version
    with host.power_on() as shop:
        assert shop.run("uname -r") == f"{new}\n"
        assert shop.run("systemctl --failed --plain --no-legend") == ""

        shop.run(f"apt-get --yes remove linux-image-{old}", PATIENCE)

        assert old not in shop.run("pvefw boot status")
        shop.run(_BOTH_HAVE.format(f"! find . | grep -F {old}; find . | grep -F {new}"))
        shop.power_off()


def test_an_upgrade_of_the_loader_reaches_both_esps_by_itself(host, loader, kernels):
    version, _ = loader
    with host.power_on() as shop:
        assert version not in shop.run("bootctl status; pvefw boot status")
        shop.run(f"echo '{UPDATES}' >>/etc/apt/sources.list && apt-get update")

        shop.run("apt-get --yes upgrade", PATIENCE)

        assert shop.run("pvefw boot status").count(f"systemd-boot {version} (uefi)") == 2
        image = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
        for name in ("EFI/systemd/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"):
            shop.run(_BOTH_HAVE.format(f"cmp {image} {name}"))
        shop.power_off()
    with host.power_on() as shop:
        assert shop.run("uname -r") == f"{kernels[-2].version}\n"
        assert f"systemd-boot {version}" in shop.run("bootctl status 2>&1; true")
        shop.power_off()
