"""Whether what an order depends on was changed, so that a failed one is worth another try at once."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from pvefw import instances
from pvefw.certs.certificate import Certificate
from pvefw.core import references
from pvefw.core.errors import PvefwError
from pvefw.core.families import CHALLENGE, DNS, DNS_CATALOG
from pvefw.store import accounts as account_store


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
    for account in filter(None, (settings.account, settings.fallback_account)):
        with contextlib.suppress(PvefwError):  # whoever mends what is damaged changes its file
            yield account_store.path(paths, account)
            if ca_file := account_store.load(paths, account).ca_file:
                yield Path(ca_file)
    with contextlib.suppress(PvefwError):
        for instance in instances.load_all(node, CHALLENGE.name, DNS.name, DNS_CATALOG.name):
            yield from filter(None, map(references.file_of, instance.settings.values()))


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "not there"
    return f"{status.st_mtime_ns} {status.st_size}"
