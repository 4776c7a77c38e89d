"""Follows a task of Proxmox VE's to its end; its log becomes part of ours."""

import contextlib
import time
from typing import Any

from pvefw.api import Cancelled, ProviderError, Task, Unavailable
from pvefw_guest_pve.connection import Connection

_FIRST_POLL, _SLOWEST_POLL, _GROWTH = 0.05, 1.0, 1.5
_LINES = 500


def follow(connection: Connection, node: str, upid: str, seconds: float | None, task: Task) -> None:
    """Return when a task has ended well.

    :param upid: what the API answered when it began.
    :param seconds: how long it may take; it is then stopped. ``None`` for as long as it likes.
    :raises Unavailable: it did not end in time.
    :raises ProviderError: it failed; its own last words.
    :raises Cancelled: ours was cancelled; theirs is stopped.
    """
    theirs = connection.api.nodes(node).tasks(upid)
    began = time.monotonic()
    pause, shown = _FIRST_POLL, 0
    try:
        while True:
            with connection.explained():
                status = theirs.status.get()
                shown = _show(theirs, shown, task)
            if status["status"] == "stopped":
                break
            if seconds is not None and time.monotonic() - began >= seconds:
                _stop(theirs)
                raise Unavailable(f"it did not end within {round(seconds, 1):g} seconds")
            task.wait(pause)
            pause = min(pause * _GROWTH, _SLOWEST_POLL)
    except Cancelled:
        _stop(theirs)
        raise
    exit_status = str(status.get("exitstatus", "unknown"))
    if exit_status.startswith("WARNINGS"):
        task.warn(f"{upid}: {exit_status}")
    elif exit_status != "OK":
        raise ProviderError(exit_status)


def _show(theirs: Any, shown: int, task: Task) -> int:
    """Add the new lines of their log to ours; how many are shown now."""
    for line in theirs.log.get(start=shown, limit=_LINES):
        text = str(line.get("t", ""))
        if int(line["n"]) > shown:
            shown = int(line["n"])
            if text and text != "no content" and not text.startswith("TASK "):
                task.log(text)
    return shown


def _stop(theirs: Any) -> None:
    with contextlib.suppress(Exception):  # we are on our way out; it may have ended meanwhile
        theirs.delete()
