"""Stands around every call of a plugin: a time limit, a check of what comes back, errors that name it.

Whatever a hook raises becomes an error of pvefw's, with the plugin's name and without its secrets.
"""

import contextlib
import math
import os
import threading
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NoReturn

from pvefw.core import causes, masking, text, trace
from pvefw.core.errors import (
    Cancelled,
    PluginFailed,
    PluginTimeout,
    ProviderError,
    PvefwError,
    UsageError,
)
from pvefw.core.families import Family
from pvefw.host import concurrency, descriptors

if TYPE_CHECKING:
    from pvefw.core.model import Task


def time_limit(seconds: float | None) -> float | None:
    """``PVEFW_PLUGIN_TIMEOUT`` (seconds) shortens every limit, for impatient tests and operators.

    :raises UsageError: it is not a number of seconds.
    """
    limit = os.environ.get("PVEFW_PLUGIN_TIMEOUT")
    if not limit:
        return seconds
    try:
        shorter = float(limit)
    except ValueError:
        shorter = math.nan
    if not 0 < shorter < math.inf:
        raise UsageError(f"PVEFW_PLUGIN_TIMEOUT: '{limit}' is not a number of seconds")
    return min(shorter, seconds or shorter)


def in_words(error: BaseException) -> str:
    """An exception in a few words, on one line."""
    if words := causes.known(error):
        return words
    words = text.of(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _cancelled_from_now(task: "Task | None") -> Callable[[], bool]:
    """Whether a task was cancelled since this call; what runs after that is clean-up."""
    if task is None or task.cancelled:
        return lambda: False
    return lambda: task.cancelled


class Guard:
    """Stands before a plugin's hooks: time limit, one call at a time, errors that name the plugin."""

    def __init__(self, manager: Any, family: Family, name: str, secrets: Sequence[str]) -> None:
        self._manager = manager
        self._family = family
        self._name = name
        self._secrets = masking.Secrets(secrets)
        self._turn = threading.Lock() if family.one_at_a_time else contextlib.nullcontext()

    def __getattr__(self, hook: str) -> Callable[..., Any]:
        if hook not in self._family.hooks:
            raise AttributeError(hook)
        return partial(self._call, hook)

    def takes(self, hook: str, argument: str) -> bool:
        """Whether the plugin's hook declares an argument."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return any(argument in implementation.argnames for implementation in implementations)

    def masking(self, secrets: Sequence[str]) -> "Guard":
        """A guard before the same plugin that masks these values, too."""
        return Guard(self._manager, self._family, self._name, (*self._secrets.values, *secrets))

    def _call(self, hook: str, **arguments: Any) -> Any:
        if not trace.active():
            return self._guarded(hook, arguments)
        call = trace.Call(f"{self._family.name}/{self._name}", hook, arguments, self._redacted)
        try:
            result = self._guarded(hook, arguments)
        except BaseException as error:
            call.raised(error)
            raise
        call.returned(result)
        return result

    def _guarded(self, hook: str, arguments: dict[str, Any]) -> Any:
        if "task" in arguments:
            arguments = {**arguments, "task": _PluginTask(arguments["task"], self._secrets)}
        limit = time_limit(self._family.call_seconds)
        call = partial(getattr(self._manager.hook, hook), **arguments)
        stop = _cancelled_from_now(arguments.get("task"))
        try:
            with self._turn:
                if limit is None:
                    result = call()  # in core's own worker thread, which has a time limit
                else:
                    result = concurrency.call_within(call, limit, f"{self._name}.{hook}", stop)
        except (Cancelled, KeyboardInterrupt):
            raise
        except concurrency.DidNotReturn as error:
            raise PluginTimeout(
                f"{self._name}: {hook} did not return within {limit:g} seconds", plugin=self._name
            ) from error
        except BaseException as error:  # noqa: BLE001 - SystemExit of a plugin is its failure, too
            self._explain(hook, error)
        finally:
            descriptors.restore()  # it may have closed what is everybody's
        return self._checked(hook, result)

    def _explain(self, hook: str, error: BaseException) -> NoReturn:
        """Raise what a hook raised, with the plugin's name and without its secrets.

        The original is kept as a note for ``--debug``, as text: its own could hold a secret.
        """
        if isinstance(error, ProviderError):
            known: PvefwError = error
        elif isinstance(error, PvefwError):  # a failing program, mostly
            known = ProviderError(error.message, hint=error.hint)
        else:
            known = PluginFailed(
                f"{hook} failed: {in_words(error)}",
                plugin=self._name,
                hint="This is a fault in the plugin; --debug shows where.",
            )
        trace_of_it = "".join(traceback.format_exception(error))
        said_by_it = getattr(known, "message", text.of(known))
        known.message = f"{self._name}: {self._redacted(said_by_it)}"
        known.hint = self._redacted(getattr(known, "hint", "")).replace("{instance}", self._name)
        known.args = (known.message,)
        known.add_note(self._redacted(trace_of_it))
        raise known.with_traceback(None) from None

    def _checked(self, hook: str, result: Any) -> Any:
        """The result, if it is of the kind that the contract says."""
        kind = typing.get_type_hints(getattr(self._family.spec, hook))["return"]
        if not _fits(result, kind):
            raise PluginFailed(
                f"{self._name}: {hook} returned {self._redacted(text.shown(result))[:80]}, "
                f"its contract says {_kind_name(kind)}",
                plugin=self._name,
                hint="A hook returns that or raises a ProviderError; see the hook reference.",
            )
        return self._iterate(hook, result) if isinstance(result, Iterator) else result

    def _iterate(self, hook: str, items: Iterator[Any]) -> Iterator[Any]:
        """An iterator's body runs after the hook has returned: it is guarded, too."""
        try:
            yield from items
        except (Cancelled, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - as for a hook
            self._explain(hook, error)

    def _redacted(self, words: str) -> str:
        return self._secrets.redact(words)


def _fits(value: object, kind: Any) -> bool:
    """Whether a hook's result is of the kind that its annotation says."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, parts[0]) and _fits(member, parts[1]) for key, member in value.items()
        )
    if origin is Sequence:
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(_fits(member, parts[0]) for member in value)
        )
    return isinstance(value, origin or kind)


def _kind_name(kind: Any) -> str:
    return "nothing" if kind is NoneType else str(getattr(kind, "__name__", kind))


class _PluginTask:
    """The task as a plugin gets it: secrets are masked in what it logs."""

    def __init__(self, task: "Task", secrets: masking.Secrets) -> None:
        self._task = task
        self._secrets = secrets

    def log(self, message: str) -> None:
        self._task.log(self._secrets.redact(message))

    def warn(self, message: str) -> None:
        self._task.warn(self._secrets.redact(message))

    def secret(self, value: str) -> None:
        self._secrets.add(value)

    def wait(self, seconds: float) -> None:
        self._task.wait(seconds)

    @property
    def cancelled(self) -> bool:
        return self._task.cancelled
