"""The reference's commands under their own names, carried out by pvefw."""

import sys
from pathlib import Path

__all__ = ["proxmox_boot_tool", "pvenode", "pvesh"]

ORIGINAL = Path("/usr/share/perl5/PVE/CLI/pvesh.pm")
"""Where Proxmox VE's own pvesh is."""


def pvenode() -> None:
    """``pvenode ARGUMENTS``."""
    _run(sys.argv[1:])


def proxmox_boot_tool() -> None:
    """``proxmox-boot-tool ARGUMENTS``; it formats without asking, as the original does."""
    arguments = sys.argv[1:]
    consent = ["--yes"] if arguments[:1] == ["format"] else []
    _run(["boot", *arguments, *consent])


def pvesh() -> None:
    """``pvesh ARGUMENTS``; never on a host that has the original, whose API has more than ours."""
    if ORIGINAL.exists():
        sys.exit("pvesh: this host has Proxmox VE's own: /usr/bin/pvesh")
    _run(["api", *sys.argv[1:]])


def _run(arguments: list[str]) -> None:
    from pvefw.cli.run import run

    sys.exit(run(arguments))
