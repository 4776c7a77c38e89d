"""``pvefw`` on a host whose ESPs are directories, with the real systemd-boot on them.

Usage: boot_host.py PLACE ARGUMENTS...; in PLACE are ``root``, ``esps`` and ``efivars``. If commands run
apart, there is ``bin/apart``, too: it is called as Python would be, and starts this again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from boot.conftest import loaders_of
from servers.directory_machine import DirectoryMachine

from pvefw.boot.loaders import Loaders
from pvefw.cli import boot_context
from pvefw.cli.run import run
from pvefw_bootloader_systemd import SystemdBoot


class Loader(SystemdBoot):
    """The plugin, under its own name."""

    name = "systemd-boot"


def main(place, *arguments):
    machine = DirectoryMachine(Path(place) / "esps")
    loaders = loaders_of(Loader(efivars=Path(place) / "efivars"))
    apart = Path(place) / "bin/apart"
    if apart.exists():
        sys.executable = str(apart)
    boot_context.machine = lambda _app: machine
    Loaders.load = classmethod(lambda _cls, _paths: loaders)
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
