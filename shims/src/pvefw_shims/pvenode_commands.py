"""The commands of pvenode(1) with their arguments and options, as Proxmox VE's documentation has them.

A test compares them with the published table.
"""

from collections.abc import Mapping

from pvefw_shims.arguments import Synopsis, synopsis

_DOMAINS = " ".join(f"acmedomain{number}" for number in range(6))

COMMANDS: Mapping[str, Synopsis] = {
    "acme account deactivate": synopsis("[name]"),
    "acme account info": synopsis("[name]", listing=True),
    "acme account list": synopsis(),
    "acme account register": synopsis("[name] contact…", "directory"),
    "acme account update": synopsis("[name]", "contact…"),
    "acme cert order": synopsis(booleans="force"),
    "acme cert renew": synopsis(booleans="force"),
    "acme cert revoke": synopsis(),
    "acme plugin add": synopsis("type id", "api data nodes… validation-delay", "disable"),
    "acme plugin config": synopsis("id", listing=True),
    "acme plugin list": synopsis("", "type", listing=True),
    "acme plugin remove": synopsis("id"),
    "acme plugin set": synopsis("id", "api data delete… digest nodes… validation-delay", "disable"),
    "cert delete": synopsis("[restart]", booleans="restart"),
    "cert info": synopsis(listing=True),
    "cert set": synopsis("certificates [key]", booleans="force restart", listing=True),
    "config get": synopsis("", "property"),
    "config set": synopsis(
        "",
        f"acme {_DOMAINS} ballooning-target delete… description digest location "
        "startall-onboot-delay wakeonlan",
    ),
    "migrateall": synopsis("target", "max-workers maxworkers vms…", "with-local-disks"),
    "startall": synopsis("", "max-workers vms…", "force"),
    "stopall": synopsis("", "max-workers timeout vms…", "force-stop"),
    "task list": synopsis(
        "",
        "limit since source start statusfilter… typefilter until userfilter vmid",
        "errors",
        listing=True,
    ),
    "task log": synopsis("upid", "limit start", "download"),
    "task status": synopsis("upid", listing=True),
    "wakeonlan": synopsis("node"),
}
