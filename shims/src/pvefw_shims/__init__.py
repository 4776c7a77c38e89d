"""The reference's commands under their own names, carried out by pvefw."""

import sys

__all__ = ["proxmox_boot_tool", "pvenode"]


def pvenode() -> None:
    """``pvenode ARGUMENTS``."""
    _run(sys.argv[1:])


def proxmox_boot_tool() -> None:
    """``proxmox-boot-tool ARGUMENTS``; it formats without asking, as the original does."""
    arguments = sys.argv[1:]
    consent = ["--yes"] if arguments[:1] == ["format"] else []
    _run(["boot", *arguments, *consent])


def _run(arguments: list[str]) -> None:
    from pvefw.cli.run import run

    sys.exit(run(arguments))
