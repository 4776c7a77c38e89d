"""What ``--trace-plugins`` shows: each call of a hook on standard error, when it begins and when it ends.

Calls are numbered, as they may run side by side::

    hook 1: dns/mine.dns_add(zone='example.com.', records=[TxtRecord(…)], task=…)
    hook 1: dns/mine.dns_add returned None after 0.213 s
"""

import itertools
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pvefw.core import text
from pvefw.host.clock import SystemClock

_LONGEST = 2000
"""Characters of an argument or a result that are shown."""

_numbers = itertools.count(1)
_lock = threading.Lock()
_active = False


def begin() -> None:
    """Show every call from now on, until the process ends."""
    global _active  # noqa: PLW0603 - like a log level, it is one decision for the whole process
    _active = True


def active() -> bool:
    """Whether calls are shown."""
    return _active


class Call:
    """One call that is shown; made when it begins.

    :param who: ``dns/mine``: the family and the instance.
    :param redact: masks secrets in a text.
    """

    def __init__(
        self, who: str, hook: str, arguments: Mapping[str, Any], redact: Callable[[str], str]
    ) -> None:
        self._redact = redact
        self._clock = SystemClock()
        self._said = f"hook {next(_numbers)}: {who}.{hook}"
        shown = ", ".join(
            f"{name}={self._shown(argument, name)}" for name, argument in arguments.items()
        )
        self._began = self._clock.monotonic()
        _write(f"{self._said}({shown})")

    def returned(self, result: object) -> None:
        """It returned; of settings that it returns (they may be secrets) only the keys are shown."""
        shown = f"settings {sorted(result)}" if isinstance(result, Mapping) else self._shown(result)
        self._end(f"returned {shown}")

    def raised(self, error: BaseException) -> None:
        """It raised."""
        self._end(f"raised {self._shown(error)}")

    def _end(self, how: str) -> None:
        _write(f"{self._said} {how} after {self._clock.monotonic() - self._began:.3f} s")

    def _shown(self, value: object, name: str = "") -> str:
        """A value on one line, without secrets; a task, which is always the same, as dots."""
        if name == "task":
            return "…"
        words = text.one_line(self._redact(text.shown(value)))
        return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}… ({len(words)} characters)"


def _write(line: str) -> None:
    """A line in one piece: calls in several threads must not mix theirs."""
    with _lock:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
