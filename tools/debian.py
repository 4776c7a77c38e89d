"""Install the Debian packages of the named groups, where they are missing and that is possible.

    python3 tools/debian.py GROUP...

The groups stand in debian-packages.txt. Without root, one sentence says what to install.
"""

import os
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_name("debian-packages.txt")


def packages(groups: set[str]) -> list[str]:
    """The packages of these groups, each once, in the order of the list."""
    found: list[str] = []
    for line in LIST.read_text().splitlines():
        group, _, names = line.partition("#")[0].partition(":")
        if group.strip() in groups:
            found += [name for name in names.split() if name not in found]
    return found


def is_installed(package: str) -> bool:
    """Whether dpkg knows the package as installed."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout == "installed"


def install(missing: list[str]) -> bool:
    """Install packages; the package lists are fetched only where they are not known."""
    apt = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def run(*arguments: str) -> int:
        command = [*apt, *arguments]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        ).returncode

    if run("install", *missing) != 0:
        return run("update") == 0 and run("install", *missing) == 0
    return True


def main(groups: set[str]) -> str | None:
    """Make sure that the groups are installed.

    :returns: ``None``, or the sentence that says what is missing.
    """
    try:
        missing = [package for package in packages(groups) if not is_installed(package)]
    except FileNotFoundError:
        return f"This is not Debian: install what these packages hold: {' '.join(packages(groups))}"
    if not missing:
        return None
    sentence = f"Install the missing packages as root: apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return sentence
    sys.stderr.write(f"Installing {' '.join(missing)}\n")
    return None if install(missing) else sentence


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
