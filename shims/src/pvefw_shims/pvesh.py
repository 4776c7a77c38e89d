"""``pvesh``: the API on the command line, as Proxmox VE's command of this name has it."""

import sys
from pathlib import Path

ORIGINAL = Path("/usr/share/perl5/PVE/CLI/pvesh.pm")
"""Where Proxmox VE's own pvesh is."""


def main() -> None:
    """``pvesh ARGUMENTS``; never on a host that has the original, whose API has more than ours."""
    if ORIGINAL.exists():
        sys.exit("pvesh: this host has Proxmox VE's own: /usr/bin/pvesh")
    from pvefw.cli.run import run
    from pvefw.cli.streams import carry_out

    carry_out(lambda: run(["api", *sys.argv[1:]]))
