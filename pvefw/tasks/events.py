"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pvefw.core.errors import PvefwError
from pvefw.core.hookspecs.observer import OBSERVER
from pvefw.core.model import Task, TaskEvent
from pvefw.store import plugin_config, pvefw_config
from pvefw.store.paths import Paths
from pvefw.store.section_config import Section


@dataclass(frozen=True)
class Failure:
    """An observer that could not be told."""

    observer: str
    reason: str


def tell(paths: Paths, hook: str, event: object, task: Task) -> Sequence[Failure]:
    """Call one hook of every configured observer that has it.

    :param hook: ``on_certificate`` and so on.
    :returns: those that failed; each is a warning of the task already.
    """
    failures = []
    for failure in _tell(paths, hook, event=event, task=task):
        task.warn(failure.reason)
        failures.append(failure)
    return failures


def tell_task_ended(paths: Paths, event: TaskEvent) -> Sequence[Failure]:
    """Call ``on_task`` of every configured observer that has it.

    :returns: those that failed.
    """
    return list(_tell(paths, "on_task", event=event))


def observers(paths: Paths, *, disabled: bool = False) -> list[Section]:
    """The configured observers.

    :param disabled: those that are disabled, too.
    :raises ConfigError: the configuration is damaged.
    """
    return [
        one
        for one in pvefw_config.sections(paths, "observer")
        if disabled or one.values.get("disable", "0").lower() in ("0", "no", "off", "false")
    ]


def call(section: Section, hook: str, **arguments: object) -> bool:
    """Call one hook of one observer.

    :returns: whether it has that hook.
    :raises PvefwError: it is missing or broken, or failed.
    """
    from pvefw.core import (
        plugins,  # only where there is an observer: it takes longer than most tasks
    )

    values = plugin_config.decode_data(section.values.get("data", ""), section.id)
    api = section.values.get("api", section.id)
    observer = plugins.bind(OBSERVER, api, values, instance=section.id)
    if hook not in observer.implemented:
        return False
    getattr(observer.hooks, hook)(**arguments)
    return True


def _tell(paths: Paths, hook: str, **arguments: object) -> Iterator[Failure]:
    """Call the hook everywhere; what failed is yielded as it fails."""
    try:
        configured = observers(paths)
    except PvefwError as error:
        yield Failure("", f"the observers are not told: {error.message}")
        return
    for section in configured:
        try:
            call(section, hook, **arguments)
        except PvefwError as error:
            yield Failure(section.id, error.message)
