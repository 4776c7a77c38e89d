"""Debian's kernels, fetched with apt and never installed, and initrds packed for them."""

import functools
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import ROOT

from servers.machines.cache import cached

BUSYBOX = Path("/bin/busybox")
KERNEL_SILENT = "/bin/busybox dmesg -n 1"
"""From here on the kernel says on the console only that it panics or goes off: what an initrd says
shares the line with it, and a kernel's message comes between two letters of it."""
ALL_SAID = "/bin/busybox stty -F {} -echo"
"""Waits until the device has sent all that it was given (TCSADRAIN, tcsetattr(3)): off is off at once."""
_CLOUD = re.compile(r"linux-image-(?P<version>(?P<series>\d+\.\d+)\.\S*-cloud-amd64)")
_FULL = re.compile(r"linux-image-(?P<version>(?P<series>\d+\.\d+)\.(?!\S*-(cloud|rt)-)\S*-amd64)")
_APT_SECONDS = 300
_PACKAGE_LISTS = ROOT / "tools/package_lists.py"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is unpacked somewhere."""

    version: str
    root: Path
    """Below it lie ``boot`` and ``lib/modules``, as in Debian's package."""

    @property
    def image(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.version}"

    @property
    def modules(self) -> Path:
        return self.root / "lib/modules" / self.version


@functools.cache
def boot_kernels() -> tuple[Kernel, ...]:
    """Three kernels to be booted, the newest first: if possible one of a newer series than the others.

    They are those of the cloud flavour, if apt knows enough of them: they are small.
    """
    known = _apt(
        "apt-cache", "pkgnames", "linux-image-", enough=lambda said: len(_three(said)) == 3
    )
    return tuple(_fetch(version) for version in _three(known))


@functools.cache
def full_kernel() -> Kernel:
    """The kernel with all modules that Debian installs on a PC."""
    match = _FULL.search(_apt("apt-cache", "depends", "linux-image-amd64"))
    assert match, "linux-image-amd64 names no kernel"
    return _fetch(match["version"])


def _three(names: str) -> list[str]:
    """The versions to be booted, of all packages that apt knows; fewer where it knows no three."""
    cloud, full = (_by_version(kind, names) for kind in (_CLOUD, _FULL))
    versions = _newest_first(list(cloud))
    debians_own = [version for version in versions if cloud[version] == cloud[versions[-1]]]
    chosen = list(dict.fromkeys([*versions[:1], *debians_own]))
    if len(chosen) < 3:  # after a point release, Debian's main archive holds two of each flavour
        chosen = _newest_first([*chosen, *_newest_first(list(full))[: 3 - len(chosen)]])
    return chosen[:3]


def _by_version(kind: re.Pattern[str], names: str) -> dict[str, str]:
    """The versions of the kernels of a flavour, and the series of each."""
    found = [kind.fullmatch(name) for name in names.split()]
    return {kernel["version"]: kernel["series"] for kernel in found if kernel}


def unsigned(kernel: Kernel) -> Kernel:
    """The same kernel without the signature of Debian, as somebody's own build is."""

    def make(folder: Path) -> None:
        image = bytearray(kernel.image.read_bytes())
        optional_header = int.from_bytes(image[0x3C:0x40], "little") + 24
        certificates = optional_header + 112 + 4 * 8  # the fifth data directory of PE32+
        end = int.from_bytes(image[certificates : certificates + 4], "little")
        image[certificates : certificates + 8] = bytes(8)
        (folder / "boot").mkdir()
        (folder / "boot" / kernel.image.name).write_bytes(image[:end])

    return Kernel(kernel.version, cached(f"linux-{kernel.version}-unsigned", make))


def _newest_first(versions: Sequence[str]) -> list[str]:
    def order(version: str, other: str) -> int:
        newer = ["dpkg", "--compare-versions", version, "gt", other]
        return -1 if subprocess.run(newer, check=False).returncode == 0 else 1

    return sorted(versions, key=functools.cmp_to_key(order))


