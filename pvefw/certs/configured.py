"""Whether what an order depends on was changed, so that a failed one is worth another try at once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pvefw import instances
from pvefw.certs.certificate import Certificate
from pvefw.core.errors import PvefwError
from pvefw.core.families import CHALLENGE, DNS
from pvefw.store import accounts as account_store

_FILE = "file:"


def stamp(certificate: Certificate) -> str:
    """Another text after each change of the files that an order reads: settings, accounts, secrets.

    It is made of their times and sizes, for their content is nobody's business.
    """
    digest = hashlib.sha256()
    for path in _files(certificate):
        digest.update(f"{path} {_state(path)}\n".encode())
    return digest.hexdigest()[:16]


def _files(certificate: Certificate) -> Iterator[Path]:
    node, settings, paths = certificate.node, certificate.settings, certificate.paths
    yield from (paths.node_config(node.name), paths.node_pvefw_cfg(node.name))
    yield from (paths.cluster_pvefw_cfg, paths.plugins_cfg, paths.own_plugins_cfg)
    try:
        for account in filter(None, (settings.account, settings.fallback_account)):
            yield account_store.path(paths, account)
        for instance in instances.load_all(node, CHALLENGE.name, DNS.name):
            for value in sorted(instance.settings.values()):
                if value.startswith(_FILE):
                    yield Path(value.removeprefix(_FILE))
    except PvefwError:
        return  # whoever mends that changes one of the files above


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "not there"
    return f"{status.st_mtime_ns} {status.st_size}"
