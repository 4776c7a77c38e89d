"""Libraries of others: installed at the versions of constraints.txt, and only from files whose hash is in
hashes.txt, whatever an index or a mirror hands out.

Each requirement there names one version and the hashes of its files, so pip checks them (its
``--require-hashes``), and has nothing to resolve. `make constraints` writes both files. Runs before there
is an environment, so it needs the standard library only.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HASHES = Path(__file__).resolve().parent.parent / "hashes.txt"


class RefusedError(Exception):
    """A file has another hash than those that are known; the sentence that names it."""


def normalized(name: str) -> str:
    """A name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(text: str) -> dict[str, str]:
    """The requirements of a file with hashes, by normalized name."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return {normalized(line.partition("==")[0]): line for line in joined.splitlines() if line}


def install(python: Path | str, names: Iterable[str], *options: str, file: Path = HASHES) -> None:
    """Install some of the libraries in a file with hashes, without what they need.

    :param options: of ``pip install``.
    :raises RefusedError: an index has another file than those that are known.
    :raises KeyError: a name is not in the file.
    :raises CalledProcessError: pip failed otherwise; it has said why.
    """
    known = requirements(file.read_text())
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install", *options]
    # what builds a library is in the environment already, with a hash: isolation would fetch it without
    command += ["--require-hashes", "--no-deps", "--no-build-isolation", "-r", "/dev/stdin"]
    done = subprocess.run(
        command,
        input="".join(f"{known[normalized(name)]}\n" for name in names),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wrong = re.search(r"DO NOT MATCH THE HASHES.*?^\s+(\S+)", done.stderr, re.DOTALL | re.MULTILINE)
    if wrong:
        got = re.search(r"^\s+Got\s+(\w+)", done.stderr, re.MULTILINE)
        raise RefusedError(
            f"{wrong[1]}: refused, for {file.name} does not know the file that the index has"
            f"{f' (sha256 {got[1]})' if got else ''}: somebody may have changed it"
        )
    sys.stderr.write(done.stderr)
    done.check_returncode()
