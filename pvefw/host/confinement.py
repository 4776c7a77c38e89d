"""Keeping a program apart from everything else here: with bubblewrap, bwrap(1).

The program sees the file system read-only and without what is secret, no process but its own, and writes
to memory that goes with it. As root it also gets a user id that nobody else has, not even another such
program at the same time: they could read each other's memory.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

HOME = "/tmp"  # noqa: S108 - a private one
_HIDDEN = (
    *("/var/tmp", "/run", "/root", "/home", "/media", "/mnt", "/etc/pve", "/etc/pvefw"),  # noqa: S108 - hidden
    *("/var/lib/pvefw", "/var/lib/pve-cluster", "/var/log", "/etc/ssh", "/etc/ssl/private"),
)
_FIRST, _COUNT = 1_900_000_000, 1 << 24
"""User ids that no distribution gives away: above those of containers, below systemd's last ranges."""
_SMALL_FIRST, _SMALL_COUNT = 61184, 4336
"""Where a container has 65536 of them only: those that systemd takes for a service's time."""
_NAMES = Path("/etc/resolv.conf")


def own_id() -> int:
    """A user id for one run."""
    first, count = (_FIRST, _COUNT) if _is_mapped(_FIRST + _COUNT) else (_SMALL_FIRST, _SMALL_COUNT)
    return first + secrets.randbelow(count)


def is_own_id(user: int) -> bool:
    """Whether a user id is one of those that :func:`own_id` gives."""
    ranges = ((_FIRST, _COUNT), (_SMALL_FIRST, _SMALL_COUNT))
    return any(first <= user < first + count for first, count in ranges)


def _is_mapped(user: int) -> bool:
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    ranges = [list(map(int, line.split())) for line in lines]
    return any(first <= user < first + count for first, _, count in ranges)


def command(
    inner: Sequence[str], workdir: Path | None, size: int, root: Path = Path("/")
) -> list[str]:
    """The command line that runs ``inner`` apart.

    As root it has to become somebody else first of all: it may do so, and nothing more.

    :param workdir: a directory that it may write to beside its private one.
    :param size: bytes that it may write to its private one.
    """
    if os.geteuid() == 0:
        who = [
            word
            for capability in ("SETUID", "SETGID", "SETPCAP")
            for word in ("--cap-add", f"CAP_{capability}")
        ]
    else:
        who = ["--unshare-user"]
    hidden = [folder for folder in _HIDDEN if (root / folder.lstrip("/")).is_dir()]
    names = os.path.realpath(_NAMES)  # below /run, where systemd-resolved is
    return [
        *("bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc"),
        *(*who, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *(word for folder in hidden for word in ("--tmpfs", folder)),
        *("--ro-bind-try", names, names),
        *("--size", str(size), "--perms", "1777", "--tmpfs", HOME),
        *("--perms", "1777", "--size", str(size), "--tmpfs", "/dev/shm"),  # noqa: S108 - private
        *(_bound(workdir) if workdir else ()),
        *(word for folder in hidden for word in ("--remount-ro", folder)),
        *("--chdir", str(workdir or HOME), "--", *inner),
    ]


def _bound(workdir: Path) -> list[str]:
    """A directory where it is outside, also below one that is hidden."""
    parents = [str(parent) for parent in reversed(workdir.parents) if parent != Path("/")]
    ways = [word for parent in parents for word in ("--perms", "0755", "--dir", parent)]
    return [*ways, "--bind", str(workdir), str(workdir)]
