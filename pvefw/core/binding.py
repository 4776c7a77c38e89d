"""Binds a plugin: loads it, makes it from its settings, checks it, and guards its hooks.

pluggy decides how it is called: the object is checked against the family's hook specification and
called by keyword. Every call is guarded: it has a time limit, and whatever it raises becomes an error
that names the plugin, without its secrets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from pvefw import PROJECT
from pvefw.core import finding, loading, masking, references, settings, text
from pvefw.core.errors import Cancelled, ConfigError, PluginBroken, PluginError
from pvefw.core.families import Family
from pvefw.core.finding import PluginInfo
from pvefw.core.guard import Guard, in_words, time_limit
from pvefw.core.model import SettingInfo
from pvefw.host import concurrency

_Spec = TypeVar("_Spec")


def load(info: PluginInfo) -> type:
    """Import a plugin's class.

    :raises PluginBroken: the import fails in whatever way, or does not give a class.
    """
    loaded = loading.load(info.entry_point, info.who)
    if not isinstance(loaded, type):
        raise _broken(info, f"{info.entry_point.value} is not a class")
    return loaded


def _broken(info: PluginInfo, why: str, hint: str = "") -> PluginBroken:
    return loading.broken(info.entry_point, info.who, why, hint)


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

    def takes(self, hook: str, argument: str) -> bool:
        """Whether the plugin's hook declares an argument, and so is given it."""
        return bool(cast(Any, self.hooks).takes(hook, argument))

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
    return bind_found(finding.find(family, name), values, instance=instance)


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
        if not any(references.is_reference(value) for value in values.values()):
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
        return concurrency.call_within(make, time_limit(loading.IMPORT_SECONDS), info.who)
    except (PluginError, Cancelled, KeyboardInterrupt):
        raise
    except ValueError as error:  # how a plugin says that its settings do not fit each other
        raise ConfigError(
            f"{who}: {masking.redact(text.of(error), secrets)}",
            hint=f"What it needs: pvefw plugin show {info.family.name} {info.name}",
        ) from None
    except BaseException as error:  # noqa: BLE001 - whatever foreign code raises
        why = masking.redact(f"it cannot be made: {in_words(error)}", secrets)
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
        unmarked = [hook for hook in missing if callable(getattr(plugin, hook, None))]
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
            parameter.name
            for parameter in list(inspect.signature(method).parameters.values())[1:]  # type: ignore[arg-type]  # it is marked
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        for wrong in (argument for argument in needed if argument not in known):
            close = get_close_matches(wrong, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            raise PluginBroken(
                f"{name}: {hook} asks for {wrong}, which core does not have{meant}",
                hint=f"{hook} may declare {', '.join(known) or 'no arguments'}.",
            )


def _check_names(family: Family, callers: Sequence[Any], name: str) -> None:
    """Refuse hooks that the family does not have: they would never be called."""
    from difflib import get_close_matches

    for hook in (caller.name for caller in callers if caller.name not in family.hooks):
        close = get_close_matches(hook, family.hooks, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise PluginBroken(
            f"{name}: it has a hook {hook} that the {family.name} family does not know{meant}"
        )
