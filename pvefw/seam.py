"""The one way from :mod:`pvefw.testing` into core: what a kit needs beside :mod:`pvefw.api`.

Private to the kits. Kits of earlier releases run on this core (docs/adr/0012), so names and meaning
here are kept like those of the API; everything behind it may be rebuilt. Add, never change
(docs/adr/0017).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pvefw.acme import persist
from pvefw.core import binding, families, masking, settings
from pvefw.core.binding import Bound
from pvefw.core.errors import ConfigError, PluginBroken, PvefwError
from pvefw.core.hookspecs.boot import BootloaderSpec
from pvefw.core.hookspecs.challenge import ChallengeSpec
from pvefw.core.hookspecs.dns import DnsCatalogSpec, DnsSpec
from pvefw.core.hookspecs.guest import GuestSpec
from pvefw.core.hookspecs.observer import ObserverSpec
from pvefw.core.model import BootPlan, BootTree, SettingInfo, Task, TxtRecord
from pvefw.host.clock import SystemClock
from pvefw.host.programs import Completed

__all__ = [
    "BootloaderSpec",
    "Bound",
    "ChallengeSpec",
    "Completed",
    "ConfigError",
    "DnsCatalogSpec",
    "DnsSpec",
    "GuestSpec",
    "ObserverSpec",
    "PluginBroken",
    "PvefwError",
    "bind",
    "check_values",
    "declared_settings",
    "hook_names",
    "monotonic",
    "now",
    "persist",
    "redact",
    "repeat",
    "repeat_by_parts",
    "secret_values",
    "sleep",
    "sync_esp",
]

_Result = TypeVar("_Result")


# --- plugins ---------------------------------------------------------------------------------------


def bind(family: str, plugin: object, name: str = "", *, secrets: Sequence[str] = ()) -> Bound[Any]:
    """Bind the hooks of a plugin object, guarded as in core.

    :param family: ``challenge``, ``dns``, ``dns_catalog``, ``bootloader``, ``guest`` or ``observer``.
    :param name: for messages; the class's own without it.
    :param secrets: values that are masked in its messages and errors.
    :raises PluginBroken: a required hook is missing, a hook is misspelt or has wrong arguments.
    """
    return binding.bind_object(
        families.FAMILIES[family], plugin, name or type(plugin).__name__, secrets=secrets
    )


def hook_names(family: str) -> Sequence[str]:
    """The hooks of a family, sorted."""
    return sorted(families.FAMILIES[family].hooks)


def declared_settings(plugin: type) -> Sequence[SettingInfo]:
    """The settings that a plugin's class declares, in the order of its fields.

    :raises PvefwError: the declaration is wrong.
    """
    return settings.declared(plugin)


def check_values(infos: Sequence[SettingInfo], values: Mapping[str, str], who: str) -> None:
    """Hold configured values against declared settings.

    :param who: for messages.
    :raises ConfigError: the values do not fit.
    """
    settings.check(infos, values, who)


def secret_values(infos: Sequence[SettingInfo], values: Mapping[str, str]) -> Sequence[str]:
    """Which of these values must never be shown."""
    return settings.secret_values(infos, values)


def redact(text: str, secrets: Sequence[str]) -> str:
    """The text with these values masked, in each form that they take on their way."""
    return masking.redact(text, secrets)


# --- time ------------------------------------------------------------------------------------------


def now() -> datetime:
    """The time of day, aware, in UTC."""
    return SystemClock().now()


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return SystemClock().monotonic()


def sleep(seconds: float) -> None:
    """Let some time pass."""
    SystemClock().wait(threading.Event(), seconds)


# --- what core does around a hook ------------------------------------------------------------------


def repeat(call: Callable[[], _Result], seconds: float, task: Task) -> _Result:
    """Call a DNS hook as core does: again while the provider is busy or out of order.

    :param seconds: after which no new attempt begins.
    :raises ProviderError: the last one, in the plugin's words.
    """
    from pvefw.dns import retry

    return retry.persistently(call, seconds, task, SystemClock())


def repeat_by_parts(
    call: Callable[[Sequence[TxtRecord]], None],
    records: Sequence[TxtRecord],
    seconds: float,
    task: Task,
) -> None:
    """Call ``dns_add`` or ``dns_remove`` as core does: with fewer records where there is a limit.

    :param seconds: without any progress, after which no new attempt begins.
    :raises ProviderError: the last one, in the plugin's words.
    """
    from pvefw.dns import retry

    retry.by_parts(call, records, seconds, task, SystemClock())


def sync_esp(
    plan: BootPlan,  # noqa: ARG001 - the tests that are published with 1.0 give it
    tree: BootTree,
    mountpoint: Path,
    task: Task,
) -> list[str]:
    """Bring a directory that stands for an ESP to a tree, with core's own engine.

    Every file in it counts as written by pvefw: nobody else has been here.

    :returns: what was changed, one line each.
    :raises ProviderError: the tree cannot be brought there.
    """
    from pvefw.boot.difference import compare
    from pvefw.boot.esp_files import EspFiles
    from pvefw.boot.manifest import keys
    from pvefw.boot.records import EspRecord
    from pvefw.boot.sync import Change

    files = EspFiles(mountpoint)
    listing = files.listing()
    ours = EspRecord(manifest=sorted(keys(listing.files)))
    change = compare(files, listing, tree, ours, {})
    Change(files, "ESP", task).apply(change, listing)
    return change.lines()
