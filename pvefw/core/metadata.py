"""What installed distributions say of themselves: entry points, versions, requirements.

The files are those that the Python Packaging User Guide specifies: ``entry_points.txt`` and ``METADATA``
in a folder ``*.dist-info`` (or ``*.egg-info``) on ``sys.path``. ``importlib.metadata`` reads the same
ones, and takes longer for it than a command may take to begin (ADR 15).
Archives on ``sys.path`` are not looked into: what pvefw is made of cannot run from one.

Nothing is imported here, and one distribution's broken metadata never hides the others.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from pvefw import PLUGIN_API, PROJECT, __version__

_SUFFIXES = (".dist-info", ".egg-info")
_HEADERS = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}
_RUNS = re.compile(r"[-_.]+")
_EXTRAS = re.compile(r"\s*\[[^\]]*\]$")


class Distribution:
    """One installed distribution.

    :param folder: its folder of metadata.
    :param file_name: the name as the folder has it: ``pvefw_acme_dns_ovh``.
    """

    def __init__(self, folder: str, file_name: str) -> None:
        self.folder, self.file_name = folder, file_name

    @cached_property
    def _headers(self) -> dict[str, list[str]]:
        """The header of its core metadata, up to the first empty line; empty where it cannot be read."""
        headers: dict[str, list[str]] = {}
        suffix = os.path.splitext(self.folder)[1]
        for line in _read(os.path.join(self.folder, _HEADERS[suffix])).splitlines():
            if not line.strip():
                break
            key, colon, value = line.partition(":")
            if colon and not line[0].isspace():
                headers.setdefault(key.lower(), []).append(value.strip())
        return headers

    def _first(self, key: str) -> str:
        return self._headers.get(key, [""])[0]

    @property
    def name(self) -> str:
        return self._first("name") or self.file_name

    @property
    def version(self) -> str:
        return self._first("version")

    @property
    def summary(self) -> str:
        """One line that says what it is for."""
        return self._first("summary")

    @property
    def requires(self) -> list[str]:
        """Requirements as its build tool wrote them (PEP 508)."""
        return self._headers.get("requires-dist", [])


class EntryPoint(NamedTuple):
    """One line of a distribution's ``entry_points.txt``."""

    group: str
    name: str
    value: str
    """``module:attribute``."""
    distribution: Distribution


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, in the order of ``sys.path``.

    Where a distribution lies on it twice, the first one counts, as it does for imports.
    """
    return [point for point in _ours(_places()) if point.group == group]


@lru_cache(maxsize=1)
def own_entry_points() -> list[EntryPoint]:
    """Those of pvefw itself, without a look at what else is installed."""
    for distribution in _distributions(sys.path, PROJECT):
        if distribution.file_name == PROJECT:
            return _of(distribution)
    return []


def _places() -> tuple[tuple[str, int], ...]:
    """Every directory of ``sys.path``, and when something was last installed into it (nanoseconds)."""
    stamps = []
    for place in sys.path:
        try:
            stamps.append((place or ".", os.stat(place or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(stamps)


@lru_cache(maxsize=1)
def _ours(places: tuple[tuple[str, int], ...]) -> list[EntryPoint]:
    """What all distributions offer in groups of pvefw; read once, until something is installed."""
    known: set[str] = set()
    points: list[EntryPoint] = []
    for distribution in _distributions(place for place, _ in places):
        key = _RUNS.sub("-", distribution.file_name).lower()
        if key in known:
            continue
        known.add(key)
        points += _of(distribution)
    return points


def _of(distribution: Distribution) -> list[EntryPoint]:
    text = _read(os.path.join(distribution.folder, "entry_points.txt"))
    if f"[{PROJECT}." not in text:
        return []
    return [EntryPoint(*words, distribution) for words in _lines(text)]


def _distributions(places: Iterable[str], beginning: str = "") -> Iterator[Distribution]:
    for place in places:
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue  # an archive, or nothing at all
        for name in names:
            if name.startswith(beginning) and name.endswith(_SUFFIXES):
                stem = os.path.splitext(name)[0]
                yield Distribution(os.path.join(place, name), stem.partition("-")[0])


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Section, name and value of each line."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            name, equals, value = line.partition("=")
            if equals:
                yield section, name.strip(), _EXTRAS.sub("", value.strip())


def _read(path: str) -> str:
    """A file's text; empty where it is missing or cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


# --- which pvefw a distribution is made for --------------------------------------------------------

_MINOR = int(__version__.split(".")[1])
_LOWEST = (f"{PLUGIN_API}", *(f"{PLUGIN_API}.{minor}" for minor in range(_MINOR + 1)))
_USUAL = {
    f"{PROJECT}{bounds}"
    for lowest in _LOWEST
    for bounds in (f">={lowest},<{PLUGIN_API + 1}", f"<{PLUGIN_API + 1},>={lowest}")
}
"""What plugins require as a rule, as build tools write it: it is met. Everything else is read with
``packaging``, whose import takes a fifth of what a user waits before a command begins.
"""


def problem(distribution: Distribution) -> str:
    """Why nothing of a distribution may be loaded into this pvefw; empty where it may."""
    if distribution.name == PROJECT or not _USUAL.isdisjoint(distribution.requires):
        return ""
    required = _requirement(distribution)
    if required is None or required.contains(__version__, prereleases=True):
        return ""
    return f"it requires pvefw{required}, this is pvefw {__version__} (plugin API {PLUGIN_API})"


def plugin_api(distribution: Distribution) -> int | None:
    """The plugin API number: the lowest major version of pvefw that it requires."""
    if distribution.name == PROJECT or not _USUAL.isdisjoint(distribution.requires):
        return PLUGIN_API
    from packaging.version import Version

    bounds = [
        Version(clause.version.removesuffix(".*"))
        for clause in _requirement(distribution) or ()
        if clause.operator in (">=", ">", "==", "~=")
    ]
    return max(bounds).major if bounds else None


def _requirement(distribution: Distribution) -> Any:
    """What it requires of pvefw: a ``packaging`` specifier set, or ``None``."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in distribution.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name == PROJECT:
            return requirement.specifier
    return None
