"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from pvefw import instances
from pvefw.core import masking, notices, text
from pvefw.core.errors import PvefwError
from pvefw.core.model import RenewalsEvent, Task, TaskEvent
from pvefw.instances import Instance
from pvefw.store.node import Node

NOTICE = "on_notice"
"""The hook of those who tell people."""


@dataclass(frozen=True)
class Failure:
    """An observer that could not be told."""

    observer: str
    reason: str


def tell(node: Node, hook: str, event: object, task: Task) -> Sequence[Failure]:
    """Call one hook of every configured observer that has it, and tell people what there is to tell.

    :param hook: ``on_certificate`` and so on.
    :returns: those that failed; each is a warning of the task already.
    """
    calls = [(hook, event)]
    notice = notices.of(hook, event)
    if notice is not None:
        calls.append((NOTICE, notice))
    failures = []
    for kind, content in calls:
        for failure in _tell(node, kind, event=content, task=task):
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


def readable(event: Any) -> Any:
    """An event as it may appear in mails, logs and variables: each text of others on one line, bounded.

    An authority, a provider, an ESP or a guest has a hand in what an event says.
    """
    match event:
        case str() if type(event) is str:
            return text.one_line(masking.redact_known(event))
        case Mapping():
            return {readable(key): readable(value) for key, value in event.items()}
        case list() | tuple():
            return type(event)(readable(member) for member in event)
    if is_dataclass(event) and not isinstance(event, type):
        return replace(
            event,
            **{field_.name: readable(getattr(event, field_.name)) for field_ in fields(event)},
        )
    return event


def call(node: Node, observer: Instance, hook: str, **arguments: object) -> bool:
    """Call one hook of one observer.

    :returns: whether it has that hook.
    :raises PvefwError: it is missing or broken, or failed.
    """
    bound = instances.bind(node, observer)
    if hook not in bound.implemented:
        return False
    copies = {
        name: readable(argument) if name == "event" else argument
        for name, argument in arguments.items()
    }
    getattr(bound.hooks, hook)(**copies)
    return True


def _tell(node: Node, hook: str, **arguments: object) -> Iterator[Failure]:
    """Call the hook everywhere; what failed is yielded as it fails."""
    try:
        observers = instances.load_used(node, "observer")
    except PvefwError as error:
        yield Failure("", f"could not notify the observers: {error.message}")
        return
    for observer in observers:
        try:
            call(node, observer, hook, **arguments)
        except PvefwError as error:
            yield Failure(observer.id, error.message)
