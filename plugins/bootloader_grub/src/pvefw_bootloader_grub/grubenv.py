"""GRUB's environment block: 1024 bytes that GRUB itself can write before a kernel runs.

Source: the manual of GRUB, section "The GRUB environment block".
"""

from collections.abc import Mapping
from pathlib import Path

from pvefw.api import ProviderError
from pvefw_bootloader_grub import files

_SIZE = 1024
_HEADER = b"# GRUB Environment Block\n"


def read(path: Path) -> Mapping[str, str] | None:
    """The variables, or ``None`` where there is no block or it is damaged; GRUB ignores such a one, too.

    :raises ProviderError: the file cannot be read.
    """
    data = files.read(path)
    return None if data is None else _decoded(data)


def update(path: Path, changes: Mapping[str, str | None]) -> None:
    """Set variables, or remove those that are ``None``; the others stay. A damaged block is made again.

    A whole block is overwritten in place, as GRUB does it: two sectors and no change to the file system's
    own structures, which FAT could lose in a power cut. What is read back after that is either block.

    :raises ProviderError: it cannot be written, or the values do not fit.
    """
    values = {**(read(path) or {}), **changes}
    data = _encoded({name: value for name, value in values.items() if value is not None})
    if path.is_file() and path.stat().st_size == _SIZE:
        files.overwrite(path, data)
    else:
        files.replace(path, data)


def _decoded(data: bytes) -> Mapping[str, str] | None:
    if len(data) != _SIZE or not data.startswith(_HEADER):
        return None
    values = {}
    for line in _lines(data[len(_HEADER) :]):
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            values[name] = value
    return values


def _lines(data: bytes) -> list[str]:
    r"""The lines, with ``\\`` and an escaped line break undone."""
    lines, line, escaped = [], "", False
    for character in data.decode(errors="replace"):
        if escaped or character not in "\\\n":
            line, escaped = line + character, False
        elif character == "\\":
            escaped = True
        else:
            lines.append(line)
            line = ""
    return lines


def _encoded(values: Mapping[str, str]) -> bytes:
    text = "".join(
        name + "=" + value.replace("\\", r"\\").replace("\n", "\\\n") + "\n"
        for name, value in values.items()
    )
    data = _HEADER + text.encode(errors="replace")
    if len(data) > _SIZE:
        raise ProviderError(f"GRUB's environment block has {_SIZE} bytes; {len(data)} do not fit")
    return data.ljust(_SIZE, b"#")
