"""Build the sdist and the wheel of every distribution of this repository into dist/.

    python tools/dist.py [DIRECTORY]

The same sources give the same bytes, wherever and whenever they are built; each wheel is made from its
sdist, as an index or a distributor would make it.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from venv import ROOT, projects


def build(project: Path, target: Path) -> None:
    """Build one distribution.

    :raises CalledProcessError: it cannot be built; the build tool's own words.
    """
    # without a date from outside, the build tool writes its own constant one into the archives
    env = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, project],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )


def main(target: Path) -> str | None:
    """Build everything.

    :returns: ``None``, or the sentence that says what could not be built.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in [*target.glob("*.whl"), *target.glob("*.tar.gz")]:
        old.unlink()
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda project: build(project, target), projects()))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stdout.decode(errors="replace"))
        return f"{error.cmd[-1]} could not be built"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist"))
