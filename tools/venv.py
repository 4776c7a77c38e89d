"""Make .venv, or bring it up to date: this distribution, the shims, and every plugin, editable.

    python3 tools/venv.py [--resolve] [GROUP...]

The groups of Debian packages are what a command of the Makefile needs beside the environment: who
cannot install them hears of all at once. Libraries of others are installed from files whose hashes are
known; ``--resolve`` adds what is needed and not pinned yet, for `make constraints`. Runs before there is
an environment, so it needs the standard library only. What was installed is remembered in
.venv/installed-from; where that still holds, nothing is done.
"""

import fcntl
import hashlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import debian
import hashed

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
STAMP = VENV / "installed-from"
BUILDS_LIBRARIES = "setuptools"  # those of which there are only sources
CONSTRAINTS = ROOT / "constraints.txt"


def projects() -> list[Path]:
    """The folders of this repository's distributions, core first."""
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    return [ROOT, *plugins, ROOT / "shims"]


def built() -> list[Path]:
    """Those whose dependencies have no wheels: what builds them is a group of Debian packages."""
    groups = debian.groups()
    return [project for project in projects() if project != ROOT and project.name in groups]


def left_out() -> dict[Path, str]:
    """Those whose dependencies cannot be built here, and why."""
    problems = {}
    for folder in built():
        problem = debian.main({folder.name})
        if problem:
            problems[folder] = problem
    return problems


def fingerprint(folders: list[Path]) -> str:
    """What the environment is made from; it is made again where the place or interpreter changes."""
    inputs = [
        Path(__file__),
        CONSTRAINTS,
        hashed.HASHES,
        *(folder / "pyproject.toml" for folder in folders),
    ]
    digest = hashlib.sha256()
    for source in inputs:
        digest.update(f"{source.relative_to(ROOT)}\n".encode() + source.read_bytes())
    return f"{ROOT} {sys.version.split()[0]}\n{digest.hexdigest()}\n"


def make() -> None:
    """An empty environment."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)


def pip(*arguments: str | Path) -> None:
    """Run the environment's pip."""
    quiet = [] if "check" in arguments else ["-qq"]  # its findings are not errors to pip's -q
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *quiet, *arguments]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


def needs(folder: Path) -> set[str]:
    """The names of what a distribution depends on."""
    import tomllib

    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return {
        hashed.normalized(re.split(r"[^\w.-]", dependency)[0])
        for dependency in project["dependencies"]
    }


def install_libraries(folders: list[Path]) -> None:
    """Install what is pinned, but for what only distributions need that are left out.

    :raises RefusedError: an index has a file whose hash is not known.
    """
    others = set().union(*(needs(project) for project in projects() if project not in folders))
    others -= set().union(*map(needs, folders))
    names = hashed.requirements(hashed.HASHES.read_text()).keys() - others
    hashed.install(PYTHON, [BUILDS_LIBRARIES])
    hashed.install(PYTHON, sorted(names))


def install(folders: list[Path], *, resolve: bool) -> None:
    """Install distributions, and remove those whose folder is gone.

    :param resolve: install what they need and is not pinned, too.
    """
    import tomllib

    targets: list[str | Path] = []
    names: set[str] = set()
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        names.add(project["name"])
        extras = "[dev]" if "dev" in project.get("optional-dependencies", {}) else ""
        targets += ["--editable", f"{folder}{extras}"]
    if not resolve:
        targets += ["--no-deps"]
    # the build tool is there already, pinned: an environment of its own for each would take minutes
    pip("install", "--constraint", CONSTRAINTS, "--no-build-isolation", *targets)
    gone = installed_projects() - names
    if gone:
        pip("uninstall", "--yes", *gone)
    pip("check")


def installed_projects() -> set[str]:
    """The names of this project's distributions in the environment."""
    listed = subprocess.run(
        [
            PYTHON,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "list",
            "--editable",
            "--format=freeze",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.partition("==")[0] for line in listed.stdout.splitlines()}


def works() -> bool:
    """Whether there is an environment that can be brought up to date."""
    if not PYTHON.exists():
        return False
    runs = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False)
    return runs.returncode == 0


def main(groups: set[str], *, resolve: bool = False) -> str | None:
    """Bring the environment up to date.

    :param groups: of Debian packages that have to be there, too.
    :param resolve: install what is needed and not pinned, too.
    :returns: ``None``, or the sentence that says why not.
    """
    if importlib.util.find_spec("ensurepip") is None:
        groups = groups | {"venv"}
    problem = debian.main(groups)
    if problem:
        return problem
    missing = left_out()
    for folder, why in missing.items():
        sys.stderr.write(f"Without plugins/{folder.name}. {why}\n")
    folders = [project for project in projects() if project not in missing]
    wanted = fingerprint(folders)
    with (ROOT / "pyproject.toml").open() as lock:  # two makes at once would spoil it
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = STAMP.read_text() if STAMP.exists() else ""
        if known == wanted and PYTHON.exists() and not resolve:
            return None
        elsewhere = known and known.splitlines()[0] != wanted.splitlines()[0]
        try:
            if elsewhere or not works():
                make()
            sys.stderr.write("Installing pvefw and its plugins into .venv\n")
            install_libraries(folders)
            install(folders, resolve=resolve)
        except hashed.RefusedError as error:
            return str(error)
        except subprocess.CalledProcessError as error:
            failed = shlex.join(map(str, error.cmd))
            return f"The environment could not be made, see above; this failed: {failed}"
        STAMP.write_text(wanted)
    return None


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - the sentence is for whoever has an older one
        sys.exit("pvefw needs Python 3.11 or later: make PYTHON=/path/to/python3")
    words = set(sys.argv[1:])
    sys.exit(main(words - {"--resolve"}, resolve="--resolve" in words))
