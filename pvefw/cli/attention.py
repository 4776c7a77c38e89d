"""Tells people what ``pvefw status`` sees and no task has told them of: who runs by himself calls it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from pvefw.cli import status
from pvefw.cli.status_parts import FAILED, NO_TIMER, Part
from pvefw.core.errors import PvefwError
from pvefw.core.model import NoticeEvent

if TYPE_CHECKING:
    from pvefw.store.paths import Paths

_PARTS = ("certificates", "boot")


def tell(paths: "Paths", echo: Callable[[str], None]) -> None:
    """Tell the observers of a timer that is missing, certificates that could not be delivered, ESPs that
    are out of date, and another kernel that runs than the pinned one: each once a day at most, if
    anybody could be told, and nothing that was acknowledged.

    :param echo: gets the log of the task in which that is done; there is none without news. What goes
        wrong is a line: what the caller came for matters more.
    """
    from pvefw.host.clock import SystemClock

    try:
        _tell(paths, SystemClock().now(), echo)
    except PvefwError as error:
        echo(f"could not notify the observers: {error.message}")


def _tell(paths: "Paths", now: datetime, echo: Callable[[str], None]) -> None:
    from pvefw.store import attention
    from pvefw.store.node import Node
    from pvefw.tasks import events
    from pvefw.tasks.task import run_task

    parts = status.look(paths, now, _PARTS)
    seen = {f"{part}: {issue}" for part, outcome in parts.items() for issue in outcome.issues}
    sure = {name for name, outcome in parts.items() if outcome.state != FAILED}
    known = attention.load(paths)

    def lasts(issue: str) -> bool:
        return issue in seen or issue.partition(": ")[0] not in sure

    known = attention.Attention(
        frozenset(filter(lasts, known.acknowledged)),
        {key: when for key, when in known.told.items() if lasts(key)},
    )
    for issue, notice in [*_notices(paths.node, parts), *_late(paths, parts)]:
        if known.is_news(issue, now):
            with run_task(paths, "statuscheck", echo=echo) as task:
                task.warn(notice.subject)
                if events.is_told(events.tell(Node.open(paths), events.NOTICE, notice, task)):
                    known = replace(known, told={**known.told, issue: now})
    attention.save(paths, known)


def _late(paths: "Paths", parts: Mapping[str, Part]) -> Iterator[tuple[str, NoticeEvent]]:
    """Deliveries that failed: one that nobody has tried yet is the next renewal's."""
    from pvefw.certs import deploy
    from pvefw.core import notices
    from pvefw.store.node import Node

    if parts["certificates"].data.get("not-deployed"):
        for late, why in deploy.pending(Node.open(paths)).items():
            if why:
                issue = f"certificates: not deployed: {late}"
                yield issue, notices.not_delivered(paths.node, late, why)


def _notices(node: str, parts: Mapping[str, Part]) -> Iterator[tuple[str, NoticeEvent]]:
    """What there is to tell, each with the issue that it is about."""
    from pvefw.core import notices

    certificates, boot = parts["certificates"], parts["boot"]
    if NO_TIMER in certificates.issues:
        yield f"certificates: {NO_TIMER}", notices.timer_missing(node)
    unexpected = boot.data.get("unexpected")
    for issue in boot.issues:
        if unexpected and issue == unexpected["line"]:
            wanted, running = unexpected["wanted"], unexpected["running"]
            yield f"boot: {issue}", notices.boot_unexpected(node, wanted, running)
        else:
            yield f"boot: {issue}", notices.esps_out_of_step(node, [issue])
