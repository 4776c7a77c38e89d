"""Tells observers what happened: each is bound and called alone, none can stop the work."""

from collections.abc import Sequence
from dataclasses import dataclass

from pvefw import plugins
from pvefw.errors import PvefwError
from pvefw.hookspecs.observer import OBSERVER
from pvefw.model import Task
from pvefw.store import plugin_config, pvefw_config
from pvefw.store.paths import Paths


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
    for section in pvefw_config.sections(paths, "observer"):
        if section.values.get("disable", "0") not in ("0", ""):
            continue
        try:
            values = plugin_config.decode_data(section.values.get("data", ""), section.id)
            api = section.values.get("api", section.id)
            observer = plugins.bind(OBSERVER, api, values, instance=section.id)
            if hook in observer.implemented:
                getattr(observer.hooks, hook)(event=event, task=task)
        except PvefwError as error:
            task.warn(f"{error.message}")
            failures.append(Failure(section.id, error.message))
    return failures
