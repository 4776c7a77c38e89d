"""Pin everything that .venv holds, but for this repository's own distributions, in constraints.txt."""

import subprocess
import sys
from pathlib import Path

HEADER = """\
# The versions that tests run with: everything that .venv holds but this repository's distributions.
# `make constraints` writes it. It pins; what is needed is said in each pyproject.toml.
"""


def main() -> None:
    """Write the file from what is installed next to this interpreter."""
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    Path(__file__).parents[1].joinpath("constraints.txt").write_text(HEADER + frozen)


if __name__ == "__main__":
    main()
