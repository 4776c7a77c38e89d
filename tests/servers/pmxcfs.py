"""A cluster of nodes with one ``/etc/pve``, which answers as pmxcfs does.

Each node has a root of its own, and there a file system in user space on one shared directory. A node
that is cut off sees the copy of that moment, and every change is refused (EACCES); what is in the copy
is in the way of what would be made (EEXIST). Times are whole seconds.

A lock is a directory of ``priv/lock``: only the node that made it can renew it, anybody can remove it,
and to date it to 0 asks for its removal, which happens after two minutes without renewal.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_until

from servers.processes import process

_SERVER = Path(__file__).with_name("pmxcfs_server.py")
_STALE = 130.0


@dataclass
class Cluster:
    """Nodes with one ``/etc/pve``."""

    shared: Path
    """What all nodes see that are not cut off; tests may look, and make things older."""
    state: Path
    roots: dict[str, Path]
    """A root for each node."""

    def cut(self, node: str) -> None:
        """Take a node's quorum away: from now on it sees what was there."""
        made = self.state / f"{node}.new"
        shutil.copytree(self.shared, made / "copy")
        made.rename(self.state / node)

    def heal(self, node: str) -> None:
        """Let a node see the others again."""
        (self.state / node).rename(self.state / f"{node}.old")
        shutil.rmtree(self.state / f"{node}.old")

    def keep(self) -> None:
        """What is there now is there again after each :meth:`reset`."""
        shutil.copytree(self.shared, self.state / "kept")

    def reset(self) -> None:
        """Forget what was done since, on all nodes."""
        for node, root in self.roots.items():
            if (self.state / node).exists():
                self.heal(node)
            for local in ("var", "run"):
                shutil.rmtree(root / local, ignore_errors=True)
        for path in self.shared.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.state / "kept", self.shared, dirs_exist_ok=True)

    def locks(self) -> list[str]:
        """The locks that there are."""
        return sorted(path.name for path in (self.shared / "priv/lock").glob("*"))

    def age(self, lock: str) -> None:
        """Let a lock look as if nobody had renewed it for so long that it can be taken over."""
        then = time.time() - _STALE
        os.utime(self.shared / "priv/lock" / lock, (then, then))


def missing() -> str:
    """Why there can be no such file system here; empty where there can be one."""
    if os.geteuid() != 0:
        return "only root mounts"
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "this machine has no /dev/fuse"


@contextlib.contextmanager
def cluster(workdir: Path, names: Sequence[str]) -> Iterator[Cluster]:
    """Start the nodes."""
    shared, state = workdir / "shared", workdir / "state"
    state.mkdir(parents=True)
    roots = {name: workdir / name for name in names}
    with contextlib.ExitStack() as stack:
        for name, root in roots.items():
            (shared / "nodes" / name).mkdir(parents=True)
            mount_point = root / "etc/pve"
            mount_point.mkdir(parents=True)
            argv = [sys.executable, _SERVER, name, mount_point, shared, state]
            log = workdir / f"{name}.log"
            stack.enter_context(process([str(argument) for argument in argv], log))
            stack.callback(subprocess.run, ["umount", "--lazy", mount_point], check=False)
        for root in roots.values():
            mark = root / "etc/pve/.version"
            wait_until(mark.exists, f"{mark} is mounted", 60)
        yield Cluster(shared, state, roots)
