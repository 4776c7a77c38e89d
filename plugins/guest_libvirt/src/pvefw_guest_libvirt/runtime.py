"""What a daemon keeps in ``/run`` of the guests that run: it is there while the daemon is not.

A daemon that nobody needs ends by itself after two minutes, and its sockets start it again
(libvirtd(8), ``--timeout``) - but not while the host shuts down.
"""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_SYSTEM = Path("/run/libvirt")
_DRIVERS = ("qemu", "lxc")
_STATUS = ("*.xml", "run/*.xml")
"""One file for each guest that runs, removed when it has stopped; of a session's, one folder down."""


def nothing_runs(uri: str) -> bool:
    """Whether it is certain that no guest of a daemon runs, although the daemon cannot be asked.

    :param uri: the daemon's; of one on another host nothing is certain.
    """
    parts = urlsplit(uri)
    driver = parts.scheme.partition("+")[0]
    if parts.hostname or driver not in _DRIVERS:
        return False
    folder = _folder(parts.path, parse_qs(parts.query).get("socket", [""])[0])
    if folder is None:
        return False
    return not any(any((folder / driver).glob(pattern)) for pattern in _STATUS)


def _folder(path: str, socket: str) -> Path | None:
    """Where a daemon has its folders; ``None`` where that is not known."""
    if socket:
        beside = Path(socket).parent
        return beside if any((beside / driver).is_dir() for driver in _DRIVERS) else None
    return _SYSTEM if path == "/system" else None
