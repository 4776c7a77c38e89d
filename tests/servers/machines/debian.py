"""A Debian of its own with systemd as process 1, in a machine that its firmware starts from ESPs.

The root file system is made once (mmdebstrap) and kept; a test gets a disk with it and with packages of
its own. Scripts run in it as in a :class:`Workshop`.
"""

import contextlib
import hashlib
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources import uses

from servers.machines.cache import cached
from servers.machines.kernels import download
from servers.machines.power import disk_options, firmware_options, new_variables
from servers.machines.workshop import Workshop, with_agent

ESP_DISK_SIZE = 1 << 30
"""Bytes: the least that ``pvefw boot partition`` takes."""
_ROOT_SIZE = "3G"
_CMDLINE = "root=LABEL=root rw console=ttyS0 panic=1 quiet"
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod", "procps", "initramfs-tools"),
    *("python3", "openssl", "iproute2", "util-linux", "bubblewrap", "init-system-helpers"),
    *("fdisk", "gdisk", "dosfstools", "efibootmgr", "systemd-boot", "zstd", "linux-base"),
    *("grub2-common", "grub-efi-amd64-bin"),
)
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_reap.service",
)
_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
_REPOSITORY = "srv/packages"
_UPDATES = "srv/updates"
_LOADERS = ("*.efi", "*.mod", "modinfo.sh")
"""What of a package is a boot loader's, or says its version."""
UPDATES = f"deb [trusted=yes] file:/{_UPDATES} ./"
"""The line for sources.list(5) by which apt learns of the updates."""
_AGENT = r"""#!/bin/bash
cd /root
export HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
exec 3<>/dev/virtio-ports/agent </dev/null
while sleep 1; do printf '\0' >&3; done &
systemctl is-system-running --wait >/dev/null
printf '\0360\n' >&3
while IFS= read -r -u 3 line; do
    base64 -d <<<"$line" >/run/script
    bash /run/script >&3 2>&1 3>&-
    printf '\036%d\n' $? >&3
done
"""
_UNIT = """
[Unit]
After=dev-virtio\\x2dports-agent.device
Wants=dev-virtio\\x2dports-agent.device
[Service]
Type=exec
ExecStart=/usr/local/sbin/agent
[Install]
WantedBy=multi-user.target
"""
_FILES = {
    "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
    "etc/hostname": "living\n",
    "etc/hosts": "127.0.0.1 localhost living\n",
    "etc/kernel/cmdline": f"{_CMDLINE}\n",
    "etc/machine-id": "",
    "etc/initramfs-tools/conf.d/small": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/initramfs-tools/modules": "".join(f"{module}\n" for module in _MODULES),
    "etc/systemd/system/agent.service": _UNIT,
    "etc/apt/sources.list": f"deb [trusted=yes] file:/{_REPOSITORY} ./\n",
    "etc/apt/apt.conf.d/90quiet": 'Acquire::Languages "none";\nDpkg::Use-Pty "0";\n',
}
_SETUP = f"""
set -e
chmod 755 /usr/local/sbin/agent
systemctl --quiet enable agent.service
systemctl --quiet mask {" ".join(_MASKED)}
"""


def _root(kernel: str) -> Path:
    """The root file system: Debian with a kernel, and without pvefw."""

    def make(folder: Path) -> None:
        root = folder / "root"
        release = Path("/etc/os-release").read_text()
        suite = re.search(r"VERSION_CODENAME=(\w+)", release)
        sources = [
            Path("/etc/apt/sources.list"),
            *sorted(Path("/etc/apt/sources.list.d").glob("debian*.*")),
        ]
        assert suite, release
        subprocess.run(
            [
                *["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"],
                f"--include={','.join(_PACKAGES)}",
                *['--aptopt=Acquire::Languages "none"', suite[1], root],
                *(source for source in sources if source.exists()),
            ],
            check=True,
        )
        for path in (root / "etc/apt/sources.list.d").glob("*"):
            path.unlink()
        _write(root, {**_FILES, "usr/local/sbin/agent": _AGENT})
        packages = root / _REPOSITORY
        packages.mkdir()
        package = download(f"linux-image-{kernel}", packages)
        with _inside(root) as run:
            run(f"{_SETUP}\ndpkg --install /{_REPOSITORY}/{package.name}")
        package.unlink()

    contents = repr((kernel, _PACKAGES, _FILES, _AGENT, _SETUP))
    name = f"debian-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"
    return cached(name, make) / "root"


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@contextlib.contextmanager
def _inside(root: Path) -> Iterator["_Run"]:
    """Scripts run below this root, with /proc and /sys, for the time of the block."""
    mounts = [root / "proc", root / "sys"]
    with contextlib.ExitStack() as mounted:
        for kind, place in zip(("proc", "sysfs"), mounts, strict=True):
            subprocess.run(["mount", "-t", kind, kind, place], check=True)
            mounted.callback(subprocess.run, ["umount", place], check=True)
        yield _Run(root)


