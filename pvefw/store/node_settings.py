"""A node's configuration as an administrator sees it: one set of properties, wherever each is kept.

What Proxmox VE can hold is in its node configuration; everything else in the node's ``pvefw.cfg``, with
the cluster's ``pvefw.cfg`` for defaults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pvefw.errors import NotFound, UsageError
from pvefw.store import domains, files, locks, properties, pvefw_config
from pvefw.store.domains import DomainEntry
from pvefw.store.node_config import NodeConfig
from pvefw.store.paths import Paths

DESCRIPTION = "description"


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
    """What guards a change: the digest of Proxmox VE's file."""
    return files.digest(_node_config(paths)[1])


def get(paths: Paths, key: str) -> str | None:
    """One property, or ``None`` where it is not set."""
    return load(paths).get(key)


def certificate_names(paths: Paths) -> list[DomainEntry]:
    """The names of the node's certificate, and who validates each.

    :raises ConfigError: a name stands twice, or a file is damaged.
    """
    return domains.entries(load(paths), f"node {paths.node}")


def account_name(paths: Paths) -> str:
    """The ACME account to order from."""
    return domains.acme(load(paths)).get("account", "default")


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
    for key, value in values.items():
        _check(key, value)
    with locks.cluster_lock(paths, f"nodeconfig-{paths.node}"):
        config, data = _node_config(paths)
        files.check_digest(paths.node_config(), data, expected_digest)
        own, _ = pvefw_config.load(paths.node_pvefw_cfg())
        _check_deletions(delete, {**own.properties.values, **config.values}, config)
        ours, theirs = _placed(values, delete)
        changed = config.changed(theirs)
        if DESCRIPTION in values or DESCRIPTION in delete:
            changed = changed.described(values.get(DESCRIPTION, ""))
        changed_own = replace(own, properties=own.properties.changed(ours))
        everything = {**changed_own.properties.values, **changed.values}
        domains.entries(everything, f"node {paths.node}")
        if changed_own != own:
            files.replace(paths.node_pvefw_cfg(), changed_own.render())
        if changed != config:
            files.replace(paths.node_config(), changed.render())


def _node_config(paths: Paths) -> tuple[NodeConfig, bytes]:
    data = files.read_if_exists(paths.node_config()) or b""
    return NodeConfig.parse(data, str(paths.node_config())), data


def _check(key: str, value: str) -> None:
    if key == DESCRIPTION:
        return
    known = properties.find(key)
    if known is None:
        names = ", ".join(one.key for one in properties.PROPERTIES)
        raise UsageError(
            f"config set: {key} is not a property of a node",
            hint=f"Known: acmedomain0 … acmedomain999, {DESCRIPTION}, {names}.",
        )
    try:
        known.check(value)
    except ValueError as error:
        raise UsageError(
            f"config set: {key}: {error}", hint=f"The format is: {known.format}"
        ) from error


def _check_deletions(delete: Sequence[str], there: Mapping[str, str], config: NodeConfig) -> None:
    for key in delete:
        if key not in there and not (key == DESCRIPTION and config.description):
            raise NotFound(
                f"config set: --delete {key}: the property is not set",
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
