"""Variables of the firmware, as files of efivarfs: four bytes of attributes, then the value."""

import errno
import fcntl
import os
import struct
from pathlib import Path

LOADER_GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The vendor of what systemd-boot and the system tell each other (Boot Loader Interface)."""

_KEPT = struct.pack("<I", 0x7)
"""EFI_VARIABLE_NON_VOLATILE, _BOOTSERVICE_ACCESS and _RUNTIME_ACCESS."""
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (linux/fs.h), on 64 bits."""
_IMMUTABLE = 0x10
_NO_FLAGS = {errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems say that have none."""


def read(folder: Path, name: str) -> bytes | None:
    """A variable's value, or ``None`` where there is none.

    :param folder: where efivarfs is mounted.
    :param name: with the vendor: ``NAME-GUID``.
    """
    try:
        return (folder / name).read_bytes()[len(_KEPT) :]
    except OSError:
        return None


def read_text(folder: Path, name: str) -> str | None:
    """As :func:`read`, for UTF-16 with a final NUL."""
    value = read(folder, name)
    return None if value is None else value.decode("utf-16-le", errors="replace").partition("\0")[0]


def write_text(folder: Path, name: str, text: str) -> None:
    """Set a variable that outlives the machine's being switched off.

    :raises OSError: there are no variables, or they cannot be written.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        raise FileNotFoundError(f"{folder} has no variables")
    path = folder / name
    _allow_writing(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(
            file, _KEPT + f"{text}\0".encode("utf-16-le")
        )  # in one write: it is the whole value
    finally:
        os.close(file)


def remove(folder: Path, name: str) -> None:
    """Remove a variable; one that is not there is not an error.

    :raises OSError: it cannot be removed.
    """
    _allow_writing(folder / name)
    (folder / name).unlink(missing_ok=True)


def _allow_writing(path: Path) -> None:
    """Take the flag away with which Linux protects variables from a careless ``rm``."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        flags = bytearray(8)
        fcntl.ioctl(file, _GET_FLAGS, flags)
        [value] = struct.unpack("=Q", flags)
        if value & _IMMUTABLE:
            fcntl.ioctl(file, _SET_FLAGS, struct.pack("=Q", value & ~_IMMUTABLE))
    except OSError as error:
        if error.errno not in _NO_FLAGS:
            raise
    finally:
        os.close(file)
