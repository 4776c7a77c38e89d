"""Changes a node's configuration: one set of properties, each kept where it belongs.

Proxmox VE's file gets what its own parser can read, and no name of an instance that it does not know;
everything else is in the node's ``pvefw.cfg``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pvefw.core.errors import NotFound, StoreError, UsageError
from pvefw.store import domains, files, locks, nodes, properties
from pvefw.store.node import DESCRIPTION, Node, judged
from pvefw.store.node_config import NodeConfig, normal_property_string, parse_property_string
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import STANDALONE
from pvefw.store.pvefw_config import CERTIFICATE

_LONGEST_DESCRIPTION = 64 * 1024
"""Characters that Proxmox VE accepts."""
_Changes = dict[str, str | None]
"""Properties that are set to a text, or removed by ``None``."""


def change(
    paths: Paths,
    values: Mapping[str, str],
    delete: Sequence[str] = (),
    *,
    expected_digest: str | None = None,
) -> None:
    """Set and delete properties, all or none; deleting one that is not set changes nothing.

    :param expected_digest: what :attr:`Node.digest` was when the caller looked.
    :raises UsageError: an unknown property, a value that is not in its format, or a name whose plugin
        instance does not exist.
    :raises NotFound: what is to be deleted is set for all nodes.
    :raises DigestMismatch: somebody else changed the file.
    """
    values = {key: _checked(key, value) for key, value in values.items()}
    with locks.node_config_lock(paths):
        node = Node.open(paths)
        data = node.data(paths.node_config()) + node.data(paths.node_pvefw_cfg())
        files.check_digest(paths.node_config(), data, expected_digest)
        _check_instances(node, values)
        _check_deletions(node, delete)
        ours, theirs = _placed(node, values, delete)
        changed = node.config.changed(theirs)
        if DESCRIPTION in values or DESCRIPTION in delete:
            changed = changed.described(values.get(DESCRIPTION, ""))
        if any(key == "acme" or properties.is_domain(key) for key in values):
            _check_names(node, changed, node.own.properties.changed(ours))
        _write(node, changed, ours)


def move_names(paths: Paths, instance: str, *, leaves_pve: bool) -> None:
    """Let the names that an instance validates follow it to the other file, on every node.

    :param leaves_pve: the instance is about to leave Proxmox VE's file.
    """
    for name in nodes.names(paths) or [paths.node]:
        other = replace(paths, node=name)
        with locks.node_config_lock(other):
            node = Node.open(other)
            there = {**node.own.properties.values, **node.config.values}
            using = {key: there[key] for key in there if _instance_of(key, there[key]) == instance}
            known = node.instance_ids(paths.plugins_cfg) - ({instance} if leaves_pve else set())
            ours, theirs = _placed(node, using, (), known)
            _write(node, node.config.changed(theirs), ours)


def names_of(node: Node, instance: str) -> list[str]:
    """The names of all certificates that an instance validates, also where an order would refuse them.

    :raises StoreError: a file could not be read.
    """
    ours = (node.cluster, node.own)
    sections = (
        section
        for file in ours
        for section in file.sections.sections
        if section.type == CERTIFICATE
    )
    return [
        parse_property_string(value, "domain").get("domain", key)
        for values in (
            *(entry.properties.values for entry in ours),
            node.config.values,
            *(section.values for section in sections),
        )
        for key, value in values.items()
        if _instance_of(key, value) == instance
    ]


# --- checks ---------------------------------------------------------------------------------------


def _checked(key: str, value: str) -> str:
    """The value as it is kept, in its format.

    :raises UsageError: it is not, or the property is unknown.
    """
    known = properties.find(key)
    if known is None and key != DESCRIPTION:
        names = ", ".join(property_.key for property_ in properties.PROPERTIES)
        raise UsageError(
            f"config set: {key} is not a property of a node",
            hint=f"Known: acmedomain0 … acmedomain999, {DESCRIPTION}, {names}.",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"config set: {key}: the value is not UTF-8 text") from error
    if known is None:
        return _description(value)
    value = value.strip()
    try:
        properties.check_text(value)
        if known.parts:
            value = normal_property_string(value)
        known.check(value)
    except ValueError as error:
        raise UsageError(
            f"config set: {key}: {error}", hint=f"The format is: {known.format}"
        ) from error
    return value


def _description(value: str) -> str:
    if len(value) > _LONGEST_DESCRIPTION:
        raise UsageError(
            f"config set: {DESCRIPTION}: it has {len(value)} characters",
            hint=f"The format is: any text of at most {_LONGEST_DESCRIPTION} characters",
        )
    return value


def _check_instances(node: Node, values: Mapping[str, str]) -> None:
    """Refuse a name that would be validated by nobody.

    :raises UsageError: its instance does not exist.
    """
    for key, value in values.items():
        instance = _instance_of(key, value)
        both = (node.paths.plugins_cfg, node.paths.own_plugins_cfg)
        known = {id_ for path in both for id_ in node.instance_ids(path)} if instance else set()
        if instance and instance not in known:
            raise UsageError(
                f"config set: {key}: there is no plugin instance {instance}",
                hint=f"There are: {', '.join(sorted(known))}. "
                f"Add it first: pvefw acme plugin add dns {instance} --api NAME --data FILE",
            )


def _check_deletions(node: Node, delete: Sequence[str]) -> None:
    paths, config = node.paths, node.config
    there = {**node.own.properties.values, **config.values}
    for key in delete:
        if key in there or (key == DESCRIPTION and config.description):
            continue
        if key in node.cluster.properties.values:
            raise NotFound(
                f"config set: --delete {key}: the property is set for all nodes",
                hint=f"It is in {paths.cluster_pvefw_cfg}; set another value for this node.",
            )
        if key != DESCRIPTION and properties.find(key) is None:
            raise UsageError(
                f"config set: --delete {key}: there is no such property",
                hint=f"Properties that are set: {', '.join(sorted(there)) or 'none'}.",
            )


def _check_names(node: Node, theirs: NodeConfig, ours: NodeConfig) -> None:
    """Refuse what would name one domain twice.

    :raises ConfigError: it would; the message names both places.
    """
    both = (*judged(ours, pve=False), *judged(theirs, pve=True))
    usable = {key: value for key, value, why in both if not why}
    domains.entries(usable, f"node {node.name}")


# --- where a property is kept ---------------------------------------------------------------------


def _placed(
    node: Node,
    values: Mapping[str, str],
    delete: Sequence[str],
    known_to_pve: set[str] | None = None,
) -> tuple[_Changes, _Changes]:
    """The changes to our file and to Proxmox VE's: a property that moves is removed from the other.

    :param known_to_pve: the instances in Proxmox VE's file, if not those that are there now.
    """
    ours: _Changes = {}
    theirs: _Changes = {}
    for key in delete:
        if key != DESCRIPTION:
            ours[key] = theirs[key] = None
    for key, value in values.items():
        known = properties.find(key)
        if known is None:
            continue
        fits, instance = known.pve(value), _instance_of(key, value)
        if fits and instance not in ("", STANDALONE):
            if known_to_pve is None:
                known_to_pve = node.instance_ids(node.paths.plugins_cfg)
            fits = instance in known_to_pve
        ours[key], theirs[key] = (None, value) if fits else (value, None)
    return ours, theirs


def _instance_of(key: str, value: str) -> str:
    """The plugin instance that validates the name in a property; empty where it is no name."""
    if not properties.is_domain(key):
        return ""
    try:
        return parse_property_string(value, "domain").get("plugin", STANDALONE)
    except ValueError:
        return ""  # a file has it that others write, too


def _write(node: Node, theirs: NodeConfig, ours: _Changes) -> None:
    """Write both files, so that a property that moves is never in neither.

    Ours gets what is new, then Proxmox VE's, which wins while both have it, then ours loses what went.
    """
    there = node.own.properties
    additions = {key: value for key, value in ours.items() if value is not None}
    added = there.changed(additions)
    _write_own(node, there, added)
    if theirs != node.config:
        try:
            files.replace(node.paths.node_config(), theirs.render())
        except StoreError:
            _write_own(node, added, there)
            raise
    _write_own(node, added, added.changed(ours))


def _write_own(node: Node, there: NodeConfig, wanted: NodeConfig) -> None:
    if wanted != there:
        path = node.paths.node_pvefw_cfg()
        data = replace(node.own, properties=wanted).render()
        if data:
            files.replace(path, data, private=True)
        else:
            files.remove(path)
