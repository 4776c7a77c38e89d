"""Files with a plugin's settings as people have them: lines for a shell, from an editor of any system.

What Proxmox VE stores is never read so: there a value is what follows the ``=``.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from pvefw.core import causes, settings
from pvefw.core.errors import ConfigError, StoreError

_LINE = re.compile(
    r"(?P<export>export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_.-]*)(?P<before>\s*)=(?P<after>\s*)(?P<value>.*)"
)
_QUOTED = re.compile(
    r"""(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>[^']*)')\s*;?\s*(?P<comment>\#.*)?"""
)
_COMMENT = re.compile(r"(?P<value>.*?)\s+#.*")
_ESCAPED = re.compile(r"\\([\"\\$`])")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Data:
    """The settings in a file, and what was assumed about them."""

    values: dict[str, str]
    notes: tuple[str, ...]
    """``CF_Token: quotes removed``; never a value."""


def read(path: Path, *, raw: bool = False) -> Data:
    """Read ``KEY=VALUE`` lines; blank ones and those that begin with ``#`` are skipped.

    :param raw: keep quotes and what looks like a comment as parts of the values.
    :raises ConfigError: a line is not of this form, or a key occurs twice.
    :raises StoreError: the file cannot be read.
    """
    try:
        text, notes = _decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: could not read the settings: {causes.of(error)}",
            hint="One KEY=VALUE per line, in UTF-8.",
        ) from error
    try:
        if raw:
            return Data(settings.parse(text), tuple(notes))
        return _parse(text, notes)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint="One KEY=VALUE a line.") from error


def _decoded(data: bytes) -> tuple[str, list[str]]:
    notes = []
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding != "utf-8":
        notes.append("byte order mark removed" if "8" in encoding else "read as UTF-16")
    text = data.decode(encoding)
    if "\r" in text:
        notes.append("line ends of Windows removed")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _parse(text: str, notes: list[str]) -> Data:
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ConfigError(f"line {number} of the data is not KEY=VALUE")
        key = match["key"]
        if key in values:
            raise ConfigError(f"{key} occurs twice in the data")
        value, assumed = _value(match["value"])
        if match["before"] or match["after"]:
            assumed = ["blanks around = removed", *assumed]
        if match["export"]:
            assumed = ["'export' removed", *assumed]
        if value:
            values[key] = value
        else:
            assumed.append("empty, left out")
        if assumed:
            notes.append(f"{key}: {', '.join(assumed)}")
    return Data(values, tuple(notes))


def _value(text: str) -> tuple[str, list[str]]:
    """A value without its quotes and the comment behind it, and what was removed."""
    if match := _QUOTED.fullmatch(text):
        single = match["single"]
        value = _ESCAPED.sub(r"\1", match["double"]) if single is None else single
        return value, ["quotes removed", *(["comment removed"] if match["comment"] else [])]
    assumed = []
    if text.startswith("#"):
        return "", ["comment removed"]
    if match := _COMMENT.fullmatch(text):
        text, assumed = match["value"], ["comment removed"]
    if text[:1] in ("'", '"'):
        assumed.append("an unmatched quote kept")
    return text, assumed
