"""Where the service may be, and as whom: looked at before anything else is loaded."""

from pvefw.core.errors import UsageError
from pvefw.store.paths import Paths

USER = "pvefw-api"
"""Who the front runs as."""
PVEPROXY = "usr/bin/pveproxy"


def check(paths: Paths) -> None:
    """Refuse to serve where Proxmox VE's own API is.

    :raises UsageError: it is there.
    """
    if paths.below(PVEPROXY).exists():
        raise UsageError(
            "api serve: this host has Proxmox VE's own API (pveproxy)",
            hint="Use that one; what pvefw has beyond it: pvefw api ls /nodes/localhost/pvefw",
        )
