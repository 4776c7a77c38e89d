"""Tries an instance out before it is needed, without changing anything."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from pvefw import instances
from pvefw.core.binding import Bound
from pvefw.core.errors import ProviderError, UsageError
from pvefw.core.families import FAMILIES, OBSERVER
from pvefw.core.model import RenewalFailedEvent, RenewalsEvent, Task
from pvefw.host import concurrency
from pvefw.host.clock import SystemClock
from pvefw.instances.codec import Instance
from pvefw.store.kinds import KINDS
from pvefw.store.node import Node

QUERY_SECONDS = 60.0
"""How long a plugin may take to answer a question."""
_DAYS = 10.0
_TEST = "this is a test: pvefw observer test"
_Answer = TypeVar("_Answer")


def ask(question: Callable[[], _Answer], who: str) -> _Answer:
    """Ask a plugin something that it has to answer soon.

    :raises ProviderError: it does not.
    """
    try:
        return concurrency.call_within(question, QUERY_SECONDS, f"{who} query")
    except concurrency.DidNotReturn as error:
        raise ProviderError(
            f"{who}: it does not answer within {QUERY_SECONDS:g} seconds",
            hint="Check whether the service behind it hangs.",
        ) from error


def test(node: Node, family: str, id_: str, task: Task) -> None:
    """Bind an instance, disabled or not, and ask what changes nothing; an observer gets a notification.

    :raises NotFound: there is no such instance.
    :raises UsageError: an observer that does not listen to failed renewals.
    :raises PvefwError: it cannot be used, or does not answer.
    """
    named = KINDS[family].named_like_plugin
    find = instances.of_plugin if named else instances.load
    instance = find(node, family, id_)
    bound = instances.bind(node, instance)
    if instance.family == OBSERVER.name:
        _notify(node, bound, task)
    else:
        _question(node, instance, bound, task)


def _question(node: Node, instance: Instance, bound: Bound[Any], task: Task) -> None:
    family = FAMILIES[instance.family]
    hook, answer = family.question, None
    if hook in bound.implemented:
        wanted = inspect.signature(getattr(family.spec, hook)).parameters
        known = {"root": node.paths.root, "task": task}
        given = {name: value for name, value in known.items() if name in wanted}
        answer = ask(partial(getattr(bound.hooks, hook), **given), bound.name)
    if answer is None:
        task.log(f"The settings of {instance.id} fit its plugin, which cannot say more by itself")
    else:
        task.log(f"{instance.id} answers {hook}: {len(answer)} entries")


def _notify(node: Node, bound: Bound[Any], task: Task) -> None:
    if "on_renewal_failed" not in bound.implemented:
        _notify_otherwise(node, bound, task)
        return
    event = RenewalFailedEvent(
        node=node.name,
        names=["test.invalid"],
        certificate=node.paths.proxy_certificate,
        not_after=SystemClock().now() + timedelta(days=_DAYS),
        days_left=_DAYS,
        failures=1,
        reason=_TEST,
    )
    bound.hooks.on_renewal_failed(event=event, task=task)
    task.log(f"Test notification delivered to {bound.name}")


def _notify_otherwise(node: Node, bound: Bound[Any], task: Task) -> None:
    """Let an observer that is not told of failures hear of a run of ``pvefw renew`` that went well.

    :raises UsageError: it is not told of these, either.
    """
    if "on_renewals" in bound.implemented:
        bound.hooks.on_renewals(event=RenewalsEvent(node.name, "started"))
        bound.hooks.on_renewals(event=RenewalsEvent(node.name, "ended", lines=[_TEST]))
        task.log(f"Test notification delivered to {bound.name}")
        return
    hint = "Its plugin has no hook on_renewal_failed."
    if "certificate_plan" in bound.implemented:
        hint = f"It delivers certificates. Try that: pvefw cert deploy NAME --test {bound.name}"
    raise UsageError(
        f"observer test: {bound.name} takes no notifications of failed renewals", hint=hint
    )
