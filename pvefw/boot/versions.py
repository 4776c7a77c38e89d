"""The order of kernel versions: Debian's order of package versions, deb-version(7).

``-rc5`` and ``-trunk`` come before the release that they lead to, as linux-version(1) has it; packages of
such kernels have a ``~`` there.
"""

import re
from functools import cmp_to_key

_PRE_RELEASE = re.compile(r"-(?=(?:rc|trunk)(?![a-z]))")
_SERIES = re.compile(r"\d+\.\d+")


def _weight(char: str) -> int:
    """A character's place among those that are no digits: ``~``, then nothing, letters, the rest."""
    if char == "~":
        return -1
    return ord(char) if char.isalpha() else ord(char) + 256


def _compare_text(text: str, other: str) -> int:
    for at in range(max(len(text), len(other))):
        left = _weight(text[at]) if at < len(text) else 0
        right = _weight(other[at]) if at < len(other) else 0
        if left != right:
            return left - right
    return 0


def compare(version: str, other: str) -> int:
    """Negative where ``version`` is older, positive where it is newer, 0 where they are equal.

    What follows the last hyphen is the revision, and counts only where all before it is equal.
    """
    for left, right in zip(_parts(version), _parts(other), strict=True):
        if order := _compare_part(left, right):
            return order
    return 0


def _parts(version: str) -> tuple[str, str]:
    version = _PRE_RELEASE.sub("~", version)
    upstream, _, revision = version.rpartition("-")
    return (upstream, revision) if upstream else (version, "")


def _compare_part(part: str, other: str) -> int:
    ours, theirs = (re.split(r"([0-9]+)", text) for text in (part, other))
    for at in range(max(len(ours), len(theirs))):
        left, right = (parts[at] if at < len(parts) else "" for parts in (ours, theirs))
        number = at % 2  # text and number take turns
        order = int(left or 0) - int(right or 0) if number else _compare_text(left, right)
        if order:
            return order
    return 0


key = cmp_to_key(compare)
"""For :func:`sorted`."""


def series(version: str) -> str:
    """The series of a kernel: ``6.8`` for ``6.8.12-4-pve``; the whole text where it has none."""
    match = _SERIES.match(version)
    return match[0] if match else version