def _apt(
    *argv: str,
    enough: Callable[[str], bool] = lambda said: bool(said.strip()),
    cwd: Path | None = None,
) -> str:
    """Run apt, with package lists that are up to date.

    :param enough: whether it knew what it was asked for, by what it said; else its lists may be too old.
    """
    for options in ([], ["--unknown"]):
        lists = subprocess.run(
            [sys.executable, _PACKAGE_LISTS, *options],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        sys.stderr.write(lists.stderr)
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, cwd=cwd, timeout=_APT_SECONDS
        )
        if done.returncode == 0 and enough(done.stdout):
            return done.stdout
    raise AssertionError(f"{' '.join(argv)}: not enough: {done.stdout}{done.stderr}{lists.stderr}")


def download(package: str, folder: Path) -> Path:
    """The file of a Debian package, put into a folder that has no other file of that package."""
    names = f"{package}_*.deb"
    _apt("apt-get", "download", package, enough=lambda _: any(folder.glob(names)), cwd=folder)
    (found,) = folder.glob(names)
    return found


def _fetch(version: str) -> Kernel:
    """Unpack the package of a kernel."""

    def make(folder: Path) -> None:
        package = download(f"linux-image-{version}", folder)
        subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=_APT_SECONDS)
        package.unlink()
        if not (folder / "lib").exists():  # since Debian 13, its files are below /usr/lib
            (folder / "lib").symlink_to("usr/lib")
        subprocess.run(["depmod", "-b", folder, version], check=True, timeout=_APT_SECONDS)

    return Kernel(version, cached(f"linux-{version}", make))


def initrd(
    init: str,
    kernel: Kernel | None = None,
    modules: Sequence[str] = (),
    programs: Sequence[Path] = (),
    busybox: Path = BUSYBOX,
) -> Path:
    """An initrd of busybox, a script ``/init``, modules and programs; made once, and kept.

    :param init: for busybox' shell; ``/modules`` names the modules' files in the order of loading.
    :param kernel: whose modules; with all that they depend on.
    :param programs: of this host, each to the same place; with the libraries that they use.
    :param busybox: that of this host, or of another architecture; statically linked.
    """
    ours = [f"{program} {program.stat().st_mtime_ns}" for program in programs]
    if busybox != BUSYBOX:
        ours.append(str(busybox))
    contents = "\0".join([init, kernel.version if kernel else "", *modules, *ours])
    name = f"initrd-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"

    def make(folder: Path) -> None:
        tree = folder / "tree"
        for directory in ("bin", "dev", "lib", "proc", "sys"):
            (tree / directory).mkdir(parents=True)
        shutil.copy2(busybox, tree / "bin/busybox")
        (tree / "init").write_text(init)
        (tree / "init").chmod(0o755)
        files = _with_dependencies(kernel, modules) if kernel else []
        for file in files:
            shutil.copyfile(file, tree / "lib" / file.name)
        for file in [
            *programs,
            *(library for program in programs for library in _libraries(program)),
        ]:
            copy = tree / file.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        (tree / "modules").write_text("".join(f"/lib/{file.name}\n" for file in files))
        packed = subprocess.run(
            ["cpio", "--quiet", "--create", "--format=newc", "--owner=0:0"],
            input="\n".join(
                str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))
            ).encode(),
            capture_output=True,
            check=True,
            cwd=tree,
        )
        (folder / "initrd").write_bytes(packed.stdout)
        shutil.rmtree(tree)

    return cached(name, make) / "initrd"


def _libraries(program: Path) -> list[Path]:
    """What a program needs to run, where it looks for it."""
    asked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    return [Path(element) for element in re.findall(r"(/\S+) \(0x", asked.stdout)]


def _with_dependencies(kernel: Kernel, modules: Sequence[str]) -> list[Path]:
    """The files of these modules, each after those that it needs."""
    asked = subprocess.run(
        ["modprobe", "-d", kernel.root, "-S", kernel.version, "--show-depends", "-a", *modules],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        Path(line.split()[1]) for line in asked.stdout.splitlines() if line.startswith("insmod")
    ]
    return list(dict.fromkeys(found))
