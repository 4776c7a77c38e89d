"""Plugins: find them, load the one that is named, check it, bind its hooks.

stevedore decides which code runs: one entry point is imported, the one that somebody asked for.
pluggy decides how it is called: the object is checked against the family's hook specification and
called by keyword. Every call is guarded: it has a time limit, and whatever it raises becomes an error
that names the plugin, without its secrets.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import metadata
from typing import Any, Generic, NoReturn, TypeVar, cast

from pvefw import __version__
from pvefw.core import settings
from pvefw.core.errors import (
    Cancelled,
    ConfigError,
    PluginBroken,
    PluginError,
    PluginMissing,
)
from pvefw.core.guard import Guard, said, time_limit
from pvefw.core.hookspecs import PLUGIN_API, PROJECT, Family
from pvefw.core.hookspecs.boot import BOOTLOADER
from pvefw.core.hookspecs.challenge import CHALLENGE
from pvefw.core.hookspecs.dns import DNS, DNS_CATALOG
from pvefw.core.hookspecs.guest import GUEST
from pvefw.core.hookspecs.observer import OBSERVER
from pvefw.core.model import SettingInfo
from pvefw.host import concurrency

FAMILIES = {one.name: one for one in (CHALLENGE, DNS, DNS_CATALOG, BOOTLOADER, GUEST, OBSERVER)}

_Spec = TypeVar("_Spec")

_THIS_API, _NEXT_API = f">={PLUGIN_API}", f"<{PLUGIN_API + 1}"
_USUAL = {f"{PROJECT}{_THIS_API},{_NEXT_API}", f"{PROJECT}{_NEXT_API},{_THIS_API}"}
"""What plugins require as a rule, as build tools write it: it is met. Everything else is read with
``packaging``, whose import takes a fifth of what a user waits before a command begins.
"""

# --- find: metadata only, nothing is imported ---------------------------------------------------


@dataclass(frozen=True)
class PluginInfo:
    """An installed plugin, as its distribution's metadata describes it."""

    family: Family
    entry_point: metadata.EntryPoint

    @property
    def name(self) -> str:
        return self.entry_point.name

    @property
    def who(self) -> str:
        """For messages: ``dns/ovh (pvefw-acme-dns-ovh 1.0.0)``."""
        return f"{self.family.name}/{self.name} ({self.distribution} {self.version})"

    @cached_property
    def distribution(self) -> str:
        dist = self.entry_point.dist
        return dist.name if dist else "unknown distribution"

    @cached_property
    def version(self) -> str:
        dist = self.entry_point.dist
        return dist.version if dist else ""

    @cached_property
    def _requirement(self) -> Any:
        """What the distribution requires of pvefw: a ``packaging`` specifier set, or ``None``."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.specifiers import SpecifierSet

        dist = self.entry_point.dist
        if dist is not None and dist.name == PROJECT:
            return SpecifierSet(f"=={__version__}")
        for line in (dist.requires if dist else None) or []:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.name == PROJECT:
                return requirement.specifier
        return None

    @cached_property
    def api(self) -> int | None:
        """The plugin API number: the lowest major version of pvefw that it requires."""
        from packaging.version import Version

        if self._requirement is None:
            return None
        bounds = [
            Version(one.version.removesuffix(".*"))
            for one in self._requirement
            if one.operator in (">=", ">", "==", "~=")
        ]
        return max(bounds).major if bounds else None

    @cached_property
    def problem(self) -> str:
        """Why it must not be loaded, from metadata alone; empty where it may."""
        dist = self.entry_point.dist
        if dist is not None and not _USUAL.isdisjoint(dist.requires or ()):
            return ""
        if self._requirement is not None and not self._requirement.contains(
            __version__, prereleases=True
        ):
            return (
                f"it requires pvefw{self._requirement}, this is pvefw {__version__} "
                f"(plugin API {PLUGIN_API})"
            )
        return ""


def installed(family: Family) -> list[PluginInfo]:
    """Every plugin of a family, by name. A name stands twice where two distributions offer it."""
    found = [PluginInfo(family, one) for one in _entry_points(family.group)]
    return sorted(found, key=lambda info: (info.name, info.distribution))


def _entry_points(group: str) -> list[metadata.EntryPoint]:
    try:
        return list(metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001 - one distribution's broken metadata must not hide the others
        found = []
        for dist in metadata.distributions():
            try:
                found += list(dist.entry_points.select(group=group))
            except Exception:  # noqa: BLE001, S112 - doctor reports it
                continue
        return found


def find(family: Family, name: str) -> PluginInfo:
    """The one installed plugin of this name.

    :raises PluginMissing: there is none; the hint lists those that are there.
    :raises PluginBroken: two distributions offer the name, or it is made for another plugin API.
    """
    everything = installed(family)
    matches = [info for info in everything if info.name == name]
    if not matches:
        names = ", ".join(sorted({info.name for info in everything})) or "none"
        raise PluginMissing(
            f"there is no {family.name} plugin named {name}",
            plugin=f"{family.name}/{name}",
            hint=f"Installed: {names}.",
        )
    if len(matches) > 1:
        owners = " and ".join(f"{info.distribution} {info.version}" for info in matches)
        raise PluginBroken(
            f"{family.name}/{name} is offered by {owners}",
            plugin=f"{family.name}/{name}",
            hint="Uninstall one of the two.",
        )
    if matches[0].problem:
        raise PluginBroken(
            f"{matches[0].who}: {matches[0].problem}",
            plugin=f"{family.name}/{name}",
            hint=f"Install a release of {matches[0].distribution} for this pvefw, or upgrade pvefw.",
        )
    return matches[0]


# --- load: import one ---------------------------------------------------------------------------

IMPORT_SECONDS = 20.0


def load(info: PluginInfo) -> type:
    """Import a plugin's class.

    :raises PluginBroken: the import fails in whatever way, or does not give a class.
    """
    try:
        loaded = concurrency.call_within(
            partial(_import, info), time_limit(IMPORT_SECONDS), info.who
        )
    except (Cancelled, KeyboardInterrupt):
        raise
    except concurrency.DidNotReturn as error:
        raise _broken(info, "its import does not end") from error
    except BaseException as error:
        raise _broken(info, f"its import fails: {said(error)}") from error
    if not isinstance(loaded, type):
        raise _broken(info, f"{info.entry_point.value} is not a class")
    return loaded


@contextlib.contextmanager
def _stays_alive() -> Iterator[None]:
    """Let this thread's ``os._exit`` raise.

    A plugin that ends the process at its import would end every command that looks at all plugins of a
    family, without a word about who it was.
    """
    end, process, thread = os._exit, os.getpid(), threading.get_ident()

    def refuse(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != (process, thread):
            end(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end


def _import(info: PluginInfo) -> object:
    from stevedore import DriverManager

    # Its cache on disk rounds time stamps to 128 s and would miss a plugin that was just replaced;
    # we have just read the metadata anyway.
    DriverManager.ENTRY_POINT_CACHE[info.family.group] = [info.entry_point]
    with _stays_alive():
        manager: Any = DriverManager(info.family.group, info.name)
    return manager.driver


def _broken(info: PluginInfo, why: str, hint: str = "") -> PluginBroken:
    advice = f"Mend or upgrade {info.distribution}; `pvefw plugin doctor` says more."
    return PluginBroken(
        f"{info.who}: {why}",
        plugin=f"{info.family.name}/{info.name}",
        hint=f"{hint} {advice}" if hint else advice,
    )


# --- bind: check, and call ------------------------------------------------------------------------


@dataclass(frozen=True)
class Bound(Generic[_Spec]):
    """A plugin that is ready to be called."""

    name: str
    """The instance's name, for messages: ``example_plugin``, or the plugin's own."""
    hooks: _Spec
    """Its hooks, typed as the specification; call them by keyword."""
    implemented: frozenset[str]
    """The hooks that it has."""
    secrets: Sequence[str] = ()
    """What must never be shown."""

    def masking(self, secrets: Sequence[str]) -> "Bound[_Spec]":
        """The same, masking these values, too: a catalogue gets the secrets of its providers."""
        guard = cast(Any, self.hooks).masking(secrets)
        return Bound(self.name, guard, self.implemented, (*self.secrets, *secrets))

    def __repr__(self) -> str:
        return f"Bound({self.name!r})"


def bind(family: Family, name: str, values: Mapping[str, str], *, instance: str = "") -> Bound[Any]:
    """Load a plugin, make it from configured values, and bind its hooks.

    :param name: the entry point's name.
    :param values: settings as configured; references are resolved here.
    :param instance: what the configuration calls it, for messages.
    :raises PluginError: it is missing or broken.
    :raises ConfigError: the values do not fit its settings.
    """
    return bind_found(find(family, name), values, instance=instance)


def bind_found(info: PluginInfo, values: Mapping[str, str], *, instance: str = "") -> Bound[Any]:
    """As :func:`bind`, for a plugin that was found already."""
    plugin = load(info)
    who = instance or info.name
    try:
        infos = settings.declared(plugin)
        resolved = settings.resolve_all(infos, values, who)
        secrets = settings.secret_values(infos, resolved)
        made = _make(info, plugin, resolved, secrets, who)
        return bind_object(info.family, made, who, secrets=secrets)
    except PluginError as error:
        raise _broken(info, error.message, error.hint) from error


def check_values(info: PluginInfo, values: Mapping[str, str], who: str) -> Sequence[SettingInfo]:
    """Hold configured values against what a plugin declares, and what only itself can know.

    References are not resolved; where there is one, the plugin is not asked.

    :param who: what the configuration calls the instance, for messages.
    :returns: what it declares.
    :raises PluginError: it is broken.
    :raises ConfigError: the values do not fit its settings, or each other.
    """
    plugin = load(info)
    try:
        infos = settings.declared(plugin)
        settings.check(infos, values, who)
        if not any(settings.is_reference(one) for one in values.values()):
            resolved = settings.resolve_all(infos, values, who)
            _make(info, plugin, resolved, settings.secret_values(infos, resolved), who)
        return infos
    except PluginError as error:
        raise _broken(info, error.message, error.hint) from error


def _make(
    info: PluginInfo, plugin: type, resolved: Mapping[str, str], secrets: Sequence[str], who: str
) -> object:
    try:
        make = partial(settings.make, plugin, resolved)
        return concurrency.call_within(make, time_limit(IMPORT_SECONDS), info.who)
    except (PluginError, Cancelled, KeyboardInterrupt):
        raise
    except ValueError as error:  # how a plugin says that its settings do not fit each other
        raise ConfigError(
            f"{who}: {settings.redact(' '.join(str(error).split()), secrets)}",
            hint=f"What it needs: pvefw plugin show {info.family.name} {info.name}",
        ) from None
    except BaseException as error:  # noqa: BLE001 - whatever foreign code raises
        why = settings.redact(f"it cannot be made: {said(error)}", secrets)
        raise PluginBroken(why) from None


def bind_object(
    family: Family, plugin: object, name: str, *, secrets: Sequence[str] = ()
) -> Bound[Any]:
    """Bind the hooks of a plugin object that is already made.

    :param name: for messages.
    :param secrets: values that are masked in its messages and errors.
    :raises PluginBroken: a required hook is missing, a hook is misspelt or has wrong arguments.
    """
    import pluggy

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(family.spec)
    _check_arguments(family, plugin, name)
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        raise PluginBroken(f"{name}: {' '.join(str(error).split())}") from error
    _check_names(family, manager.get_hookcallers(plugin) or [], name)
    implemented = frozenset(
        hook for hook in family.hooks if getattr(manager.hook, hook).get_hookimpls()
    )
    missing = [hook for hook, needed in family.hooks.items() if needed and hook not in implemented]
    if missing:
        unmarked = [one for one in missing if callable(getattr(plugin, one, None))]
        hint = f"Put @hookimpl above {', '.join(unmarked)}." if unmarked else ""
        raise PluginBroken(f"{name}: it lacks the hook {', '.join(missing)}", hint=hint)
    if not implemented:
        raise PluginBroken(f"{name}: it has none of the hooks {', '.join(family.hooks)}")
    guard = Guard(manager, family, name, tuple(secrets))
    return Bound(name, cast(Any, guard), implemented, tuple(secrets))


def _check_arguments(family: Family, plugin: object, name: str) -> None:
    """Refuse arguments that a hook does not have, in better words than pluggy has for it."""
    import inspect
    from difflib import get_close_matches

    for hook in family.hooks:
        method = getattr(type(plugin), hook, None)
        if not hasattr(method, f"{PROJECT}_impl"):
            continue
        known = list(inspect.signature(getattr(family.spec, hook)).parameters)[1:]
        needed = [
            one.name
            for one in list(inspect.signature(method).parameters.values())[1:]  # type: ignore[arg-type]  # it is marked
            if one.default is one.empty
            and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        ]
        for wrong in (one for one in needed if one not in known):
            close = get_close_matches(wrong, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise PluginBroken(
                f"{name}: {hook} asks for {wrong}, which core does not have{meant}",
                hint=f"{hook} may declare {', '.join(known) or 'no arguments'}.",
            )


def _check_names(family: Family, callers: Sequence[Any], name: str) -> None:
    """Refuse hooks that the family does not have: they would never be called."""
    from difflib import get_close_matches

    for hook in (one.name for one in callers if one.name not in family.hooks):
        close = get_close_matches(hook, family.hooks, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise PluginBroken(
            f"{name}: it has a hook {hook} that the {family.name} family does not know{meant}"
        )
