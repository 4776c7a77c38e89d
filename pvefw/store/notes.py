"""Notes for the Tab key: names that a command has seen last, and a word about each."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from pvefw.core.errors import StoreError
from pvefw.store import files


def write(path: Path, names: Mapping[str, str]) -> None:
    """Note the names. Where that cannot be done, the notes stay as they are."""
    data = json.dumps(dict(names), ensure_ascii=False).encode()
    with contextlib.suppress(StoreError):  # nothing but the Tab key needs them
        if files.read_if_exists(path) != data:
            files.replace(path, data)


def read(path: Path) -> dict[str, str]:
    """The names that are noted, each with its word; none where the notes are damaged."""
    return {name: str(word) for name, word in files.read_object_if_possible(path).items()}
