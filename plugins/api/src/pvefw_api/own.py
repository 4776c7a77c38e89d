"""``/nodes/{node}/pvefw``: what pvefw has beyond Proxmox VE. Each line is a command with a path."""

from collections.abc import Iterator

from pvefw.store.plugin_sections import KINDS, Kind
from pvefw_api.calls import Command

ROOT = "/nodes/{node}/pvefw"
INSTANCES = f"{ROOT}/instances/"
ROOTS = (INSTANCES, f"{ROOT}/acme/accounts/", f"{ROOT}/boot/cmdline")
"""What only root changes: settings and the kernel command line (``init=``) may name programs, and Proxmox
VE's own accounts are root's, too.
"""
_DRY = {"dry-run": True}

_LINES = (
    ("GET", "status", Command("status", {"acknowledge": False})),
    ("POST", "status", Command("status", {"acknowledge": True})),
    ("POST", "renewals", Command("renew")),
    ("POST", "renewals/timer", Command("renew install-timer")),
    ("POST", "deployments", Command("cert deploy")),
    ("GET", "certificates", Command("cert list")),
    ("DELETE", "certificates/{name}", Command("cert remove")),
    ("GET", "certificates/{name}/served", Command("cert check")),
    ("DELETE", "certificates/{name}/pair", Command("cert delete")),
    ("POST", "certificates/{name}/acme", Command("acme cert order")),
    ("PUT", "certificates/{name}/acme", Command("acme cert renew")),
    ("DELETE", "certificates/{name}/acme", Command("acme cert revoke")),
    ("POST", "authority", Command("cert ca init")),
    ("POST", "node-certificate", Command("cert node refresh")),
    ("POST", "acme/accounts/{name}/rollover", Command("acme account rollover")),
    ("GET", "acme/plugins/{id}", Command("acme plugin config")),
    ("POST", "acme/plugins/{id}/test", Command("acme plugin test")),
    ("POST", "dns/test", Command("dns test")),
    ("POST", "dns/cleanup", Command("dns cleanup")),
    ("GET", "boot/status", Command("boot status")),
    ("POST", "boot/refresh", Command("boot refresh")),
    ("GET", "boot/loader", Command("boot loader")),
    ("GET", "boot/kernels", Command("boot kernel list")),
    ("POST", "boot/kernels", Command("boot kernel add")),
    ("DELETE", "boot/kernels/{version}", Command("boot kernel remove")),
    ("PUT", "boot/pin", Command("boot kernel pin")),
    ("DELETE", "boot/pin", Command("boot kernel unpin")),
    ("GET", "boot/cmdline", Command("boot cmdline get")),
    ("PUT", "boot/cmdline", Command("boot cmdline set")),
    ("GET", "ksm", Command("ksm status")),
    ("POST", "ksm/enable", Command("ksm enable")),
    ("POST", "ksm/disable", Command("ksm disable")),
    ("POST", "ksm/unmerge", Command("ksm unmerge")),
    ("GET", "guests", Command("guest list")),
    ("GET", "guests/{id}", Command("guest show")),
    ("PUT", "guests/{id}", Command("guest set")),
    ("GET", "plan/start", Command("startall", _DRY)),
    ("GET", "plan/stop", Command("stopall", _DRY)),
    ("GET", "plan/suspend", Command("suspendall", _DRY)),
    ("GET", "plan/resume", Command("resumeall", _DRY)),
    ("GET", "plan/migrate", Command("migrateall", _DRY)),
    ("POST", "resumeall", Command("resumeall")),
    ("GET", "plugins", Command("plugin list")),
    ("GET", "plugins/{family}/{name}", Command("plugin show")),
    ("GET", "doctor", Command("plugin doctor")),
)


def endpoints() -> Iterator[tuple[str, str, Command]]:
    """Every endpoint: method, whole path, command."""
    yield from ((method, f"{ROOT}/{path}", command) for method, path, command in _LINES)
    for kind in KINDS.values():
        if not kind.acme:  # those are in Proxmox VE's part
            yield from _instances(kind)


def _instances(kind: Kind) -> Iterator[tuple[str, str, Command]]:
    """The instances of a family, as Proxmox VE has those of ACME plugins."""
    path = f"{INSTANCES}{kind.family}"
    yield "GET", path, Command(f"{kind.command} list")
    if not kind.named_like_plugin:
        yield "POST", path, Command(f"{kind.command} add")
    below = f"{path}/{{id}}"
    yield "GET", below, Command(f"{kind.command} config")
    yield "PUT", below, Command(f"{kind.command} set")
    yield "DELETE", below, Command(f"{kind.command} remove")
    yield "POST", f"{below}/test", Command(f"{kind.command} test")
