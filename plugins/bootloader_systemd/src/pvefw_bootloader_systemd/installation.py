"""The loader's own files on an ESP, put there by bootctl(1)."""

import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pvefw.api import Esp, ProviderError, Task, Unsupported, run

BINARIES = "EFI/systemd/systemd-boot*.efi"
"""One for each architecture: ``systemd-bootx64.efi``, ``systemd-bootaa64.efi``."""

PACKAGED = Path("/usr/lib/systemd/boot/efi")
"""Where Debian's packages have the loaders; what is signed for Secure Boot ends with ``.signed``."""

_SPLIT_SINCE = 13
_INFO = re.compile(rb"#### LoaderInfo: systemd-boot (\S+) ####")


def install(esp: Esp, efivars: Path, task: Task) -> None:
    """Put the loader there, also where firmware looks on any disk (``EFI/BOOT``), and register it.

    Where it cannot be registered, the disk still boots by itself; that is a warning.

    :raises Unsupported: bootctl or the loader is not installed on this host.
    :raises ProviderError: bootctl failed.
    """
    if shutil.which("bootctl") is None:
        raise Unsupported(
            "bootctl is not installed on this host",
            hint=f"apt install {_packages()}, then try again.",
        )
    command = ["bootctl", f"--esp-path={esp.mountpoint}"]
    task.log(f"Installing systemd-boot on {esp.device}")
    done = run([*command, "--no-variables", "install"], check=False)
    if done.returncode != 0 or not any(esp.mountpoint.glob(BINARIES)):
        raise ProviderError(
            f"bootctl could not install systemd-boot on {esp.device}: {done.last_words}",
            hint=f"apt install {_packages()}; `bootctl install` needs an EFI system partition on vfat.",
        )
    _register(command, esp, efivars, task)


def _packages() -> str:
    """What to install: since Debian 13, and so Proxmox VE 9, ``systemd-boot`` is a package whose scripts
    take the mounted ESP over, and what we need is in others.
    """
    try:
        release = platform.freedesktop_os_release().get("VERSION_ID", "")
    except OSError:
        release = ""
    old = release.isdecimal() and int(release) < _SPLIT_SINCE
    return "systemd-boot" if old else "systemd-boot-tools systemd-boot-efi"


def _register(command: list[str], esp: Esp, efivars: Path, task: Task) -> None:
    if not efivars.is_dir() or not any(efivars.iterdir()):
        task.log("There are no firmware variables here: the disk boots through EFI/BOOT alone")
        return
    done = run([*command, "install"], check=False)
    if done.returncode != 0:
        task.warn(
            f"{esp.device} is not registered in the firmware ({done.last_words}): it boots "
            "through EFI/BOOT, if the firmware tries that"
        )


def packaged(root: Path) -> Mapping[PurePosixPath, Path]:
    """The loaders on an ESP, ours in ``EFI/BOOT`` among them, and what this host has of them now.

    :raises OSError: the ESP cannot be read.
    """
    sources = {}
    for path in sorted(root.glob(BINARIES)):
        source = _source(path.name)
        if source is None:
            continue
        sources[PurePosixPath(path.relative_to(root))] = source
        # EFI/BOOT may also hold shim, or the loader of another system
        for fallback in root.glob(f"EFI/BOOT/{_fallback(path.name)}"):
            if _INFO.search(fallback.read_bytes()):
                sources[PurePosixPath(fallback.relative_to(root))] = source
    return sources


def _source(name: str) -> Path | None:
    """What bootctl(1) would install: the signed one, where there is one."""
    choices = [PACKAGED / f"{name.lower()}.signed", PACKAGED / name.lower()]
    return next((choice for choice in choices if choice.is_file()), None)


def _fallback(name: str) -> str:
    """``[Bb][Oo]...``: the same architecture's name in ``EFI/BOOT``, in whichever case."""
    wanted = f"{name.lower().removeprefix('systemd-')}"
    return "".join(
        f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in wanted
    )


def knows(root: Path, variable: str) -> bool:
    """Whether the loader on an ESP reads a variable: later releases know more of them."""
    name = variable.encode("utf-16-le")
    return any(name in path.read_bytes() for path in root.glob(BINARIES))


def loader_version(root: Path) -> str | None:
    """The version of the loader on an ESP: empty where it does not say, ``None`` without a loader."""
    for path in sorted(root.glob(BINARIES)):
        match = _INFO.search(path.read_bytes())
        return match[1].decode(errors="replace") if match else ""
    return None
