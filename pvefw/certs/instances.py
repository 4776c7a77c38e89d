"""Use cases around plugin instances: settings are checked against what the plugin declares."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pvefw.core import plugins, settings
from pvefw.core.errors import ConfigError, PluginError, StoreError, UsageError
from pvefw.core.hookspecs.challenge import CHALLENGE
from pvefw.core.model import SettingInfo, Task
from pvefw.dns import journal, providers
from pvefw.store import node_settings, plugin_config
from pvefw.store.paths import Paths
from pvefw.store.plugin_config import PluginInstance

_DELETABLE = {
    "data": {"data": {}},
    "nodes": {"nodes": ()},
    "disable": {"disable": False},
    "validation-delay": {"validation_delay": plugin_config.DEFAULT_DELAY},
}


def read_data(path: Path) -> dict[str, str]:
    """The settings in a file, a ``KEY=VALUE`` a line.

    :raises ConfigError: a line is not of this form.
    :raises StoreError: the file cannot be read.
    """
    try:
        return settings.parse(path.read_text(encoding="utf-8"))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint="One KEY=VALUE a line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: could not read the settings: {error}", hint="One KEY=VALUE a line, in UTF-8."
        ) from error


def declared(paths: Paths, instance: PluginInstance) -> Sequence[SettingInfo]:
    """The settings that an instance's plugin knows.

    :raises PluginError: it is missing or broken.
    """
    if instance.type == "dns":
        return providers.declared(paths, instance.api)
    return settings.declared(plugins.load(plugins.find(CHALLENGE, instance.api)))


def add(paths: Paths, instance: PluginInstance) -> None:
    """Add an instance.

    :raises ConfigError: its settings do not fit the plugin; all findings in one message.
    :raises PluginError: there is no such plugin, or it is broken.
    :raises UsageError: the id is taken.
    """
    _check(paths, instance)
    plugin_config.add(paths, instance)


def change(
    paths: Paths,
    id_: str,
    changed: Callable[[PluginInstance], PluginInstance],
    *,
    delete: Sequence[str] = (),
    expected_digest: str | None = None,
) -> None:
    """Change an instance.

    :param delete: properties to set back to their defaults.
    :raises UsageError: one that has no default.
    """
    for key in delete:
        if key not in _DELETABLE:
            raise UsageError(
                f"acme plugin set: {key} cannot be deleted", hint=f"Known: {', '.join(_DELETABLE)}."
            )

    def checked(instance: PluginInstance) -> PluginInstance:
        for key in delete:
            instance = replace(instance, **_DELETABLE[key])  # type: ignore[arg-type]  # from the table
        instance = changed(instance)
        _check(paths, instance)
        return instance

    plugin_config.change(paths, id_, checked, expected_digest=expected_digest)


def remove(paths: Paths, id_: str, *, expected_digest: str | None = None) -> None:
    """Remove an instance that no name uses.

    :raises UsageError: it is the one that always exists, a name of this node uses it, or records that it
        added are still in DNS.
    """
    if id_ == plugin_config.STANDALONE:
        raise UsageError(
            f"acme plugin remove: {id_} always exists",
            hint=f"Set it back to its defaults: pvefw acme plugin set {id_} --delete data",
        )
    users = [one.name for one in node_settings.certificate_names(paths) if one.plugin == id_]
    if users:
        raise UsageError(
            f"acme plugin remove: {id_} validates {', '.join(users)}",
            hint="Give these names another plugin first.",
        )
    left = journal.open_entries(paths, id_)
    if left:
        raise UsageError(
            f"acme plugin remove: {id_} may still have {left[0]} to remove",
            hint="Remove it: pvefw dns cleanup. If it was deleted by hand: "
            f"pvefw dns cleanup --forget {id_}",
        )
    plugin_config.remove(paths, id_, expected_digest=expected_digest)


def login(paths: Paths, id_: str, task: Task) -> None:
    """Let an instance's plugin get its credentials from a person, and store them.

    :raises UsageError: the plugin needs no login.
    :raises ProviderError: the person refused, or the provider failed.
    """
    instance = plugin_config.load(paths, id_)
    if instance.type != "dns":
        raise UsageError(
            f"acme plugin login: {id_} is a {instance.type} instance: it needs no login"
        )
    bound = providers.bind(paths, instance.api, instance.data, id_)
    found = bound.hooks.dns_login(task=task)
    if not found:
        raise UsageError(f"acme plugin login: {instance.api} needs no login")
    change(paths, id_, lambda one: replace(one, data={**one.data, **found}))
    task.log(f"Stored {', '.join(found)} in the instance {id_}")


def describe(paths: Paths, id_: str, *, show_secrets: bool) -> dict[str, object]:
    """An instance for people; secrets masked, and everything where the plugin cannot be asked."""
    instance = plugin_config.load(paths, id_)
    data = dict(instance.data)
    if not show_secrets:
        try:
            infos = declared(paths, instance)
        except PluginError:
            infos = []
        data = settings.mask(infos, data)
    found: dict[str, object] = {
        "api": instance.api,
        "data": data,
        "digest": plugin_config.digest(paths),
        "plugin": instance.id,
        "type": instance.type,
    }
    if instance.nodes:
        found["nodes"] = ",".join(instance.nodes)
    if instance.disable:
        found["disable"] = True
    if instance.validation_delay != plugin_config.DEFAULT_DELAY:
        found["validation-delay"] = instance.validation_delay
    return found


def _check(paths: Paths, instance: PluginInstance) -> None:
    who = f"plugin instance {instance.id}"
    if instance.type == "dns":
        providers.check(paths, instance.api, instance.data, who)
    else:
        plugins.check_values(plugins.find(CHALLENGE, instance.api), instance.data, who)
