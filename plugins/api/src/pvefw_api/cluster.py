"""``/cluster``, ``/nodes`` and ``/version``: what concerns more than this node."""

import re
from collections.abc import Iterator
from typing import Any

from pvefw_api.calls import Call

API_LEVEL = "9.1"
"""The release of Proxmox VE whose API this is; clients ask for it before they use what is new."""
RECENT = 25
"""Tasks of the cluster's list."""


def version(_call: Call) -> dict[str, str]:
    """The level of the API, and what answers it."""
    from pvefw import __version__
    from pvefw.store import files

    return {
        "version": f"{API_LEVEL}.0",
        "release": API_LEVEL,
        "repoid": files.digest(__version__.encode())[:16],
        "pvefw": __version__,
    }


def nodes(call: Call) -> list[dict[str, Any]]:
    """The nodes of the cluster; how others are is not known here."""
    from pvefw.store import nodes as known

    names = sorted({call.paths.node, *known.names(call.paths)})
    return [
        {
            "node": name,
            "type": "node",
            "id": f"node/{name}",
            "status": "online" if name == call.paths.node else "unknown",
        }
        for name in names
    ]


def resources(call: Call) -> list[dict[str, Any]]:
    """Nodes, and this node's guests."""
    wanted = call.get("type")
    rows = nodes(call) if wanted in (None, "node") else []
    if wanted in (None, "vm"):
        rows += _guests(call)
    return rows


def _guests(call: Call) -> Iterator[dict[str, Any]]:
    from pvefw_api import node

    for kind in ("qemu", "lxc"):
        for guest in node.guests(call, kind):
            id_ = {"id": f"{kind}/{guest['vmid']}", "type": kind, "node": call.paths.node}
            yield {**guest, **id_}


def tasks(call: Call) -> list[dict[str, Any]]:
    """The latest tasks, running ones included."""
    rows: list[dict[str, Any]] = call.command("task list", source="all", limit=RECENT)
    return rows


def ha_resources(call: Call) -> list[dict[str, str]]:
    """The guests that an HA manager looks after."""
    from pvefw_api import node

    words = {"vm": "vm", "container": "ct"}
    managed = [guest for guest in node.listed(call) if guest.managed_by_ha]
    sids = [{"sid": f"{words[guest.kind]}:{guest.vmid}"} for guest in managed]
    return [sid for sid in sids if sid["sid"].startswith(call.get("type", ""))]


def ha_status(call: Call) -> list[dict[str, Any]]:
    """No HA manager runs beside pvefw: there is the node, and whether it sees the others."""
    from pvefw.store import pmxcfs

    node, quorate = call.paths.node, pmxcfs.has_quorum(call.paths.etc_pve)
    status = "OK" if quorate else f"No quorum on node '{node}'!"
    quorum = {"status": status, "quorate": int(quorate)}
    return [{"id": "quorum", "type": "quorum", "node": node, **quorum}]


def options(call: Call) -> dict[str, Any]:
    """The options of ``datacenter.cfg``; their types are those that they are set with."""
    from pvefw.store import datacenter
    from pvefw_api.schema import published, shaped

    types = {"type": "object", "properties": published()["PUT /cluster/options"]["parameters"]}
    options_: dict[str, Any] = shaped(types, datacenter.load(call.paths))
    return options_


def set_options(call: Call) -> None:
    """Change options of ``datacenter.cfg``."""
    from pvefw.store import datacenter

    values = {
        key: str(int(option)) if isinstance(option, bool) else str(option)
        for key, option in call.options.items()
        if key != "delete"
    }
    delete = [part for part in re.split(r"[,;\s]+", call.get("delete", "")) if part]
    datacenter.change(call.paths, values, delete)