@dataclass(frozen=True, slots=True)
class _Run:
    root: Path

    def __call__(self, script: str) -> None:
        done = subprocess.run(
            ["chroot", self.root, "bash", "-c", script],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}: {done.stdout}"


@dataclass(frozen=True, slots=True)
class DebianHost:
    """A computer with UEFI, a root file system on its first disk, and two disks more, which are empty."""

    folder: Path
    disks: tuple[Path, ...]
    variables: Path
    kernel: str
    """The version of the one that is installed."""

    @classmethod
    def new(
        cls, folder: Path, kernel: str, packages: Iterable[Path], updates: Iterable[Path]
    ) -> "DebianHost":
        """A host with repositories of packages, which has installed pvefw from the first.

        :param updates: the packages of the second, which apt does not know yet; see :data:`UPDATES`.
        """
        folder.mkdir()
        merged, upper, work = (folder / name for name in ("merged", "upper", "work"))
        for directory in (merged, upper, work):
            directory.mkdir()
        disks = tuple(folder / name for name in ("root", "disk0", "disk1"))
        layers = f"lowerdir={_root(kernel)},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", merged], check=True)
        try:
            _publish(packages, merged / _REPOSITORY)
            _publish(updates, merged / _UPDATES)
            with _inside(merged) as run:
                run("set -e; apt-get update; apt-get --yes install --no-install-recommends pvefw")
            make = ["mkfs.ext4", "-q", "-L", "root", "-d", merged, disks[0], _ROOT_SIZE]
            subprocess.run(make, check=True, capture_output=True)
        finally:
            subprocess.run(["umount", merged], check=True)
        for disk in disks[1:]:
            with disk.open("wb") as image:
                image.truncate(ESP_DISK_SIZE)
        return cls(folder, disks, new_variables(folder / "variables"), kernel)

    @contextlib.contextmanager
    @uses("machine")
    def power_on(self, *, from_esps: bool = True) -> Iterator[Workshop]:
        """Switch it on for the time of the block; then its power is cut, where it is not off already.

        :param from_esps: whether the firmware starts it from its ESPs; else QEMU starts its kernel.
        """
        argv = [
            *[
                "qemu-system-x86_64",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max,la57=off",
                "-smp",
                "2",
            ],
            *["-m", "1024", "-nodefaults", "-nographic", "-net", "none"],
            *["-device", "virtio-rng-pci"],
            *firmware_options(self.variables),
            *disk_options(self.disks),
        ]
        if not from_esps:
            boot = _root(self.kernel) / "boot"
            argv += ["-kernel", str(boot / f"vmlinuz-{self.kernel}")]
            argv += ["-initrd", str(boot / f"initrd.img-{self.kernel}"), "-append", _CMDLINE]
        with with_agent(self.folder / "machine", argv) as machine:
            yield machine


def _publish(packages: Iterable[Path], repository: Path) -> None:
    """Make a repository, with the list of packages that apt reads."""
    repository.mkdir(exist_ok=True)
    subprocess.run(["cp", *packages, repository], check=True)
    scan = ["dpkg-scanpackages", "--multiversion", "."]
    listed = subprocess.run(scan, cwd=repository, check=True, capture_output=True)
    (repository / "Packages").write_bytes(listed.stdout)


def upgrade(packages: Iterable[str], folder: Path) -> tuple[str, list[Path]]:
    """The version that is to come of packages of one source, and their files."""
    files = [download(package, folder) for package in packages]
    version = files[0].name.split("_")[1]
    new = f"{version[:-1]}z"
    return new, _newer(files, version, new, folder)


def _newer(files: Sequence[Path], old: str, new: str, folder: Path) -> list[Path]:
    """Packages in another version, which the boot loaders in them say, too.

    :param old: the version; in the boot loaders it becomes ``new``, which is as long, in the same place.
    """
    assert len(old) == len(new)
    names = "|".join(file.name.partition("_")[0] for file in files)
    own = re.compile(rf"(^Version: |\b(?:{names}) \(= ){re.escape(old)}", re.MULTILINE)
    made = []
    for package in files:
        tree = folder / package.stem
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(own.sub(rf"\g<1>{new}", control.read_text()))
        for file in (file for name in _LOADERS for file in tree.rglob(name)):
            data = file.read_bytes()
            for encoding in ("ascii", "utf-16-le"):
                data = data.replace(old.encode(encoding), new.encode(encoding))
            file.write_bytes(data)
        made.append(folder / package.name.replace(old, new))
        build = ["dpkg-deb", "-Zgzip", "--build", tree, made[-1]]
        subprocess.run(build, check=True, capture_output=True)
    return made
