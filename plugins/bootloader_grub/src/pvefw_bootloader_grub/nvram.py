"""The boot entry of one ESP in the firmware's variables.

grub-install would make one, too, but only after it has removed those of the same name: with two ESPs the
first disk would lose its entry to the second.
"""

import re
import shutil
from pathlib import Path

from pvefw.api import Esp, Task, run
from pvefw_bootloader_grub import platforms

_VARIABLES = Path("/sys/firmware/efi/efivars")
_BLOCK_DEVICES = Path("/sys/class/block")
_ENTRY = re.compile(r"Boot([0-9A-F]{4})(\*?)\s", re.IGNORECASE)
_ORDER = re.compile(r"^BootOrder: (\S+)", re.MULTILINE)
_LABEL = "proxmox"


def register(esp: Esp, task: Task) -> None:
    """Let the firmware start this ESP first, unless it has an entry for it already.

    Where that cannot be done it is a warning: firmware finds a disk without one by the fallback path.
    """
    if not (_VARIABLES.is_dir() and any(_VARIABLES.iterdir())):
        task.log("No EFI variables here: the firmware finds this disk by its fallback path")
        return
    ours = platforms.uefi()
    with_shim = (esp.mountpoint / "EFI" / _LABEL / ours.shim).is_file()
    image = ours.shim if with_shim else ours.image
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
        return "it is not a partition with an identifier"
    known = run(["efibootmgr", "--verbose"], check=False).stdout
    number_known, active = _find(known, partition, loader)
    if number_known:
        return _put_to_use(known, number_known, task, active=active)
    task.log(f"Adding a boot entry for {esp.device} to the firmware")
    new = ["--create", "--disk", str(esp.disk), "--part", number, "--label", _LABEL]
    done = run(["efibootmgr", *new, "--loader", loader], check=False)
    return "" if done.returncode == 0 else done.last_words


def _find(text: str, partition: str, loader: str) -> tuple[str, bool]:
    """The entry for this file on this partition: its number, empty for none, and whether it is active."""
    entries = [
        (match[1].upper(), match[2] == "*")
        for line in text.splitlines()
        if partition in line.lower() and loader.lower() in line.lower()
        if (match := _ENTRY.match(line))
    ]
    return max(entries, key=lambda entry: entry[1], default=("", False))


def _put_to_use(text: str, number: str, task: Task, *, active: bool) -> str:
    """Let the firmware start an entry that it has and passes over.

    :returns: why it could not be done, or empty.
    """
    if not active:
        task.log(f"Activating the firmware's entry Boot{number}")
        done = run(["efibootmgr", "--bootnum", number, "--active"], check=False)
        if done.returncode != 0:
            return done.last_words
    order = _ORDER.search(text)
    numbers = order[1].upper().split(",") if order else []
    if number in numbers:
        return ""
    task.log(f"Putting the firmware's entry Boot{number} into BootOrder")
    done = run(["efibootmgr", "--bootorder", ",".join([number, *numbers])], check=False)
    return "" if done.returncode == 0 else done.last_words


def _number(device: Path) -> str:
    """Of the partition; empty where the kernel does not know it."""
    path = _BLOCK_DEVICES / device.resolve().name / "partition"
    return path.read_text().strip() if path.is_file() else ""
