"""Look for known faults in what constraints.txt pins, without a network.

    python tools/audit.py DATABASE

The database is OSV's for Python packages, as its project publishes it: a ZIP of a JSON document for each
advisory (https://ossf.github.io/osv-schema). Whoever makes a release fetches it, on whatever machine has
a network, and keeps its date in the release notes. The exit status is 1 where something is known of a
pinned version; each line says what is known, and which version no longer has it.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
_ECOSYSTEM = "PyPI"


def pinned(text: str) -> dict[str, Version]:
    """The versions that a file of constraints pins, by normalized name."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    versions = {}
    for line in filter(None, lines):
        requirement = Requirement(line)
        if exact := re.fullmatch(r"==([^*,]+)", str(requirement.specifier)):
            versions[str(canonicalize_name(requirement.name))] = Version(exact[1])
    return versions


def known(pins: Mapping[str, Version], advisories: Iterator[Mapping[str, Any]]) -> list[str]:
    """A sentence for each advisory that is about a pinned version; those that were withdrawn are not."""
    sentences = []
    for advisory in advisories:
        if advisory.get("withdrawn"):
            continue
        for affected in advisory.get("affected", []):
            package = affected.get("package", {})
            name = str(canonicalize_name(package.get("name", "")))
            if package.get("ecosystem") != _ECOSYSTEM or name not in pins:
                continue
            if _concerns(affected, pins[name]):
                sentences.append(_sentence(advisory, affected, name, pins[name]))
    return sorted(set(sentences))


def _concerns(affected: Mapping[str, Any], version: Version) -> bool:
    """Whether a version is among those that are affected, by list or by range."""
    if any(_version(other) == version for other in affected.get("versions", [])):
        return True
    return any(
        _within(range_.get("events", []), version)
        for range_ in affected.get("ranges", [])
        if range_.get("type") == "ECOSYSTEM"
    )


def _within(events: list[Mapping[str, str]], version: Version) -> bool:
    """Walk through a range's events in the order of their versions, as OSV's schema says."""
    inside = False
    for kind, at in sorted(
        ((kind, _version(text)) for event in events for kind, text in event.items()),
        key=lambda event: (event[1], event[0] != "introduced"),
    ):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version:
    """A version; one that nobody can have where it is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


def _sentence(
    advisory: Mapping[str, Any], affected: Mapping[str, Any], name: str, version: Version
) -> str:
    events = [event for range_ in affected.get("ranges", []) for event in range_.get("events", [])]
    fixed = sorted({_version(event["fixed"]) for event in events if "fixed" in event})
    better = [str(release) for release in fixed if release > version]
    what = advisory.get("summary") or advisory.get("details", "").partition("\n")[0]
    after = f"fixed in {better[0]}" if better else "not fixed in any version"
    return f"{name} {version}: {advisory['id']}: {' '.join(what.split())[:200]} ({after})"


def advisories(database: Path) -> Iterator[Mapping[str, Any]]:
    """The documents in a database."""
    with zipfile.ZipFile(database) as opened:
        for name in opened.namelist():
            if name.endswith(".json"):
                yield json.loads(opened.read(name))


def main(database: Path, constraints: Path = CONSTRAINTS) -> str | int:
    """Audit the pins; the exit status, or what is wrong with the database."""
    try:
        with zipfile.ZipFile(database) as opened:
            count = len(opened.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        return f"{database} is no database of advisories: {error}"
    if not count:
        return f"{database} has no advisories"
    pins = pinned(constraints.read_text())
    sentences = known(pins, advisories(database))
    sys.stdout.write("".join(f"{finding}\n" for finding in sentences))
    sys.stdout.write(f"{len(pins)} pins, {count} advisories, {len(sentences)} concern us\n")
    return 1 if sentences else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - a program and its argument
        sys.exit("usage: python tools/audit.py DATABASE")
    sys.exit(main(Path(sys.argv[1])))
