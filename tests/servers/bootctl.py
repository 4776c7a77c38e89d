"""The real bootctl(1), for ESPs that are directories."""

import shutil
from pathlib import Path

_SCRIPT = """#!/bin/sh
# bootctl wants the root of a file system, and here is none of vfat: a tmpfs, and then a copy
[ "$(id -u)" = 0 ] || as_root="--user --map-root-user"
exec unshare $as_root --mount sh -c '
esp=${{1#--esp-path=}}
shift
{before}
mount -t tmpfs tmpfs {mnt} && cp -a "$esp/." {mnt}
SYSTEMD_RELAX_ESP_CHECKS=1 {bootctl} --esp-path={mnt} "$@" || exit
cp -a {mnt}/. "$esp"
' sh "$@"
"""


def write_bootctl(folder: Path, mnt: Path, before: str = ":") -> None:
    """Put a program ``bootctl`` into a folder that is first in PATH.

    :param mnt: where it may mount something, for itself only.
    :param before: a shell line that runs before it.
    """
    bootctl = shutil.which("bootctl", path="/usr/bin:/bin:/usr/sbin:/sbin")
    assert bootctl, "bootctl is not installed: apt install systemd-boot"
    script = folder / "bootctl"
    script.write_text(_SCRIPT.format(bootctl=bootctl, mnt=mnt, before=before))
    script.chmod(0o755)
