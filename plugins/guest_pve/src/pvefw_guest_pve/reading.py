"""What lists, states and configurations of Proxmox VE say of a guest."""

from collections.abc import Mapping
from typing import Any

from pvefw.api import GuestState

_STATES = {"stopped": GuestState.STOPPED, "running": GuestState.RUNNING}


def state(row: Mapping[str, Any]) -> GuestState:
    """What it is doing; QEMU's own word, where there is one, tells which of those that run are paused."""
    if (row.get("qmpstatus") or row.get("status")) in ("paused", "suspended", "prelaunch"):
        return GuestState.PAUSED
    return _STATES.get(str(row.get("status")), GuestState.UNKNOWN)


def vmid(row: Mapping[str, Any]) -> int:
    """A guest's number; 0 where there is none."""
    text = str(row.get("vmid", ""))
    return int(text) if text.isascii() and text.isdecimal() else 0


def is_managed(row: Mapping[str, Any]) -> bool:
    """Whether the HA manager looks after it, as its own state says."""
    return bool((row.get("ha") or {}).get("managed"))


def is_saved(row: Mapping[str, Any]) -> bool:
    """Whether it was suspended to disk: Proxmox VE then locks it until it starts."""
    return row.get("status") == "stopped" and row.get("lock") == "suspended"


def startup(text: str) -> dict[str, str]:
    """``order=1,up=30,down=60``; a bare number is the order."""
    values = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = part.partition("=")
        values[key if equals else "order"] = value if equals else key
    return values


def number(values: Mapping[str, str], key: str) -> int | None:
    """A number of :func:`startup`; ``None`` where there is none."""
    value = values.get(key, "")
    return int(value) if value.isdecimal() else None


def has_agent(config: Mapping[str, Any]) -> bool:
    """Whether a guest's configuration says that QEMU's agent runs in it."""
    first = str(config.get("agent", "0")).split(",")[0]
    return first.removeprefix("enabled=") == "1"
