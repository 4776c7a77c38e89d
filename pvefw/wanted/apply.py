"""Makes a node what a document says: first as a rehearsal, then for good."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pvefw.core.errors import PvefwError
from pvefw.store import locks, rehearsal
from pvefw.store.paths import Paths
from pvefw.wanted.accounts import Accounts
from pvefw.wanted.kind import Change, Context

_PATIENCE = 120.0
"""Seconds. Another document may register accounts and refresh ESPs."""


@dataclass
class Outcome:
    """What was to be done, and how far that went."""

    changes: Sequence[Change]
    done: list[Change] = field(default_factory=list)

    def as_dict(self) -> list[dict[str, Any]]:
        """Every change, as ``pvefw apply`` prints it."""
        return [
            {
                "part": change.kind.key,
                "name": change.name,
                "action": change.action,
                "before": change.before,
                "after": change.after,
                "done": change in self.done,
            }
            for change in self.changes
        ]


def alone(paths: Paths) -> contextlib.AbstractContextManager[None]:
    """Let no other document be applied to a node on this host meanwhile.

    :raises Locked: one is.
    """
    return locks.local_lock(paths, f"apply-{paths.node}", timeout=_PATIENCE)


def rehearse(context: Context, changes: Sequence[Change]) -> None:
    """Try every change that is made of nothing but files, without writing any.

    :raises PvefwError: one cannot be made; file and line of the document are named.
    """
    registering = any(
        isinstance(change.kind, Accounts) and change.before is None for change in changes
    )
    trying = replace(context, rehearsing=True, registering=registering)
    with rehearsal.watching(dry=True):
        for change in changes:
            if change.kind.rehearsable:
                _attempt(change, trying)


def carry_out(context: Context, outcome: Outcome, listed: Iterable[str]) -> None:
    """Make the changes, one after the other.

    :param listed: the changes for people, to be logged before the first is made.
    :raises PvefwError: one failed; the hint says what is done and what is not.
    """
    for line in listed:
        context.task.log(line)
    for change in outcome.changes:
        context.task.log(f"{change.subject}: {change.action}")
        try:
            _attempt(change, context)
        except PvefwError as error:
            error.hint = " ".join(filter(None, [error.hint, _how_far(outcome)]))
            raise
        outcome.done.append(change)


def _attempt(change: Change, context: Context) -> None:
    try:
        change.apply(context)
    except PvefwError as error:
        error.message = f"{change.where}: {change.subject}: {error.message}"
        raise


def _how_far(outcome: Outcome) -> str:
    done = [f"{change.action} {change.subject}" for change in outcome.done]
    rest = [f"{change.action} {change.subject}" for change in outcome.changes[len(outcome.done) :]]
    return (
        f"Done: {', '.join(done) or 'nothing'}. Not done: {', '.join(rest)}. "
        "Apply it again to go on."
    )
