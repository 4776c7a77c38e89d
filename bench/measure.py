"""What the benchmarks share: timing whole processes, and keeping results.

Figures of different machines cannot be compared; ratios within one run can. So every result holds both.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Where it is set, what is measured would compile all of pvefw each time, and nothing of its peers."""

sys.path.insert(0, str(ROOT / "tests"))


def seconds(argv, *, env=None, cwd=None, limit=600):
    """How long a program takes, from its start to its end.

    :raises RuntimeError: it failed; with what it said.
    """
    started = time.perf_counter()
    done = subprocess.run(
        list(map(str, argv)),
        env={**os.environ, **AS_INSTALLED, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return elapsed


def side_by_side(measures, repeats):
    """The median of each measure; they take turns, so that a busy moment hits them all.

    :param measures: name to a function that gives seconds.
    """
    taken = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            taken[name].append(measure())
    return {name: statistics.median(values) for name, values in taken.items()}


def keep(name, results):
    """Write ``results/NAME.json``."""
    record = {
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        **results,
    }
    path = ROOT / "bench/results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"kept in {path.relative_to(ROOT)}")


def table(rows, head):
    """Print rows in columns."""
    lines = [head, *rows]
    widths = [max(len(str(line[at])) for line in lines) for at in range(len(head))]
    for line in lines:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)))
