"""How long ended tasks are kept: for ever, unless properties of the node or cluster say otherwise.

What is to go is written down first; then the lines go, then the logs. Whatever interrupts that, the next
time finishes it. A task that runs is in no list of ended ones, and not touched.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pvefw.core.errors import Locked, PvefwError, UsageError
from pvefw.host import programs
from pvefw.host.clock import SystemClock
from pvefw.store import files
from pvefw.store.node import Node, judged
from pvefw.store.paths import Paths
from pvefw.tasks import registry
from pvefw.tasks.upid import Upid

COUNT, DAYS = "task-history-count", "task-history-days"
TYPE = "taskprune"
"""The type of the task that does it."""
_DAY = 86400.0
_DOUBTFUL = 30 * _DAY
"""Seconds."""


@dataclass(frozen=True)
class Rule:
    """What is kept; ``None`` for no limit."""

    count: int | None
    days: int | None

    @property
    def everything(self) -> bool:
        """Whether everything is kept."""
        return self.count is None and self.days is None


def rule(node: Node) -> Rule:
    """What the properties say. Where one is not in its format, which is reported, everything is kept.

    :raises StoreError: a file cannot be read.
    """
    properties = node.own_properties
    for config in (node.own.properties, node.cluster.properties):
        if any(why and key in (COUNT, DAYS) for key, _, why in judged(config, pve=False)):
            return Rule(None, None)
    count, days = (int(properties[key]) if key in properties else None for key in (COUNT, DAYS))
    return Rule(count, days)


def is_due(node: Node, now: datetime) -> bool:
    """Whether there is a rule that was not applied for a day.

    When it was not for a month, rather the clock has jumped: then it waits for another day.

    :raises StoreError: a file cannot be read, or the time of that cannot be noted.
    """
    if rule(node).everything:
        return False
    paths = node.paths
    try:
        last = float(files.read_if_exists(paths.task_retention) or b"")
    except ValueError:
        return True
    since = abs(now.timestamp() - last)
    if since >= _DOUBTFUL:
        _note(paths, now)
        return False
    return since >= _DAY


def _note(paths: Paths, now: datetime) -> None:
    """Note when it was done last: the file's own time may be that of a server with another clock.

    :raises StoreError: it cannot be noted.
    """
    files.replace(paths.task_retention, str(now.timestamp()).encode())


def start_if_due(node: Node, type_: str, say: Callable[[str], None]) -> None:
    """Start ``pvefw task prune`` in the background, once a day; what is wrong is said.

    :param type_: of the task that has ended: after its own, there is nothing to do.
    """
    try:
        if type_ != TYPE and is_due(node, SystemClock().now()):
            root, name = str(node.paths.root), node.name
            programs.start_pvefw("task", "prune", "--root", root, "--node", name)
    except PvefwError as error:
        say(f"WARN: retention of tasks: {error.message}")


def prune(paths: Paths, now: datetime, *, dry_run: bool = False) -> int:
    """Remove what the rule does not keep, and what was left over when that was interrupted.

    :param dry_run: only count.
    :returns: how many tasks that are.
    :raises StoreError: a file cannot be read, written or removed.
    """
    kept = rule(Node.open(paths))
    upids = set() if kept.everything else _to_go(paths, kept, now)
    if dry_run:
        return len(upids)
    _note(paths, now)
    with registry.locked(paths):
        _finish(paths)
        upids -= {str(entry.upid).encode() for entry in registry.active(paths) if entry.end is None}
        if upids:
            files.replace(paths.task_removals, b"\n".join(upids))
            _finish(paths)
    if upids and paths.task_index.exists():
        from pvefw.tasks import archive  # every task asks whether it is time; few prune

        with contextlib.suppress(Locked):  # another process is at it
            archive.bring_up_to_date(paths)
    return len(upids)


def _to_go(paths: Paths, kept: Rule, now: datetime) -> set[bytes]:
    """The UPIDs that the rule does not keep; of one that was entered twice, the last line counts."""
    before = 0 if kept.days is None else int((now - timedelta(days=kept.days)).timestamp())
    superfluous = 0
    if kept.count is not None:
        superfluous = sum(1 for _ in _ended(paths)) - kept.count
    expired: set[bytes] = set()
    for number, (upid, end) in enumerate(_ended(paths)):
        if number < superfluous or end < before:
            expired.add(upid)
        else:
            expired.discard(upid)
    return expired


def _ended(paths: Paths) -> Iterator[tuple[bytes, int]]:
    """Every ended task and its end, or its start where there is none; in the order of the files."""
    for path in reversed(registry.indexes(paths)):
        for line in registry.raw_lines(path):
            text = line.decode(errors="replace").rstrip("\n")
            if match := registry.INDEX_LINE.fullmatch(text):
                yield registry.first_word(line), int(match["end"] or match["start"], 16)


def _finish(paths: Paths) -> None:
    """Do what is written down; who calls holds the lock of the lists."""
    if not files.exists(paths.task_removals):
        return
    upids = {line.rstrip(b"\n") for line in registry.raw_lines(paths.task_removals)}
    registry.remove(paths, upids)
    files.remove_all(_logs(paths, upids))
    files.remove(paths.task_removals)


def _logs(paths: Paths, upids: set[bytes]) -> Iterator[Path]:
    for upid in upids:
        try:
            yield Upid.parse(upid.decode(errors="replace")).log_path(paths)
        except UsageError:
            continue  # somebody else has written there
