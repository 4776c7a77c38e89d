"""systemd-boot 252, as far as it decides what starts: written after its manual pages and real boots."""

import re
from fnmatch import fnmatchcase
from functools import cmp_to_key
from pathlib import PurePosixPath

from pvefw.testing.boot import Started

ONE_SHOT = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_TOKEN = re.compile(r"\d+|[A-Za-z]+|[-~^.]")


def start(root, efivars=None):
    """What the loader starts from an ESP; variable and boot counter are used up."""
    if not (root / "EFI/BOOT/BOOTX64.EFI").is_file():
        return None
    offered = sorted(_offered(root), key=cmp_to_key(_order))
    chosen = next((entry for entry in map(_finder(offered), _wanted(root, efivars)) if entry), None)
    chosen = chosen or next(iter(offered), None)
    if chosen is None:
        return None
    if chosen["tries"]:
        path = chosen["path"]
        counter = re.search(r"\+(\d+)(?:-(\d+))?\.conf$", path.name)
        left, done = int(counter[1]) - 1, int(counter[2] or 0) + 1
        path.rename(path.with_name(f"{path.name[: counter.start()]}+{left}-{done}.conf"))
    linux, initrd = (PurePosixPath(chosen[key].lstrip("/")) for key in ("linux", "initrd"))
    return Started(linux, initrd, f"initrd={chosen['initrd']} {chosen['options']}")


def _offered(root):
    for path in root.glob("loader/entries/*.conf"):
        fields = {"options": "", "version": "", "sort-key": "", "initrd": ""}
        for line in path.read_bytes().decode(errors="replace").splitlines():
            key, _, value = line.strip().partition(" ")
            fields[key] = value.strip()
        if "linux" in fields and (root / fields["linux"].lstrip("/")).is_file():
            counter = re.search(r"\+(\d+)(?:-\d+)?\.conf$", path.name)
            tries = int(counter[1]) if counter else None
            yield fields | {"path": path, "id": path.name.lower(), "tries": tries}


def _wanted(root, efivars):
    """Patterns, the strongest first."""
    variable = efivars / ONE_SHOT if efivars else None
    if variable and variable.exists():
        once = variable.read_bytes()[4:].decode("utf-16-le").rstrip("\0")
        variable.unlink()
        yield once
    conf = root / "loader/loader.conf"
    for line in conf.read_bytes().decode(errors="replace").splitlines() if conf.exists() else []:
        if line.startswith("default "):
            yield line.removeprefix("default ").strip().lower()


def _finder(offered):
    return lambda pattern: next(
        (entry for entry in offered if fnmatchcase(entry["id"], pattern)), None
    )


def _order(first, other):
    """Spent entries last; those with a sort-key first; then by id, the newest first."""
    ranks = [(entry["tries"] == 0, not entry["sort-key"]) for entry in (first, other)]
    if ranks[0] != ranks[1]:
        return -1 if ranks[0] < ranks[1] else 1
    return -_versions(first["id"], other["id"])


def _versions(first, other):
    """The Version Format Specification, near enough: numbers by value, above letters, above marks."""
    keys = [
        [
            (2, int(token)) if token.isdigit() else (1, token) if token.isalpha() else (0, token)
            for token in _TOKEN.findall(text)
        ]
        for text in (first, other)
    ]
    try:
        return (keys[0] > keys[1]) - (keys[0] < keys[1])
    except TypeError:
        return 0
