"""How kits say what a plugin should have done."""

import contextlib
from collections.abc import Callable, Iterator

from pvefw.api import ProviderError
from pvefw.seam import PvefwError


@contextlib.contextmanager
def explained(what: str, why: str) -> Iterator[None]:
    """Say why that must not fail."""
    try:
        yield
    except PvefwError as error:
        raise AssertionError(f"{what} raises {error}: {why}") from error


def unlike_a_refusal(call: Callable[[], object]) -> str:
    """What a call raised in place of a ProviderError; empty where it raised one."""
    try:
        call()
    except ProviderError:
        return ""
    except Exception as error:  # noqa: BLE001 - that is the finding
        return f"{type(error).__name__}: {error}"
    return "nothing"
