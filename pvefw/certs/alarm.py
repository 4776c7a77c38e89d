"""Tries an observer out before it is needed."""

from datetime import timedelta

from pvefw.core.errors import UsageError
from pvefw.core.hookspecs.observer import OBSERVER
from pvefw.core.model import RenewalFailedEvent, Task
from pvefw.host.clock import SystemClock
from pvefw.store import instances
from pvefw.store.paths import Paths
from pvefw.tasks import events

_DAYS = 10.0


def test(paths: Paths, id_: str, task: Task) -> None:
    """Tell one observer of a failed renewal that never was.

    :raises NotFound: there is no such observer.
    :raises UsageError: it does not listen to failed renewals.
    :raises PvefwError: it could not be told.
    """
    instances.load(paths, OBSERVER, id_)
    event = RenewalFailedEvent(
        node=paths.node,
        names=["test.invalid"],
        certificate=paths.proxy_certificate,
        not_after=SystemClock().now() + timedelta(days=_DAYS),
        days_left=_DAYS,
        failures=1,
        reason="this is a test: pvefw observer test",
    )
    section = next(one for one in events.observers(paths, disabled=True) if one.id == id_)
    if not events.call(section, "on_renewal_failed", event=event, task=task):
        raise UsageError(
            f"observer test: {id_} is not told of failed renewals",
            hint="Its plugin has no hook on_renewal_failed.",
        )
    task.log(f"{id_} was told")
