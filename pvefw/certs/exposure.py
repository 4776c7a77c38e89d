"""Private keys and credentials that others than root and their group can use, as ssh(1) minds them."""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from pvefw import instances
from pvefw.certs.certificate import Certificate
from pvefw.core import references
from pvefw.core.errors import PvefwError
from pvefw.store import accounts as account_store
from pvefw.store.node import Node
from pvefw.store.plugin_sections import KINDS


def _trusted() -> tuple[int, ...]:
    return (0, os.geteuid())


def of_node(node: Node) -> list[str]:
    """The files of a node that others can read or write and should not, a sentence for each.

    :raises StoreError: the accounts cannot be listed.
    """
    return [sentence for path in dict.fromkeys(_private(node)) if (sentence := _exposed(path))]


def _exposed(path: Path) -> str:
    """Who can use a file and should not; empty for nobody, and where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return ""
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IRWXO:
        who, command = f"everybody can use it (mode {mode:04o})", "chmod o="
    elif status.st_uid not in _trusted():  # restored by a user, or from a host of other users
        who, command = f"it belongs to user {_user(status.st_uid)}", "chown root"
    else:
        return ""
    return f"{path}: {who}; replace what is in it, and: {command} {path}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _private(node: Node) -> Iterator[Path]:
    paths = node.paths
    yield from (account_store.path(paths, name) for name in account_store.names(paths))
    yield from (paths.plugins_cfg, paths.own_plugins_cfg, paths.authority_key, paths.node_key)
    yield from (paths.api_key, paths.api_users)
    for certificate in Certificate.all_of(node):
        yield from (certificate.files.key, certificate.files.order)
    yield from _referred_to(node)


def _referred_to(node: Node) -> Iterator[Path]:
    """The files with credentials that the settings of instances name."""
    with contextlib.suppress(PvefwError):  # what cannot be read is said where it is needed
        for instance in instances.load_all(node, *KINDS):
            yield from filter(None, map(references.file_of, instance.settings.values()))
