"""Plugin instances in ``pvefw.cfg``: observers, guest backends.

That file can be read by Proxmox VE's web server, so a secret never stands in it: only where it is to be
had.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pvefw.core import plugins, settings
from pvefw.core.errors import ConfigError, NotFound, UsageError
from pvefw.core.hookspecs import Family
from pvefw.store import files, locks, plugin_config, pvefw_config
from pvefw.store.paths import Paths
from pvefw.store.pvefw_config import PvefwConfig
from pvefw.store.section_config import Section, check_id

_LOCK = "pvefw-cfg"


@dataclass(frozen=True)
class Instance:
    """A configured plugin of a family."""

    id: str
    api: str
    """The plugin's name; the id where the file says nothing."""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its settings as configured; references are not resolved."""
    disable: bool = False


def load_all(paths: Paths, family: Family) -> list[Instance]:
    """The instances of a family, disabled ones included.

    :raises ConfigError: the file is damaged.
    """
    return [_instance(one) for one in pvefw_config.sections(paths, family.name)]


def load(paths: Paths, family: Family, id_: str) -> Instance:
    """One instance.

    :raises NotFound: there is none of this id; the hint lists those that are there.
    """
    found = {one.id: one for one in load_all(paths, family)}
    if id_ not in found:
        known = f"There are: {', '.join(found)}." if found else "There is none yet."
        raise NotFound(
            f"there is no {family.name} {id_}",
            hint=f"{known} Add it: pvefw {family.name} add {id_} --api NAME",
        )
    return found[id_]


def add(paths: Paths, family: Family, instance: Instance) -> None:
    """Add an instance.

    :raises UsageError: the id is taken or not an id.
    :raises ConfigError: its settings do not fit the plugin, or a secret stands among them.
    :raises PluginError: there is no such plugin, or it is broken.
    """
    check_id(instance.id, "a plugin instance's id")
    _check(family, instance)
    with locks.cluster_lock(paths, _LOCK):
        if any(one.id == instance.id for one in load_all(paths, family)):
            raise UsageError(
                f"{family.name} add: the id {instance.id} is taken",
                hint=f"Change it with: pvefw {family.name} set {instance.id}",
            )
        _write(paths, family, instance)


def change(paths: Paths, family: Family, id_: str, changed: Callable[[Instance], Instance]) -> None:
    """Change an instance.

    :param changed: makes the new one of the old one.
    :raises NotFound: there is none of this id.
    """
    with locks.cluster_lock(paths, _LOCK):
        new = replace(changed(load(paths, family, id_)), id=id_)
        _check(family, new)
        _write(paths, family, new)


def remove(paths: Paths, family: Family, id_: str) -> None:
    """Remove an instance.

    :raises NotFound: there is none of this id.
    """
    with locks.cluster_lock(paths, _LOCK):
        load(paths, family, id_)
        for path in (paths.cluster_pvefw_cfg, paths.node_pvefw_cfg()):
            config, _ = pvefw_config.load(path)
            if config.sections.get(id_) is not None:
                left = PvefwConfig(config.properties, config.sections.without(id_))
                files.replace(path, left.render())


def describe(family: Family, instance: Instance) -> dict[str, object]:
    """An instance for people. Its secrets are references, which may be shown."""
    return {
        "id": instance.id,
        "type": family.name,
        "api": instance.api,
        "data": dict(instance.data),
        "disable": instance.disable,
    }


def _instance(section: Section) -> Instance:
    values = section.values
    return Instance(
        id=section.id,
        api=values.get("api", section.id),
        data=plugin_config.decode_data(values.get("data", ""), section.id),
        disable=values.get("disable", "0").lower() not in ("0", "no", "off", "false"),
    )


def _check(family: Family, instance: Instance) -> None:
    who = f"{family.name} {instance.id}"
    for info in plugins.check_values(plugins.find(family, instance.api), instance.data, who):
        value = instance.data.get(info.key)
        if info.secret and value and not settings.is_reference(value):
            raise ConfigError(
                f"{who}: {info.key} is a secret, and pvefw.cfg can be read by the web server",
                hint=f"Put it into a file that only root can read, and say {info.key}=file:PATH",
            )


def _write(paths: Paths, family: Family, instance: Instance) -> None:
    """Put an instance where it stands, else into the cluster's file."""
    own, _ = pvefw_config.load(paths.node_pvefw_cfg())
    there = own.sections.get(instance.id)
    path = paths.node_pvefw_cfg() if there else paths.cluster_pvefw_cfg
    config, _ = pvefw_config.load(path)
    section = config.sections.get(instance.id) or Section(family.name, instance.id)
    section = section.changed(
        {
            "api": instance.api,
            "data": plugin_config.encode_data(instance.data) or None,
            "disable": "1" if instance.disable else None,
        }
    )
    changed = PvefwConfig(config.properties, config.sections.with_section(section))
    files.replace(path, changed.render())
