"""The loader's own files on an ESP, put there by bootctl(1)."""

import re
import shutil
from pathlib import Path

from pvefw.api import Esp, ProviderError, Task, Unsupported, run

BINARIES = "EFI/systemd/systemd-boot*.efi"
"""One for each architecture: ``systemd-bootx64.efi``, ``systemd-bootaa64.efi``."""

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
            hint="apt install systemd-boot, then try again.",
        )
    command = ["bootctl", f"--esp-path={esp.mountpoint}"]
    task.log(f"Installing systemd-boot on {esp.device}")
    done = run([*command, "--no-variables", "install"], check=False)
    if done.returncode != 0 or not any(esp.mountpoint.glob(BINARIES)):
        raise ProviderError(
            f"bootctl could not install systemd-boot on {esp.device}: {done.last_words}",
            hint="apt install systemd-boot; `bootctl install` needs an EFI system partition on vfat.",
        )
    _register(command, esp, efivars, task)


def _register(command: list[str], esp: Esp, efivars: Path, task: Task) -> None:
    if not efivars.is_dir() or not any(efivars.iterdir()):
        task.log("There are no firmware variables here: the disk boots by EFI/BOOT alone")
        return
    done = run([*command, "install"], check=False)
    if done.returncode != 0:
        task.warn(
            f"{esp.device} is not registered in the firmware ({done.last_words}): it boots by "
            "EFI/BOOT, where the firmware tries that"
        )


def loader_version(root: Path) -> str | None:
    """The version of the loader on an ESP: empty where it does not say, ``None`` without a loader."""
    for path in sorted(root.glob(BINARIES)):
        found = _INFO.search(path.read_bytes())
        return found[1].decode(errors="replace") if found else ""
    return None
