"""What started this machine: its firmware, and the boot loader in between."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import PvefwError
from pvefw.core.model import Firmware
from pvefw.host import programs
from pvefw.store import files
from pvefw.store.paths import Paths

GRUB, SYSTEMD_BOOT = "grub", "systemd-boot"
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""The vendor of the variables in the UEFI specification, section 3.3."""
_LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The vendor of systemd's Boot Loader Interface."""
_SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
"""The vendor of shim's own variables."""
_DATABASES = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
"""The vendor of what Secure Boot trusts and refuses, in the same specification, section 32.6."""
_FILES = {
    re.compile(r"\\systemd\\systemd-boot[^\\]*\.efi", re.IGNORECASE): SYSTEMD_BOOT,
    re.compile(r"\\(?:grub|shim)[^\\]*\.efi", re.IGNORECASE): GRUB,
}
_ENTRY = re.compile(r"Boot(?P<number>[0-9A-F]{4})(?P<active>\*?) (?P<rest>.*)", re.IGNORECASE)


def _efi(paths: Paths) -> Path:
    """Where UEFI shows itself. A root without ``/sys`` is worked on from this machine's rescue system."""
    below = paths.below("sys/firmware")
    return (below if below.is_dir() else Path("/sys/firmware")) / "efi"


def current(paths: Paths) -> Firmware:
    """The kind of firmware that started this machine."""
    return Firmware.UEFI if _efi(paths).is_dir() else Firmware.BIOS


def secure_boot(paths: Paths) -> bool:
    """Whether the firmware starts only what is signed."""
    return _variable(paths, "SecureBoot", _GLOBAL)[:1] == b"\1"


def verifies_kernels(paths: Paths) -> bool:
    """Whether Secure Boot reaches the kernel; ``mokutil --disable-validation`` ends it at shim."""
    return secure_boot(paths) and _variable(paths, "MokSBStateRT", _SHIM)[:1] != b"\1"


def trusted(paths: Paths) -> bytes:
    """The signature lists of ``db``: what the firmware starts; empty where they cannot be read."""
    return _variable(paths, "db", _DATABASES)


def revoked(paths: Paths) -> bytes:
    """The signature lists of ``dbx``: what the firmware refuses."""
    return _variable(paths, "dbx", _DATABASES)


def trusted_by_shim(paths: Paths) -> bytes:
    """What the shim that started this machine trusts, too: the owner's keys, and its vendor's."""
    return _variable(paths, "MokListRT", _SHIM)


def revoked_by_shim(paths: Paths) -> bytes:
    """What that shim refuses, too."""
    return _variable(paths, "MokListXRT", _SHIM)


def sbat_level(paths: Paths) -> bytes:
    """The generations below which shim refuses an image, as in a ``.sbat`` section."""
    return _variable(paths, "SbatLevelRT", _SHIM)


def has_loader_info(paths: Paths) -> bool:
    """Whether a loader with systemd's Boot Loader Interface started this machine."""
    return bool(_variable(paths, "LoaderInfo", _LOADER))


def _variable(paths: Paths, name: str, vendor: str) -> bytes:
    """An EFI variable's value; empty where there is none. Four bytes of attributes come first."""
    path = _efi(paths) / "efivars" / f"{name}-{vendor}"
    try:
        return (files.read_if_exists(path) or b"")[4:]
    except PvefwError:
        return b""


def suitable(paths: Paths) -> str:
    """The loader for this machine: GRUB for BIOS and Secure Boot, else systemd-boot."""
    if current(paths) is Firmware.UEFI and not secure_boot(paths):
        return SYSTEMD_BOOT
    return GRUB


def in_words(paths: Paths) -> str:
    """The firmware for people."""
    kind = current(paths).upper()
    return f"{kind} with Secure Boot" if secure_boot(paths) else kind


@dataclass(frozen=True)
class Detected:
    """Which loader started this machine, as far as it can be known."""

    firmware: Firmware
    secure_boot: bool
    loader: str
    """The plugin's name, or empty."""
    entry: str
    """The firmware's entry that was started, as ``efibootmgr`` prints it; or empty."""
    evidence: Sequence[str]
    """What was looked at, and what it said."""


def detect(paths: Paths) -> Detected:
    """Find out which boot loader started this machine, and how that is known."""
    kind = current(paths)
    secure = secure_boot(paths)
    if kind is Firmware.BIOS:
        return Detected(
            kind,
            secure,
            GRUB,
            "",
            ["/sys/firmware/efi does not exist: started by BIOS, so by GRUB"],
        )
    evidence = ["/sys/firmware/efi exists: started by UEFI"]
    evidence.append(f"variable SecureBoot: {'on' if secure else 'off'}")
    info = _variable(paths, "LoaderInfo", _LOADER).decode("utf-16-le", "replace").rstrip("\0")
    entry = ""
    loader = SYSTEMD_BOOT if info.startswith("systemd-boot") else ""
    evidence.append(f"variable LoaderInfo: {info or 'not set'}")
    output = _efibootmgr(paths)
    if isinstance(output, str):
        entry = started_entry(output)
        evidence.append(f"efibootmgr -v: started: {entry or 'unknown'}")
        loader = loader or loader_of(entry)
    else:
        evidence.append(f"efibootmgr -v: {output.message}")
    return Detected(kind, secure, loader, entry, evidence)


def _efibootmgr(paths: Paths) -> str | PvefwError:
    if str(paths.root) != "/":
        return PvefwError("not asked: another root")
    if shutil.which("efibootmgr") is None:
        return PvefwError("not installed")
    try:
        return programs.run(["efibootmgr", "-v"]).stdout
    except PvefwError as error:
        return error


def started_entry(text: str) -> str:
    """The entry that ``BootCurrent`` names in the output of ``efibootmgr -v``, or empty."""
    match = re.search(r"^BootCurrent: ([0-9A-F]{4})", text, re.MULTILINE | re.IGNORECASE)
    if match is None:
        return ""
    for line in text.splitlines():
        entry = _ENTRY.fullmatch(line.strip())
        if entry and entry["number"].upper() == match[1].upper():
            return line.strip().replace("\t", " ")
    return ""


def boot_variables(paths: Paths) -> Mapping[str, bytes]:
    """``BootOrder``, ``BootNext``, every ``Boot####``: name to value; none where they cannot be read."""
    names = [path.name for path in (_efi(paths) / "efivars").glob(f"Boot*-{_GLOBAL}")]
    short = [name.removesuffix(f"-{_GLOBAL}") for name in sorted(names)]
    return {name: _variable(paths, name, _GLOBAL) for name in short}


def loader_of(entry: str) -> str:
    """Which loader a firmware entry starts, by its file; or empty."""
    for pattern, name in _FILES.items():
        if pattern.search(entry):
            return name
    return ""
