"""Which process left something behind, and whether it has ended."""

import contextlib
import os
import zlib
from functools import cache
from pathlib import Path

_UNKNOWN = "0"
"""When a process started, where there is no ``/proc``."""


def mark() -> str:
    """A word for this process, to put into the names of what it makes: ``HERE-PID-START``.

    Other nodes of a cluster have processes of the same number, and numbers are used again.
    """
    return f"{_here()}-{os.getpid()}-{start(os.getpid()) or _UNKNOWN}"


def has_ended(marked: str) -> bool | None:
    """Whether the process that a :func:`mark` is of has ended; ``None`` where nobody here knows."""
    here, pid, started = marked.split("-")
    if here != _here() or started == _UNKNOWN:
        return None
    return start(int(pid)) != started


def start(pid: int) -> str:
    """When a process started, in clock ticks after boot (proc_pid_stat(5)); empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return fields.rpartition(") ")[2].split()[19]


@cache
def _here() -> str:
    """Where process ids mean the same: one boot of one host, and one namespace (pid_namespaces(7))."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{zlib.crc32(f'{boot}{namespace}'.encode()):08x}"
