"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pvefw.errors import PvefwError
from pvefw.hookspecs.observer import OBSERVER
from pvefw.model import Task, TaskEvent
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


def _tell(paths: Paths, hook: str, **arguments: object) -> Iterator[Failure]:
    """Call the hook everywhere; what failed is yielded as it fails."""
    try:
        sections = pvefw_config.sections(paths, "observer")
    except PvefwError as error:
        yield Failure("", f"the observers are not told: {error.message}")
        return
    for section in sections:
        if section.values.get("disable", "0").lower() not in ("0", "no", "off", "false"):
            continue
        try:
            _call(section, hook, arguments)
        except PvefwError as error:
            yield Failure(section.id, error.message)


def _call(section: Section, hook: str, arguments: dict[str, object]) -> None:
    from pvefw import plugins  # only where there is an observer: it takes longer than most tasks

    values = plugin_config.decode_data(section.values.get("data", ""), section.id)
    api = section.values.get("api", section.id)
    observer = plugins.bind(OBSERVER, api, values, instance=section.id)
    if hook in observer.implemented:
        getattr(observer.hooks, hook)(**arguments)
