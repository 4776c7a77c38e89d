"""Tries an instance out before it is needed, without changing anything."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from pvefw import instances
from pvefw.core import notices, text
from pvefw.core.binding import Bound
from pvefw.core.errors import ProviderError, UsageError
from pvefw.core.families import FAMILIES, OBSERVER
from pvefw.core.model import (
    NOTICES,
    BootSyncedEvent,
    CertificateEvent,
    NoticeEvent,
    RenewalFailedEvent,
    RenewalsEvent,
    ServedEvent,
    Task,
)
from pvefw.host import concurrency
from pvefw.host.clock import SystemClock
from pvefw.instances.codec import Instance
from pvefw.store.node import Node
from pvefw.store.plugin_sections import KINDS

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


def test(node: Node, family: str, id_: str, task: Task, *, event: str = "") -> None:
    """Bind an instance, disabled or not, and ask what changes nothing; an observer gets a notification.

    :param event: of what an observer hears: one of :data:`~pvefw.core.model.NOTICES`; empty for a
        failed renewal, or what else it listens to.

    :raises NotFound: there is no such instance.
    :raises UsageError: an observer that does not listen to it.
    :raises PvefwError: it cannot be used, or does not answer.
    """
    named = KINDS[family].named_like_plugin
    find = instances.of_plugin if named else instances.load
    instance = find(node, family, id_)
    bound = instances.bind(node, instance)
    if instance.family == OBSERVER.name:
        _notify(node, bound, event, task)
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
        task.log(f"The settings of {instance.id} are valid; its plugin has no further check")
    else:
        task.log(f"{instance.id} answers: {text.counted(len(answer), family.answers)}")


def _notify(node: Node, bound: Bound[Any], kind: str, task: Task) -> None:
    """Let an observer hear of an event that did not happen.

    :raises UsageError: it hears of no such event.
    """
    hook = next((name for name in _HOOKS.get(kind, ()) if name in bound.implemented), None)
    delivers = "on_certificate" in bound.implemented
    if kind == "certificate" and delivers:
        hook = None  # it would deliver a certificate that does not exist
    if kind and kind not in NOTICES:
        raise UsageError(
            f"observer test: there is no event {kind}", hint=f"Events: {', '.join(NOTICES)}."
        )
    if hook is None and not kind:
        hook = next((name for name in _HOOKS["renewal-failed"] if name in bound.implemented), None)
        hook = hook or ("on_renewals" if "on_renewals" in bound.implemented else None)
    if hook == "on_renewals":
        bound.hooks.on_renewals(event=RenewalsEvent(node.name, "started"))
        bound.hooks.on_renewals(event=RenewalsEvent(node.name, "ended", lines=[_TEST]))
    elif hook is not None:
        event = _event(node, kind or "renewal-failed")
        if hook == "on_notice":
            event = _notice(node, kind or "renewal-failed", event)
        getattr(bound.hooks, hook)(event=event, task=task)
    else:
        hint = f"Its plugin has none of the hooks {', '.join(_HOOKS[kind or 'renewal-failed'])}."
        if delivers:
            hint = f"It delivers certificates. Try that: pvefw cert deploy NAME --test {bound.name}"
        what = f"events {kind}" if kind else "notifications of failed renewals"
        raise UsageError(f"observer test: {bound.name} takes no {what}", hint=hint)
    task.log(f"Test notification delivered to {bound.name}")


_HOOKS = {
    **dict.fromkeys(NOTICES, ("on_notice",)),
    "renewal-failed": ("on_notice", "on_renewal_failed"),
    "renewal-overdue": ("on_notice", "on_renewal_failed"),
    "renewal-recovered": ("on_notice", "on_renewal_recovered"),
    "served": ("on_notice", "on_served"),
    "boot-synced": ("on_notice", "on_boot_synced"),
}
"""By what an event is called: the hooks that hear of it, the first one that a plugin has is called."""


def _event(node: Node, kind: str) -> Any:
    """An event of this kind, where there is a type for it; every text says that it is a test."""
    now, path = SystemClock().now(), node.paths.proxy_certificate
    end = now + timedelta(days=_DAYS)
    names = ["test.invalid"]
    match kind:
        case "renewal-failed" | "renewal-overdue":
            failures = 1 if kind == "renewal-failed" else 0
            return RenewalFailedEvent(node.name, names, path, end, _DAYS, failures, _TEST)
        case "renewal-recovered" | "certificate":
            return CertificateEvent(
                node.name, names, path, node.paths.proxy_key, now, end, "00:11", "test"
            )
        case "served":
            return ServedEvent(node.name, "test", "test.invalid:443", path, _TEST)
        case "boot-synced":
            return BootSyncedEvent(node.name, [], [], {"0000-0000": _TEST})
    return None


def _notice(node: Node, kind: str, event: Any) -> NoticeEvent:
    """The same in words."""
    hook = _HOOKS[kind][-1]
    notice = notices.installed(event) if kind == "certificate" else notices.of(hook, event)
    match kind:
        case "boot-unexpected":
            notice = notices.boot_unexpected(node.name, "0.0-test", "0.0-other")
        case "bulk-failed":
            notice = notices.bulk_failed(node.name, "startall", [f"0 failed: {_TEST}"])
        case "not-delivered":
            notice = notices.not_delivered(node.name, "test", _TEST)
        case "timer-missing":
            notice = notices.timer_missing(node.name)
    assert notice is not None  # noqa: S101 - each kind has words; a test goes through them
    return replace(notice, subject=f"TEST: {notice.subject}", lines=[_TEST, "", *notice.lines])
