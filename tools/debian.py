"""Install the Debian packages of the named groups, where they are missing and that is possible.

    python3 tools/debian.py GROUP...

The groups are in debian-packages.txt; ``plugins`` are all that are named like a folder of plugins/.
Without root, one sentence says what to install.
"""

import os
import subprocess
import sys
from pathlib import Path

import package_lists

LIST = Path(__file__).with_name("debian-packages.txt")
PLUGINS = Path(__file__).resolve().parent.parent / "plugins"


def groups() -> dict[str, list[str]]:
    """The packages of every group, each once, in the order of the list."""
    names_of: dict[str, list[str]] = {}
    for line in LIST.read_text().splitlines():
        group, colon, names = line.partition("#")[0].partition(":")
        if colon:
            names_of.setdefault(group.strip(), []).extend(names.split())
    return names_of


def packages(wanted: set[str]) -> list[str]:
    """The packages of these groups, each once."""
    known = groups()
    if "plugins" in wanted:
        wanted = wanted | {name for name in known if (PLUGINS / name).is_dir()}
    return list(dict.fromkeys(name for group in known if group in wanted for name in known[group]))


def installed(names: list[str]) -> set[str]:
    """Those of these packages that dpkg knows as installed."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (line.split() for line in asked.stdout.splitlines())
    return {line[0].partition(":")[0] for line in lines if line[-1] == "installed"}


def install(missing: list[str]) -> bool:
    """Install packages; where apt cannot, its package lists are brought up to date for another try."""
    if apt("install", *missing, quiet=True):
        return True
    problem = package_lists.bring_up_to_date(package_lists.HOUR)
    if problem:
        sys.stderr.write(f"{problem}\n")
    return apt("install", *missing)


def apt(*arguments: str, quiet: bool = False) -> bool:
    """Run apt-get; what it prints is shown only where it fails."""
    done = subprocess.run(
        ["apt-get", "--yes", "--no-install-recommends", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0 and not quiet:
        sys.stderr.write(done.stdout)
    return done.returncode == 0


def main(wanted: set[str]) -> str | None:
    """Make sure that groups are installed.

    :returns: ``None``, or the sentence that says what is missing.
    """
    names = packages(wanted)
    if not names:
        return None
    try:
        there = installed(names)
    except FileNotFoundError:
        return f"This is not Debian: install what these packages hold: {' '.join(names)}"
    missing = [name for name in names if name not in there]
    if not missing:
        return None
    sentence = f"Install the missing packages as root: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return sentence
    sys.stderr.write(f"Installing {' '.join(missing)}\n")
    return None if install(missing) else sentence


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
