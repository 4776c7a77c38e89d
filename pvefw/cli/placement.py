"""Where a command acts: on the files of a node, or on this machine.

With ``--node`` the files of another node are read and changed. This machine's disks, guests, memory and
services are its own, whatever node is named: there, another name is refused. Here it is decided, and
nowhere else.
"""

from pvefw.core.errors import UsageError
from pvefw.store.paths import Paths

ON_THIS_MACHINE = frozenset(
    {
        "boot",
        "boot-guests",
        "guest backend test",
        "guest list",
        "guest set",
        "guest show",
        "install-units",
        "ksm",
        "metrics install-timer",
        "migrateall",
        "node",
        "renew install-timer",
        "resumeall",
        "shutdown-guests",
        "startall",
        "stopall",
        "store",
        "suspendall",
    }
)
"""Commands, and groups with all that is in them."""
ON_THE_TREE = frozenset(
    {
        "acme",
        "apply",
        "cert",
        "completion",
        "config",
        "dns",
        "guest backend add",
        "guest backend config",
        "guest backend list",
        "guest backend remove",
        "guest backend set",
        "metrics",
        "observer",
        "plugin",
        "renew",
        "status",
        "task",
        "wakeonlan",
    }
)
"""The others. What neither names, another distribution's, is taken for one of these."""


def acts_here(command: str) -> bool:
    """Whether a command acts on this machine; the longest name that fits decides.

    :param command: its words: ``boot kernel pin``.
    """
    words = command.split()
    for length in range(len(words), 0, -1):
        name = " ".join(words[:length])
        if name in ON_THIS_MACHINE or name in ON_THE_TREE:
            return name in ON_THIS_MACHINE
    return False


def check(paths: Paths, command: str) -> None:
    """Refuse to act on this machine in the name of another node.

    :raises UsageError: it does, and the node is another one.
    """
    here = this_machine(paths)
    if acts_here(command) and here and paths.node != here:
        raise UsageError(
            f"{command}: it acts on this machine, {here}, not on node {paths.node}",
            hint=f"Run it there: ssh root@{paths.node} pvefw {command}",
        )


def this_machine(paths: Paths) -> str:
    """The name of the machine whose tree it is: of a tree elsewhere, that in its ``/etc/hostname``.

    :returns: empty where that cannot be known.
    """
    import os
    from pathlib import Path

    from pvefw.store import files

    if paths.root == Path("/"):
        return os.uname().nodename.partition(".")[0]
    try:
        hostname = (files.read_if_exists(paths.below("etc/hostname")) or b"").decode()
    except UnicodeDecodeError:
        return ""
    lines = [line.strip() for line in hostname.splitlines() if line.strip() and line[0] != "#"]
    return lines[0].partition(".")[0].lower() if lines else ""
