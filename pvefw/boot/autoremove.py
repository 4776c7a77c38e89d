"""Keeps ``apt autoremove`` from the kernels that somebody chose: a snippet of APT's own configuration.

A package whose name matches one of ``APT::NeverAutoRemove`` is not removed by itself (apt.conf(5)).
"""

import re
from collections.abc import Iterable

from pvefw.boot import choice, kernels
from pvefw.boot.hooks import SNIPPET, are_installed
from pvefw.core.model import Task
from pvefw.store import files
from pvefw.store.paths import Paths

_HEAD = "// Written by pvefw boot refresh: kernels that are pinned, manual, running or next.\n"
_NAMES = "^(linux-image|linux-headers|linux-modules|proxmox-kernel|pve-kernel)-(unsigned-)?"
"""Packages of one kernel in Debian, Ubuntu and Proxmox VE."""


def protect(paths: Paths, task: Task) -> None:
    """Write the snippet, where our hooks are installed.

    :raises StoreError: it cannot be written.
    """
    if not are_installed(paths):
        return
    chosen = choice.load(paths)
    wanted = {*chosen.manual, chosen.pinned, chosen.next_boot, kernels.running()} - {None, ""}
    data = text(version for version in wanted if version).encode()
    path = paths.below(SNIPPET)
    if files.read_if_exists(path) != data:
        files.replace(path, data)
        task.log(f"{path}: apt autoremove leaves {', '.join(sorted(map(str, wanted)))} alone")


def text(versions: Iterable[str]) -> str:
    """The snippet for these kernels."""
    lines = [f'  "{_NAMES}{_quoted(version)}(-signed)?$";\n' for version in sorted(versions)]
    return f"{_HEAD}APT::NeverAutoRemove\n{{\n{''.join(lines)}}};\n"


def _quoted(version: str) -> str:
    """For a regular expression of POSIX: what versions have of its operators."""
    return re.sub(r"[.+]", r"\\\g<0>", version)
