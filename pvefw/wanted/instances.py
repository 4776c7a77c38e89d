"""Configured plugins of every family. Their secrets are references here, or not here at all."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from pvefw import instances
from pvefw.certs import acme_plugin, references
from pvefw.core.errors import ConfigError, PvefwError, UsageError
from pvefw.core.references import is_reference
from pvefw.instances import STANDALONE, Instance, instance_binding
from pvefw.instances.codec import LONGEST_DELAY
from pvefw.store import oddities, plugin_sections
from pvefw.store.node import Node
from pvefw.store.section_config import check_id
from pvefw.wanted.kind import Change, Context, Fields, Kind, present
from pvefw.wanted.shapes import Flag, List, Number, Record, Shape, Table, Text

_DATA = Table(
    "The plugin's settings (`pvefw plugin show FAMILY NAME`); a secret as a reference: "
    "`file:PATH`, `env:NAME` or `cmd:COMMAND`.",
    Text("A setting."),
)
_FIELDS: dict[str, Shape] = {
    "data": _DATA,
    "nodes": List("The nodes that may use it (default: all).", Text("A node.")),
    "disable": Flag("Leave it unused."),
}
_TYPES = ("dns", "standalone", "challenge")


class Instances(Kind):
    """The instances of one family, or of those that share their ids."""

    lasting = frozenset({"type", "api"})

    def __init__(self, key: str, help_: str, *families: str) -> None:
        self.key = key
        self.families = families
        self.kind = plugin_sections.KINDS[families[0]]
        fields = dict(_FIELDS)
        if not self.kind.named_like_plugin:
            fields = {"api": Text("The plugin's name."), **fields}
        if self.kind.acme:
            self.always = frozenset({STANDALONE})
            delay = Number("Seconds to wait for DNS at most (default: 30).", 0, LONGEST_DELAY)
            fields = {
                "type": Text("Its type.", choices=_TYPES),
                **fields,
                "validation-delay": delay,
            }
        each = Record(
            f"{self.kind.subject[:1].upper()}{self.kind.subject[1:]}.",
            fields,
            without_default=self.lasting,
        )
        named = partial(check_id, what=f"the id of a {self.kind.noun}")
        self.shape = Table(help_, each, None if self.kind.named_like_plugin else named)

    def current(self, context: Context) -> dict[str, Fields]:
        node = context.node
        fields_of: dict[str, Fields] = {}
        for instance in instances.load_all(node, *self.families):
            fields = self._fields(context, node, instance)
            if instance.id not in self.always or fields.keys() - self.lasting:
                fields_of[instance.id] = fields
        return fields_of

    def _fields(self, context: Context, node: Node, instance: Instance) -> Fields:
        shown, hidden = _public(node, instance)
        if hidden:
            keys = f"{', '.join(hidden)}: a secret in plain text"
            context.left_out.append(f"{self.key}.{instance.id}.data: {keys}")
        if instance.problem:
            context.left_out.append(instance.problem)
        delay = instance.validation_delay
        return present(
            type=instance.type if self.kind.acme else None,
            api=None
            if self.kind.named_like_plugin or instance.type == STANDALONE
            else instance.plugin,
            data=dict(shown),
            nodes=list(instance.nodes),
            disable=instance.disabled,
            validation_delay=None if delay in (instances.DEFAULT_DELAY, -1) else delay,
        )

    def put(self, context: Context, change: Change) -> None:
        name, new = change.name, change.new
        changed = partial(self._changed, context, change.old, new)
        if change.before is not None or self.kind.named_like_plugin or name in self.always:
            doubts = instances.change(context.paths, self.families[0], name, changed)
        else:
            type_ = new.get("type", "" if self.kind.acme else self.families[0])
            api = new.get("api", STANDALONE if type_ == STANDALONE else "")
            if not type_ or not api:
                missing = "api" if type_ else "type"
                raise ConfigError(f"it does not exist yet, and {missing} is missing to add it")
            family = instances.family_of(type_)
            doubts = instances.add(context.paths, changed(Instance(family, name, api)))
        if not context.rehearsing:
            for doubt in doubts:
                oddities.report(f"{self.key}.{name}", 0, doubt, "it is kept as it is")

    def _changed(self, context: Context, old: Fields, new: Fields, instance: Instance) -> Instance:
        """The instance with the fields of a document; what a document cannot have stays."""
        if self.kind.acme and new.get("type", instance.type) != instance.type:
            raise UsageError(
                f"it is of type {instance.type}, and cannot become {new['type']}",
                hint=f"Remove it first: pvefw {self.kind.command} remove {instance.id}",
            )
        unseen = {
            key: instance.settings[key]
            for key in instance.settings
            if key not in old.get("data", {})
        }
        changed = replace(
            instance,
            plugin=new.get("api", instance.plugin),
            settings={**unseen, **new.get("data", {})},
            nodes=tuple(new.get("nodes", ())),
            disabled=new.get("disable", False),
            validation_delay=new.get("validation-delay", instances.DEFAULT_DELAY),
        )
        _refuse_plain(context.node, changed, new.get("data", {}))
        references.check_target(context.node, changed)
        return changed

    def remove(self, context: Context, name: str) -> None:
        if self.kind.acme:
            acme_plugin.remove(context.paths, name)
        else:
            references.check_unused(context.node, self.families[0], name)
            instances.remove(context.paths, self.families[0], name)


def _refuse_plain(node: Node, instance: Instance, given: Mapping[str, str]) -> None:
    """Refuse secrets in plain text; what no plugin declares may be one, where it is taken at all.

    :raises ConfigError: one is.
    """
    try:
        infos, takes_any = instance_binding.accepted(node, instance.family, instance.plugin)
    except PvefwError:
        return  # whoever adds it is told why
    secret = {info.key: info.secret for info in infos}
    for key, text in given.items():
        if secret.get(key, takes_any) and not is_reference(text):
            raise ConfigError(
                f"{key} is a secret, and a document has only references to secrets",
                hint="Put the value into a file that only root can read, and write: "
                f"{key}: file:/etc/pve/priv/NAME",
            )


def _public(node: Node, instance: Instance) -> tuple[Mapping[str, str], list[str]]:
    """The settings that everybody may read, and the keys of the others."""
    values, infos = instance_binding.effective(node, instance)
    public = {info.key for info in infos if not info.secret}
    shown = {key: text for key, text in values.items() if key in public or is_reference(text)}
    return shown, [key for key in values if key not in shown]
