"""A node's configuration as an administrator sees it: one set of properties, wherever each is kept.

What Proxmox VE can hold is in its node configuration; everything else in the node's ``pvefw.cfg``, with
the cluster's ``pvefw.cfg`` for defaults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pvefw.core.errors import ConfigError, NotFound, StoreError, UsageError
from pvefw.store import domains, files, locks, properties, pvefw_config
from pvefw.store.domains import DomainEntry
from pvefw.store.node_config import NodeConfig
from pvefw.store.paths import Paths
from pvefw.store.pvefw_config import PvefwConfig

DESCRIPTION = "description"
_LONGEST_DESCRIPTION = 64 * 1024
"""Characters that Proxmox VE accepts."""


def load(paths: Paths) -> dict[str, str]:
    """Every property that is set, and ``description`` where there is one.

    :raises ConfigError: a file is damaged.
    """
    config, _ = _node_config(paths)
    found = {**pvefw_config.properties(paths), **config.values}
    if config.description:
        found[DESCRIPTION] = config.description
    return dict(sorted(found.items()))


def digest(paths: Paths) -> str:
    """What guards a change: the digest of Proxmox VE's file, as its own tools show it, and then ours."""
    return files.digest(_node_config(paths)[1] + pvefw_config.load(paths.node_pvefw_cfg())[1])


def get(paths: Paths, key: str) -> str | None:
    """One property, or ``None`` where it is not set.

    :raises ConfigError: it is not in its format, or a file is damaged.
    """
    value = load(paths).get(key)
    if value is not None:
        properties.check_read(key, value, _what(paths))
    return value


def certificate_names(paths: Paths) -> list[DomainEntry]:
    """The names of the node's certificate, and who validates each.

    :raises ConfigError: a name stands twice, a property has two values, or a file is damaged.
    """
    _check_one_place(paths)
    return domains.entries(load(paths), _what(paths))


def account_name(paths: Paths) -> str:
    """The ACME account to order from.

    :raises ConfigError: the property is not in its format, or a file is damaged.
    """
    return domains.acme(load(paths), _what(paths)).get("account", "default")


def _what(paths: Paths) -> str:
    return f"node {paths.node}"


def _check_one_place(paths: Paths) -> None:
    """Proxmox VE does not see our file: it may have given a number of ours to another name.

    :raises ConfigError: a property stands in both files, so that one name would be left out.
    """
    theirs = _node_config(paths)[0].values
    for key, value in pvefw_config.load(paths.node_pvefw_cfg())[0].properties.values.items():
        if key in theirs and (key == "acme" or properties.is_domain(key)):
            raise ConfigError(
                f"{_what(paths)}: {key} is '{value}' in {paths.node_pvefw_cfg()} "
                f"and '{theirs[key]}' in {paths.node_config()}",
                hint=f"Say which it is: pvefw config set --{key} …; give the other a free number.",
            )


def change(
    paths: Paths,
    values: Mapping[str, str],
    delete: Sequence[str] = (),
    *,
    expected_digest: str | None = None,
) -> None:
    """Set and delete properties, all or none.

    :param expected_digest: what :func:`digest` gave when the caller looked.
    :raises UsageError: an unknown property, or a value that is not in its format.
    :raises NotFound: nothing to delete.
    :raises DigestMismatch: somebody else changed the file.
    """
    values = {key: _checked(key, value) for key, value in values.items()}
    with locks.node_config_lock(paths):
        config, data = _node_config(paths)
        own, own_data = pvefw_config.load(paths.node_pvefw_cfg())
        files.check_digest(paths.node_config(), data + own_data, expected_digest)
        _check_deletions(paths, delete, {**own.properties.values, **config.values}, config)
        ours, theirs = _placed(values, delete)
        changed = config.changed(theirs)
        if DESCRIPTION in values or DESCRIPTION in delete:
            changed = changed.described(values.get(DESCRIPTION, ""))
        everything = {**own.properties.changed(ours).values, **changed.values}
        domains.entries(everything, _what(paths))
        _write(paths, (config, changed), own, ours)


def _write(
    paths: Paths,
    node_config: tuple[NodeConfig, NodeConfig],
    own: PvefwConfig,
    ours: Mapping[str, str | None],
) -> None:
    """Write both files, so that a property that moves is never in neither.

    Ours gets what is new, then Proxmox VE's, which wins while both have it, then ours loses what went.
    """
    old, new = node_config
    additions = {key: value for key, value in ours.items() if value is not None}
    added = own.properties.changed(additions)
    _write_own(paths, own, added)
    if new != old:
        try:
            files.replace(paths.node_config(), new.render())
        except StoreError:
            _write_own(paths, replace(own, properties=added), own.properties)
            raise
    _write_own(paths, replace(own, properties=added), added.changed(ours))


def _write_own(paths: Paths, there: PvefwConfig, properties_: NodeConfig) -> None:
    if properties_ != there.properties:
        data = replace(there, properties=properties_).render()
        if data:
            files.replace(paths.node_pvefw_cfg(), data, private=True)
        else:
            files.remove(paths.node_pvefw_cfg())


def _node_config(paths: Paths) -> tuple[NodeConfig, bytes]:
    data = files.read_if_exists(paths.node_config()) or b""
    return NodeConfig.parse(data, str(paths.node_config())), data


def _checked(key: str, value: str) -> str:
    """The value as it is kept, in its format.

    :raises UsageError: it is not, or the property is unknown.
    """
    known = properties.find(key)
    if known is None and key != DESCRIPTION:
        names = ", ".join(one.key for one in properties.PROPERTIES)
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


def _check_deletions(
    paths: Paths, delete: Sequence[str], there: Mapping[str, str], config: NodeConfig
) -> None:
    for key in delete:
        if key in there or (key == DESCRIPTION and config.description):
            continue
        if key in pvefw_config.properties(paths):
            raise NotFound(
                f"config set: --delete {key}: the property is set for all nodes",
                hint=f"It stands in {paths.cluster_pvefw_cfg}; set another value for this node.",
            )
        if key != DESCRIPTION and properties.find(key) is None:
            raise NotFound(
                f"config set: --delete {key}: there is no such property",
                hint=f"Set are: {', '.join(sorted(there)) or 'none'}.",
            )


def _placed(
    values: Mapping[str, str], delete: Sequence[str]
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """The changes to our file and to Proxmox VE's: a property that moves is removed from the other."""
    ours: dict[str, str | None] = {}
    theirs: dict[str, str | None] = {}
    for key in delete:
        if key != DESCRIPTION:
            ours[key] = theirs[key] = None
    for key, value in values.items():
        known = properties.find(key)
        if known is not None:
            fits = known.pve(value)
            ours[key], theirs[key] = (None, value) if fits else (value, None)
    return ours, theirs
