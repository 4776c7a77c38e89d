"""The unique process id of a task, in Proxmox VE's form."""

import re
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import UsageError
from pvefw.store.paths import Paths

_NUMBER = r"[0-9A-Fa-f]{8}|[1-9A-Fa-f][0-9A-Fa-f]{8,14}"  # padded to eight digits, perhaps longer
_WORD = r"[^:\s/\x00-\x1f]"
PATTERN = (
    r"UPID:(?P<node>[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
    rf":(?P<pid>{_NUMBER}):(?P<pstart>{_NUMBER}):(?P<start>[0-9A-Fa-f]{{8}})"
    rf":(?P<type>{_WORD}+):(?P<id>{_WORD}*):(?P<user>{_WORD}+):"
)
"""A UPID, for patterns of lines that begin with one."""
_FORM = re.compile(PATTERN)
_ENDED = ("Z", "X")
"""States of a process that is no more (``proc_pid_stat(5)``)."""
_UNSAFE = re.compile(r"[^a-zA-Z0-9._@!-]")


@dataclass(frozen=True)
class Upid:
    """``UPID:node:pid:pstart:start:type:id:user:``; numbers are hexadecimal in the text."""

    node: str
    pid: int
    pstart: int
    """The process' start, in clock ticks after boot (field 22 of ``/proc/PID/stat``)."""
    start: int
    """Seconds since the epoch."""
    type: str
    id: str
    user: str

    def __str__(self) -> str:
        return (
            f"UPID:{self.node}:{self.pid:08X}:{self.pstart:08X}:{self.start:08X}"
            f":{self.type}:{self.id}:{self.user}:"
        )

    @classmethod
    def parse(cls, text: str) -> "Upid":
        """Read a UPID.

        :raises UsageError: it is none.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            cut = _FORM.fullmatch(f"{text}:") is not None
            raise UsageError(
                f"'{text}' is not a task id",
                hint=f"Its last colon is missing: '{text}:'"
                if cut
                else "It looks like UPID:node:PID:PSTART:START:type:id:user: (see `pvefw task list`).",
            )
        return cls.of(match)

    @classmethod
    def of(cls, match: re.Match[str]) -> "Upid":
        """The UPID in what matched a pattern with :data:`PATTERN`."""
        return cls(
            match["node"],
            int(match["pid"], 16),
            int(match["pstart"], 16),
            int(match["start"], 16),
            match["type"],
            match["id"],
            match["user"],
        )

    def log_path(self, paths: Paths) -> Path:
        """Where the task's log lies: below the last hex digit of its start."""
        text = str(self)
        return paths.task_dir / f"{self.start & 0xF:X}" / text


def safe_id(text: str) -> str:
    """A task's id without the characters that a UPID cannot hold, each as ``%XX``."""
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks after boot.

    ``None`` where it does not run, or has ended and its parent has not asked how.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name in parentheses may hold anything, so count from its end: state is field 3
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else int(fields[19])


def runs(upid: Upid) -> bool:
    """Whether the task's process is still there: the same pid and the same start, not a recycled pid."""
    return process_start(upid.pid) == upid.pstart
