"""What a node says of its hardware and load: files of the kernel, proc(5)."""

import os
import threading
from pathlib import Path

from pvefw import __version__
from pvefw.boot import firmware
from pvefw.core.model import Firmware
from pvefw.host.clock import SystemClock
from pvefw.store.paths import Paths

_SAMPLE = 0.1
"""Seconds over which the load of the processors is measured."""
_KIB = 1024


def status(paths: Paths) -> dict[str, object]:
    """The node's status in the form of Proxmox VE's API; sizes in bytes, ``cpu`` from 0 to 1."""
    system, memory = os.uname(), _memory()
    efi = firmware.current(paths) is Firmware.UEFI
    booted = {"mode": "efi", "secureboot": int(firmware.secure_boot(paths))} if efi else {}
    return {
        "boot-info": booted or {"mode": "legacy-bios"},
        "cpu": _load(),
        "cpuinfo": _processors(),
        "current-kernel": {
            "sysname": system.sysname,
            "release": system.release,
            "version": system.version,
            "machine": system.machine,
        },
        "loadavg": [f"{load:.2f}" for load in os.getloadavg()],
        "memory": memory,
        "pveversion": f"pvefw/{__version__}",
        "rootfs": _file_system(paths.root),
        "uptime": int(float(_read("uptime").split()[0])),
    }


def _read(name: str) -> str:
    return Path("/proc", name).read_text(encoding="utf-8", errors="replace")


def _memory() -> dict[str, int]:
    lines = (line.partition(":") for line in _read("meminfo").splitlines())
    amounts = {key: int(value.split()[0]) * _KIB for key, _, value in lines}
    total, available = amounts["MemTotal"], amounts["MemAvailable"]
    free = amounts["MemFree"]
    return {"total": total, "free": free, "available": available, "used": total - available}


def _processors() -> dict[str, object]:
    blocks = [
        dict(line.partition(":")[::2] for line in block.splitlines())
        for block in _read("cpuinfo").strip().split("\n\n")
    ]
    trimmed = [{key.strip(): value.strip() for key, value in block.items()} for block in blocks]
    cores = {
        (block.get("physical id", "0"), block.get("core id", str(n)))
        for n, block in enumerate(trimmed)
    }
    return {
        "cpus": os.cpu_count() or 1,
        "cores": len(cores),
        "sockets": len({socket for socket, _ in cores}),
        "model": next(
            (block["model name"] for block in trimmed if "model name" in block), "unknown"
        ),
    }


def _load() -> float:
    before = _times()
    SystemClock().wait(threading.Event(), _SAMPLE)
    after = _times()
    total, idle = after[0] - before[0], after[1] - before[1]
    return round(1 - idle / total, 4) if total > 0 else 0.0


def _times() -> tuple[int, int]:
    """Clock ticks of all processors so far, and those among them in which nothing was done."""
    ticks = [int(word) for word in _read("stat").splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def _file_system(path: Path) -> dict[str, int]:
    figures = os.statvfs(path)
    size, free = figures.f_frsize * figures.f_blocks, figures.f_frsize * figures.f_bfree
    return {
        "total": size,
        "free": free,
        "avail": figures.f_frsize * figures.f_bavail,
        "used": size - free,
    }
