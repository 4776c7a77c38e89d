"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
class Outcome:
    """An observer that was told, or could not be."""

    observer: str
    reason: str = ""
    """Why not; empty where it was told."""


def tell(node: Node, hook: str, event: object, task: Task) -> Sequence[Outcome]:
    """Call one hook of every configured observer that has it, and tell people what there is to tell.

    :param hook: ``on_certificate`` and so on.
    :returns: how that ended for each; those that failed are warnings of the task already.
    """
    calls = [(hook, event)]
    notice = notices.of(hook, event)
    if notice is not None:
        calls.append((NOTICE, notice))
    outcomes = []
    for kind, content in calls:
        for outcome in _tell(node, kind, event=content, task=task):
            outcomes.append(outcome)
            if outcome.reason:
                task.warn(outcome.reason)
    return outcomes


def is_told(outcomes: Sequence[Outcome]) -> bool:
    """Whether somebody has heard of it, or there is nobody to tell."""
    return not outcomes or any(not outcome.reason for outcome in outcomes)


def _failures(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.reason]


def tell_task_ended(node: Node, event: TaskEvent) -> Sequence[Outcome]:
    """Call ``on_task`` of every configured observer that has it.

    :returns: those that failed.
    """
    return _failures(_tell(node, "on_task", event=event))


def tell_renewals(node: Node, event: RenewalsEvent) -> Sequence[Outcome]:
    """Call ``on_renewals`` of every configured observer that has it.

    :returns: those that failed.
    """
    return _failures(_tell(node, "on_renewals", event=event))


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


def _tell(node: Node, hook: str, **arguments: object) -> Iterator[Outcome]:
    """Call the hook of all who have it; how that ended is yielded as it ends."""
    try:
        observers = instances.load_used(node, "observer")
    except PvefwError as error:
        yield Outcome("", f"could not notify the observers: {error.message}")
        return
    for observer in observers:
        try:
            if call(node, observer, hook, **arguments):
                yield Outcome(observer.id)
        except PvefwError as error:
            yield Outcome(observer.id, error.message or type(error).__name__)
