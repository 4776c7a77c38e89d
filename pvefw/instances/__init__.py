"""Configured plugins: an instance is a plugin with settings and a name.

All families have them, in one dialect (:mod:`~pvefw.instances.codec`) and in two places
(:mod:`~pvefw.instances.files`); they are listed, added, changed, described, removed and bound by the
functions here, and tested by :func:`pvefw.instances.trial.test`. Plugins are imported only by those that
need them: a list of instances, the Tab key and a task without observers do not.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pvefw.core.errors import UsageError
from pvefw.instances import files
from pvefw.instances.codec import DEFAULT_DELAY, Instance, family_of
from pvefw.instances.listing import (
    check_used,
    digest,
    load,
    load_all,
    load_used,
    of_plugin,
    set_command,
)
from pvefw.store import files as store_files
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import KINDS, STANDALONE
from pvefw.store.section_config import check_id

if TYPE_CHECKING:
    from pvefw.core.binding import Bound

__all__ = [
    "DEFAULT_DELAY",
    "STANDALONE",
    "Instance",
    "add",
    "bind",
    "change",
    "check_used",
    "describe",
    "digest",
    "family_of",
    "load",
    "load_all",
    "load_used",
    "of_plugin",
    "remove",
    "set_command",
    "unmasked",
]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "data": {"settings": {}},
    "nodes": {"nodes": ()},
    "disable": {"disabled": False},
    "validation-delay": {"validation_delay": DEFAULT_DELAY},
}
"""What ``--delete`` sets back."""


# --- changes --------------------------------------------------------------------------------------


def add(paths: Paths, instance: Instance) -> list[str]:
    """Add an instance.

    :returns: what looks wrong in its settings where its plugin takes any, a sentence for each.
    :raises UsageError: the id is taken or not an id.
    :raises ConfigError: its settings do not fit the plugin (all findings in one message), or a secret is
        plain text where others can read it.
    :raises PluginError: its plugin is missing or broken.
    """
    check_id(instance.id, f"the id of a {instance.kind.noun}")
    with files.changing(paths, instance.family) as place:
        _check_free(place, instance, "add")
        doubts = _check(place.node, instance)
        place.put(_resolved(place.node, instance))
    return doubts


def change(
    paths: Paths,
    family: str,
    id_: str,
    changed: Callable[[Instance], Instance],
    *,
    delete: Sequence[str] = (),
    expected_digest: str | None = None,
) -> list[str]:
    """Change an instance; properties that pvefw does not know survive.

    New settings are checked, and so are those for a new plugin. All else can be changed whatever the
    plugin says, and where it is missing. An instance that is named like its plugin is added if it does
    not exist.

    :param changed: makes the new one of the old one. The lock is held meanwhile; what it raises passes.
    :param delete: properties to set back to their defaults before.
    :returns: as :func:`add`.
    :raises NotFound: there is none of this id.
    :raises UsageError: a property that has no default.
    :raises ConfigError, PluginError: as for :func:`add`.
    :raises DigestMismatch: somebody else changed the file.
    """
    _check_deletable(family, delete)
    with files.changing(paths, family) as place:
        store_files.check_digest(place.files[0], place.data(), expected_digest)
        old, is_new = _old(place, family, id_)
        new = old
        for key in delete:
            new = replace(new, **_DEFAULTS[key])
        new = unmasked(replace(changed(new), id=id_), old)
        if id_ == STANDALONE and new.kind.acme and new.type != STANDALONE:
            raise UsageError(
                f"{new.kind.command} set: the plugin of {id_} is always {STANDALONE}",
                hint=f"Add another instance: {new.kind.example('ID', new.plugin)}",
            )
        same = not is_new and new.plugin == old.plugin and new.settings == old.settings
        doubts = [] if same else _check(place.node, new)
        if is_new or new.plugin != old.plugin:
            new = _resolved(place.node, new)
        place.put(new, old)
    return doubts


def unmasked(new: Instance, old: Instance) -> Instance:
    """A changed instance: a setting that is the mask which a secret is shown as keeps its secret."""
    from pvefw.core.masking import MASK

    if MASK not in new.settings.values():  # what cannot be read stays as it is, too
        return new
    kept = {
        key: old.settings.get(key, value) if value == MASK else value
        for key, value in new.settings.items()
    }
    return replace(new, settings=kept)


def _check_deletable(family: str, delete: Sequence[str]) -> None:
    known = [key for key in _DEFAULTS if KINDS[family].acme or key != "validation-delay"]
    for key in delete:
        if key not in known:
            raise UsageError(
                f"{KINDS[family].command} set: {key} cannot be deleted",
                hint=f"Known: {', '.join(known)}.",
            )


def _old(place: files.Place, family: str, id_: str) -> tuple[Instance, bool]:
    """The instance that is to be changed, and whether it does not exist yet."""
    if not KINDS[family].named_like_plugin or id_ in place.load():
        return load(place.node, family, id_), False
    new = of_plugin(place.node, family, id_)
    _check_free(place, new, "set")
    return new, True


def remove(paths: Paths, family: str, id_: str, *, expected_digest: str | None = None) -> None:
    """Remove an instance. Of ``standalone`` the settings go; the instance always exists.

    :raises NotFound: there is none of this id.
    :raises DigestMismatch: somebody else changed the file.
    """
    with files.changing(paths, family) as place:
        store_files.check_digest(place.files[0], place.data(), expected_digest)
        load(place.node, family, id_)
        place.remove(id_)


def _check_free(place: files.Place, instance: Instance, verb: str) -> None:
    """Refuse an id that a section of the files has, of whatever type.

    :raises UsageError: it is taken.
    """
    there = place.taken(instance.id)
    if there is not None:
        kind = KINDS.get(family_of(there.type))
        raise UsageError(
            f"{instance.kind.command} {verb}: the id {instance.id} is taken by "
            f"'{there.type}: {there.id}'",
            hint=f"Change that one: pvefw {kind.command} set {there.id}" if kind else "",
        )


def _check(node: Node, instance: Instance) -> list[str]:
    from pvefw.instances import instance_binding

    return instance_binding.check(node, instance)


def _resolved(node: Node, instance: Instance) -> Instance:
    from pvefw.instances import instance_binding

    return instance_binding.resolved(node, instance)


# --- use ------------------------------------------------------------------------------------------


def bind(node: Node, instance: Instance) -> "Bound[Any]":
    """An instance's hooks. Whether this node uses it is for :func:`check_used` to say.

    :raises PluginError: its plugin is missing or broken.
    :raises ConfigError: it is damaged, its settings do not fit, or a secret is plain text where others
        can read it.
    """
    from pvefw.instances import instance_binding

    return instance_binding.bind(node, instance)


def describe(node: Node, instance: Instance, *, show_secrets: bool = False) -> dict[str, object]:
    """An instance for people. Secrets are masked; where its plugin cannot be asked, every setting is."""
    from pvefw.core import settings
    from pvefw.instances import instance_binding

    values, infos = instance_binding.effective(node, instance)
    description: dict[str, object] = {
        "id": instance.id,
        "type": instance.type,
        "api": instance.plugin,
        "data": values if show_secrets else settings.mask(infos, values),
        "disable": instance.disabled,
    }
    if instance.nodes:
        description["nodes"] = ",".join(instance.nodes)
    if 0 <= instance.validation_delay != DEFAULT_DELAY:
        description["validation-delay"] = instance.validation_delay
    if instance.where:
        description["where"] = instance.where
    if instance.problem:
        description["problem"] = instance.problem
    return description
