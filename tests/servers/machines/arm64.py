"""A computer of another architecture: Debian's packages for arm64, and QEMU that starts from a disk."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from resources import uses

from servers.machines.cache import cached
from servers.machines.kernels import Kernel
from servers.machines.power import Boots, boots_of

FIRMWARE = Path("/usr/share/AAVMF")
QEMU = "qemu-system-aarch64"
CONSOLE = "console=ttyAMA0 panic=1"
_APT_SECONDS = 600
_APT = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
Dir::State::lists "{0}/lists";
Dir::State::status "/dev/null";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_PACKAGES = ("systemd-boot-efi", "grub-efi-arm64-bin", "busybox-static")
_KERNEL = re.compile(r"linux-image-6\.1\.0-\d+-cloud-arm64$", re.MULTILINE)


def missing() -> str:
    """Why there can be no such computer here; empty where there can."""
    if shutil.which(QEMU) is None or not FIRMWARE.is_dir():
        return "apt install qemu-system-arm qemu-efi-aarch64"
    return ""


def unpacked() -> Path:
    """A folder with a kernel and these packages for arm64, unpacked; fetched once, and kept."""
    return cached("-".join(["arm64", *_PACKAGES]), _fetch)


def kernel() -> Kernel:
    """The kernel among them."""
    (image,) = unpacked().glob("boot/vmlinuz-*")
    return Kernel(image.name.removeprefix("vmlinuz-"), unpacked())


def _fetch(folder: Path) -> None:
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "apt.conf").write_text(_APT.format(folder))

    def apt(*argv: str) -> str:
        env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        done = subprocess.run(
            argv, cwd=folder, env=env, check=True, stdout=subprocess.PIPE, timeout=_APT_SECONDS
        )
        return done.stdout.decode()

    apt("apt-get", "-qq", "update")
    known = _KERNEL.findall(apt("apt-cache", "pkgnames", "linux-image-6.1"))
    newest = max(known, key=lambda name: int(name.split("-")[3]))
    apt("apt-get", "-qq", "download", newest, *_PACKAGES)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=_APT_SECONDS)
        package.unlink()
    shutil.rmtree(folder / "lists")


@uses("machine")
def power_on(disk: Path, folder: Path) -> Boots:
    """Switch a computer on that has this disk and a firmware without variables, until it is off again.

    :param folder: for its variables.
    :raises AssertionError: no kernel came up; with the end of the console.
    """
    variables = folder / "variables"
    shutil.copyfile(FIRMWARE / "AAVMF_VARS.fd", variables)
    code = f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}/AAVMF_CODE.fd"
    return boots_of(
        [
            *[QEMU, "-machine", "virt", "-accel", "tcg", "-cpu", "cortex-a57", "-m", "512"],
            *["-display", "none", "-monitor", "none", "-serial", "stdio", "-net", "none"],
            *["-drive", code, "-drive", f"if=pflash,format=raw,unit=1,file={variables}"],
            *["-drive", f"if=none,id=disk,format=raw,file={disk}"],
            *["-device", "virtio-blk-pci,drive=disk", "-no-reboot"],
        ]
    )
