"""How kits say what a plugin should have done."""

import contextlib
from collections.abc import Iterator

from pvefw.seam import PvefwError


@contextlib.contextmanager
def explained(what: str, why: str) -> Iterator[None]:
    """Say why that must not fail."""
    try:
        yield
    except PvefwError as error:
        raise AssertionError(f"{what} raises {error}: {why}") from error
