"""Follows a task of Proxmox VE's to its end; its log becomes part of ours."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from pvefw.api import Cancelled, ProviderError, RateLimited, Task, Unavailable
from pvefw_guest_pve.answers import Unexpected, described, rows
from pvefw_guest_pve.connection import Connection

_FIRST_POLL, _SLOWEST_POLL, _GROWTH = 0.05, 1.0, 1.5
_LINES = 500
_PATIENCE = 120.0
"""Seconds for which nobody may be able to ask: pveproxy is restarted, say. The task goes on meanwhile."""


def follow(connection: Connection, node: str, upid: str, seconds: float | None, task: Task) -> None:
    """Return when a task has ended well.

    :param upid: what the API answered when it began.
    :param seconds: how long it may take; it is then stopped. ``None`` for as long as it likes.
    :raises Unavailable: it did not end in time.
    :raises ProviderError: it failed; its own last words.
    :raises Cancelled: ours was cancelled; theirs is stopped.
    """
    theirs = connection.api.nodes(node).tasks(upid)
    began = heard = time.monotonic()
    pause, shown = _FIRST_POLL, 0
    try:
        while True:
            status: Mapping[str, Any] = {}
            try:
                with connection.explained():
                    status = described(theirs.status.get())
                heard = time.monotonic()
                shown = _show(connection, theirs, shown, task)
            except (Unavailable, RateLimited, Unexpected) as error:
                if time.monotonic() - heard >= _PATIENCE:
                    raise Unavailable(f"{upid}: how it ends is not known: {error}") from error
            if status.get("status") == "stopped":
                break
            if seconds is not None and time.monotonic() - began >= seconds:
                _stop(theirs)
                raise Unavailable(f"it did not end within {round(seconds, 1):g} seconds")
            task.wait(pause)
            pause = min(pause * _GROWTH, _SLOWEST_POLL)
    except Cancelled:
        _stop(theirs)
        raise
    _judge(upid, str(status.get("exitstatus") or ""), task)


def _judge(upid: str, exit_status: str, task: Task) -> None:
    """Say how a task ended.

    :raises ProviderError: not well.
    """
    if exit_status.startswith("WARNINGS"):
        task.warn(f"{upid}: {exit_status}")
    elif exit_status in ("", "unknown", "unexpected status"):
        raise ProviderError(f"{upid}: the task has ended and left no result")
    elif exit_status != "OK":
        raise ProviderError(exit_status)


def _show(connection: Connection, theirs: Any, shown: int, task: Task) -> int:
    """Add the new lines of their log to ours, where it can be read; how many are shown now."""
    try:
        with connection.explained():
            lines = rows(theirs.log.get(start=shown, limit=_LINES))
    except ProviderError:
        return shown
    for line in lines:
        text, number = str(line.get("t", "")), line.get("n")
        if isinstance(number, int | str) and str(number).isdecimal() and int(number) > shown:
            shown = int(number)
            if text and text != "no content" and not text.startswith("TASK "):
                task.log(text)
    return shown


def _stop(theirs: Any) -> None:
    with contextlib.suppress(Exception):  # we are on our way out; it may have ended meanwhile
        theirs.delete()
