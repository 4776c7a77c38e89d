"""Clean environments: an interpreter with pvefw and chosen distributions as wheels, and nothing editable.

The libraries of others are links to those of the environment that runs the tests, so nothing is fetched.
"""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from resources import uses

ROOT = Path(__file__).resolve().parents[1]
_QUIET = {"PYTEST_ADDOPTS": "", "PYTHONPATH": ""}


@uses("build")
def wheel(project: Path, into: Path) -> Path:
    """Build a project's wheel."""
    into.mkdir(exist_ok=True)
    before = set(into.iterdir())
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", into, project)
    [built] = set(into.iterdir()) - before
    return built


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Environment:
    """An interpreter of its own."""

    python: Path

    def run(self, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """``python -m …`` in it, however it ends."""
        return subprocess.run(
            [self.python, "-m", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **_QUIET},
        )

    def pytest(self, project: Path, *options: object) -> subprocess.CompletedProcess[str]:
        """The tests of a project, however they end."""
        without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "hypothesispytest")]
        return self.run("pytest", "-q", "-rA", "--tb=native", *without, *options, cwd=project)

    def install(self, *wheels: Path) -> None:
        options = ["--quiet", "--no-index", "--no-deps", "--force-reinstall"]
        pip("--python", self.python, "install", *options, *wheels)

    def distributions(self) -> set[str]:
        """The names of everything that is installed and is pvefw's or one of its plugins."""
        code = (
            "import json; from importlib import metadata as m; "
            "print(json.dumps([one.name for one in m.distributions() if 'pvefw' in one.name]))"
        )
        done = subprocess.run(
            [self.python, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **_QUIET},
        )
        return set(json.loads(done.stdout))


@uses("build")
def environment(place: Path, *wheels: Path) -> Environment:
    """Make an environment with these wheels, if any."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    [site] = place.glob("lib/python3*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "pvefw" not in path.name.lower() and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    made = Environment(place / "bin/python")
    if wheels:
        made.install(*wheels)
    return made
