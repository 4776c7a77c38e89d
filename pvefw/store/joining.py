"""A node joins the others: what only it has is added to the store, and the rest is fetched from there."""

from pathlib import Path

from pvefw.core.errors import ConfigError
from pvefw.store import files, shared
from pvefw.store.paths import Paths
from pvefw.store.shared import Shared

_OTHERS = 0o077


def chosen(paths: Paths) -> Shared:
    """The store of a node.

    :raises ConfigError: it has none.
    """
    store = shared.of(paths.etc_pve)
    if store is None:
        raise ConfigError(
            f"{paths.store_cfg}: there is no such file, so this node shares nothing",
            hint="Write it: a line 'store: etcd', and the store's settings (docs/etcd.md).",
        )
    return store


def join(paths: Paths) -> list[Path]:
    """Fetch what the store has, and add what it does not have.

    Where both have a file, the store's counts, and this node's is kept apart.

    :returns: the files that were added.
    :raises ConfigError: no store is chosen.
    :raises StoreError: the store cannot be asked, or a file cannot be written.
    """
    store = chosen(paths)
    store.look(now=True)
    known = store.copy.index()
    added = []
    for path in sorted(paths.etc_pve.rglob("*")):
        key = store.key(path)
        if key and key not in known and path.is_file():
            files.replace(path, files.read(path), private=not path.stat().st_mode & _OTHERS)
            added.append(path)
    if not files.exists(paths.node_config()):  # others know a node by its directory
        files.replace(paths.node_config(), b"")
        added.append(paths.node_config())
    return added
