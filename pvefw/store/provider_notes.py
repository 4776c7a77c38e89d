"""Notes about DNS providers: which there were when a command last listed all. The Tab key offers them."""

import contextlib
import json
from collections.abc import Mapping

from pvefw.core.errors import StoreError
from pvefw.store import files
from pvefw.store.paths import Paths


def write(paths: Paths, providers: Mapping[str, str]) -> None:
    """Note the names and a word about each. Where that cannot be done, the notes stay as they are."""
    data = json.dumps(dict(providers), ensure_ascii=False).encode()
    with contextlib.suppress(StoreError):  # nothing but the Tab key needs them
        if files.read_if_exists(paths.provider_notes) != data:
            files.replace(paths.provider_notes, data)


def read(paths: Paths) -> list[tuple[str, str]]:
    """The providers that are noted; name and a word about it."""
    found = files.read_object_if_possible(paths.provider_notes)
    return [(name, str(words)) for name, words in found.items()]
