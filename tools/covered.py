"""Measure branch coverage of every distribution, subprocesses included, against its floor.

    python tools/covered.py [OPTION...]
    python tools/covered.py --report

The options are pytest's. The stages of every run are measured but that of machines: what runs inside one
is not seen from outside. ``--report`` judges what was measured before. A distribution below its floor in
tests/coverage-floors.json is a failure; one above it raises its floor, so keep the file that is written.
With options of pytest only some tests are run: that is shown, and not judged.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from venv import ROOT, projects

from coverage import Coverage
from stages import NOTHING_RAN

FLOORS = ROOT / "tests/coverage-floors.json"
_DATA = ROOT / ".coverage-data"
_STAGES = ("quick", "servers")
_SOME_FAILED = 1
"""pytest's exit status. Such tests are run once more, alone: with Python 3.11 a thread cannot start while
another one begins to be traced ("Cannot install a trace function")."""
_HOOK = Path(sysconfig.get_path("purelib"), "a0_covered.pth")  # before coverage.py's own, by name


def coverage(*arguments: str | Path) -> int:
    """Run coverage.py; its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False
    ).returncode


@contextlib.contextmanager
def everywhere() -> Iterator[None]:
    """Measure every Python of this environment, whatever variables it has, while this process lives.

    pvefw starts some of its processes with a clean environment, and coverage.py finds its own children
    by a variable.
    """
    config = Coverage(config_file=ROOT / "pyproject.toml").config.serialize()
    is_measured = f"os.path.exists('/proc/{os.getpid()}')"
    variable = f"os.environ.setdefault('COVERAGE_PROCESS_CONFIG', '{config}')"
    _HOOK.write_text(f"import os; {is_measured} and {variable}\n")
    try:
        yield
    finally:
        _HOOK.unlink()


def _measure(options: Sequence[str]) -> int:
    """Run every stage, until one fails twice; pytest's exit status."""
    shutil.rmtree(_DATA, ignore_errors=True)
    _DATA.mkdir()
    _DATA.chmod(0o1777)  # the HTTPS service runs as another user
    for stage in _STAGES:
        side_by_side = ["-n", "auto", "--dist", "loadgroup"]
        status = _run("--stage", stage, *side_by_side, *options)
        if status == _SOME_FAILED:
            status = _run("--stage", stage, "--last-failed", *options)
        if status not in (0, NOTHING_RAN):
            return status
    return 0


def _run(*options: str) -> int:
    return coverage("run", "-m", "pytest", *options)


def measured(files: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Per cent of lines and branches that were run, by the name of a distribution's folder.

    :param files: as in coverage.py's JSON report; paths are relative to the root of the tree.
    """
    folders = {
        project.name: f"{project.relative_to(ROOT)}/" for project in projects() if project != ROOT
    }
    percentages = {}
    for name, prefix in {"pvefw": "pvefw/", **folders}.items():
        sums = [file["summary"] for path, file in files.items() if path.startswith(prefix)]
        run = sum(digest["covered_lines"] + digest["covered_branches"] for digest in sums)
        everything = sum(digest["num_statements"] + digest["num_branches"] for digest in sums)
        percentages[name] = 100 * run / everything if everything else 0.0
    return percentages


def judge(
    percentages: Mapping[str, float], floors: Mapping[str, int]
) -> tuple[dict[str, int], str]:
    """The floors from now on, which are never lower, and what is below them.

    :returns: the new floors in whole per cents, and a sentence, or nothing where all is well.
    """
    below = [
        f"{name} has {percent:.1f} %, its floor is {floors[name]} %"
        for name, percent in percentages.items()
        if percent < floors.get(name, 0)
    ]
    raised = {name: max(floors.get(name, 0), int(percent)) for name, percent in percentages.items()}
    return raised, f"Coverage has fallen: {'; '.join(below)}" if below else ""


def main(options: list[str]) -> str | int | None:
    """Measure, show, judge.

    :returns: ``None``, or the exit status of the tests, or the sentence that says what fell.
    """
    os.environ["COVERAGE_FILE"] = str(_DATA / ".coverage")
    if options != ["--report"]:
        with everywhere():
            status = _measure(options)
        if status != 0:
            return status
        coverage("combine", "--quiet")
    report = ROOT / ".coverage-report.json"  # no name that `combine` takes for data
    coverage("json", "--quiet", "-o", report)
    percentages = measured(json.loads(report.read_text())["files"])
    floors = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
    raised, problem = judge(percentages, floors)
    for name, percent in percentages.items():
        print(f"{name:20} {percent:5.1f} %   floor {floors.get(name, 0)} %")
    if options not in ([], ["--report"]):
        return None
    FLOORS.write_text(json.dumps(raised, indent=2, sort_keys=True) + "\n")
    return problem or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
