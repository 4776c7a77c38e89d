"""The boot entry of one ESP in the firmware's variables.

grub-install would make one, too, but only after it has removed those of the same name: with two ESPs the
first disk would lose its entry to the second.
"""

import shutil
from pathlib import Path

from pvefw.api import Esp, Task, run

_VARIABLES = Path("/sys/firmware/efi/efivars")
_BLOCK_DEVICES = Path("/sys/class/block")
_LABEL = "proxmox"
_IMAGES = ("shimx64.efi", "grubx64.efi")
"""In the order in which the firmware should want them."""


def register(esp: Esp, task: Task) -> None:
    """Let the firmware start this ESP first, unless it has an entry for it already.

    Where that cannot be done it is a warning: firmware finds a disk without one by the fallback path.
    """
    if not (_VARIABLES.is_dir() and any(_VARIABLES.iterdir())):
        task.log("No EFI variables here: the firmware finds this disk by its fallback path")
        return
    folder = esp.mountpoint / "EFI" / _LABEL
    image = next(one for one in _IMAGES if (folder / one).is_file() or one == _IMAGES[-1])
    trouble = _register(esp, rf"\EFI\{_LABEL}\{image}", task)
    if trouble:
        task.warn(f"{esp.device}: no entry in the firmware, which has to find it itself: {trouble}")


def _register(esp: Esp, loader: str, task: Task) -> str:
    """Why it was not done; empty where there is an entry now."""
    if shutil.which("efibootmgr") is None:
        return "efibootmgr is not installed"
    asked = run(["lsblk", "--noheadings", "--output", "PARTUUID", str(esp.device)], check=False)
    partition = asked.stdout.strip().lower()
    number = _number(esp.device)
    if not partition or not number:
        return "it is no partition with an identifier"
    known = run(["efibootmgr", "--verbose"], check=False).stdout.lower()
    if any(partition in line and loader.lower() in line for line in known.splitlines()):
        return ""
    task.log(f"Adding a boot entry for {esp.device} to the firmware")
    new = ["--create", "--disk", str(esp.disk), "--part", number, "--label", _LABEL]
    done = run(["efibootmgr", *new, "--loader", loader], check=False)
    return "" if done.returncode == 0 else done.last_words


def _number(device: Path) -> str:
    """Of the partition; empty where the kernel does not know it."""
    path = _BLOCK_DEVICES / device.resolve().name / "partition"
    return path.read_text().strip() if path.is_file() else ""
