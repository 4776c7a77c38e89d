"""Private keys and credentials that others than their owner's group can read, as ssh(1) minds them."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from pvefw import instances
from pvefw.certs.certificate import Certificate
from pvefw.core.errors import PvefwError
from pvefw.store import accounts as account_store
from pvefw.store.node import Node
from pvefw.store.plugin_sections import KINDS

_REFERENCE = "file:"


def of_node(node: Node) -> list[str]:
    """The files of a node that everybody can read or write and nobody should, a sentence for each.

    :raises StoreError: the accounts cannot be listed.
    """
    return [
        f"{path}: everybody can use it (mode {mode:04o}); replace what is in it, and: chmod o= {path}"
        for path, mode in ((path, _mode(path)) for path in _private(node))
        if mode & stat.S_IRWXO
    ]


def _private(node: Node) -> Iterator[Path]:
    paths = node.paths
    yield from (account_store.path(paths, name) for name in account_store.names(paths))
    yield from (paths.plugins_cfg, paths.own_plugins_cfg, paths.authority_key, paths.node_key)
    yield from (certificate.files.key for certificate in Certificate.all_of(node))
    yield from _referred_to(node)


def _referred_to(node: Node) -> Iterator[Path]:
    """The files with credentials that the settings of instances name, each once."""
    with contextlib.suppress(PvefwError):  # what cannot be read is said where it is needed
        texts = {
            text
            for instance in instances.load_all(node, *KINDS)
            for text in instance.settings.values()
        }
        yield from (
            Path(text[len(_REFERENCE) :]) for text in sorted(texts) if text.startswith(_REFERENCE)
        )


def _mode(path: Path) -> int:
    """Its permission bits; none where it is not there, or cannot be looked at."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
