"""Measure branch coverage of every distribution, subprocesses included, against its floor.

    python tools/covered.py [OPTION...]
    python tools/covered.py --report

The options are pytest's. The stages of every run are measured but that of machines: what runs inside one
is not seen from outside. ``--report`` judges what was measured before. A distribution below its floor in
tests/coverage-floors.json is a failure; one above it raises its floor, so keep the file that is written.
With options of pytest only some tests are run: that is shown, and not judged.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from venv import ROOT, projects

from stages import NOTHING_RAN

FLOORS = ROOT / "tests/coverage-floors.json"
_STAGES = ("quick", "servers")


def coverage(*arguments: str | Path) -> int:
    """Run coverage.py; its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False
    ).returncode


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
    if options != ["--report"]:
        coverage("erase")
        for stage in _STAGES:
            side_by_side = ["-n", "auto", "--dist", "loadgroup"]
            status = coverage("run", "-m", "pytest", "--stage", stage, *side_by_side, *options)
            if status not in (0, NOTHING_RAN):
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
