"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pvefw import instances
from pvefw.core.errors import PvefwError
from pvefw.core.model import RenewalsEvent, Task, TaskEvent
from pvefw.instances import Instance
from pvefw.store.node import Node


@dataclass(frozen=True)
class Failure:
    """An observer that could not be told."""

    observer: str
    reason: str


def tell(node: Node, hook: str, event: object, task: Task) -> Sequence[Failure]:
    """Call one hook of every configured observer that has it.

    :param hook: ``on_certificate`` and so on.
    :returns: those that failed; each is a warning of the task already.
    """
    failures = []
    for failure in _tell(node, hook, event=event, task=task):
        task.warn(failure.reason)
        failures.append(failure)
    return failures


def tell_task_ended(node: Node, event: TaskEvent) -> Sequence[Failure]:
    """Call ``on_task`` of every configured observer that has it.

    :returns: those that failed.
    """
    return list(_tell(node, "on_task", event=event))


def tell_renewals(node: Node, event: RenewalsEvent) -> Sequence[Failure]:
    """Call ``on_renewals`` of every configured observer that has it.

    :returns: those that failed.
    """
    return list(_tell(node, "on_renewals", event=event))


def call(node: Node, observer: Instance, hook: str, **arguments: object) -> bool:
    """Call one hook of one observer.

    :returns: whether it has that hook.
    :raises PvefwError: it is missing or broken, or failed.
    """
    bound = instances.bind(node, observer)
    if hook not in bound.implemented:
        return False
    getattr(bound.hooks, hook)(**arguments)
    return True


def _tell(node: Node, hook: str, **arguments: object) -> Iterator[Failure]:
    """Call the hook everywhere; what failed is yielded as it fails."""
    try:
        observers = instances.load_used(node, "observer")
    except PvefwError as error:
        yield Failure("", f"could not notify the observers: {error.message}")
        return
    for one in observers:
        try:
            call(node, one, hook, **arguments)
        except PvefwError as error:
            yield Failure(one.id, error.message)
