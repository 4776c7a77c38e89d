"""Run the tests in stages, each dearer than those before it, and stop where one fails.

    python tools/stages.py [OPTION...]

The options are pytest's. What belongs to which stage says tests/resources.py; the tests of the night are
left to `make test-slow`. At the end there is pytest's closing line of every stage that was run.
"""

import os
import re
import subprocess
import sys

STAGES = ("quick", "servers", "machines", "night")
_EVERY_TIME = STAGES[:-1]
_CLOSING = re.compile(rb"^=+ .* in [0-9.]+s\b.*=+$", re.MULTILINE)
NOTHING_RAN = 5
"""pytest's exit status where the options leave nothing of a stage."""


def run(stage: str, options: list[str]) -> tuple[int, str]:
    """Run one stage, and show what it prints.

    :returns: pytest's exit status and its closing line.
    """
    color = ["--color=yes"] if sys.stdout.isatty() else []
    pytest = [sys.executable, "-m", "pytest", "--stage", stage, "-n", "auto", *color]
    tail = b""
    with subprocess.Popen(
        [*pytest, "--dist", "loadgroup", *options], stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        while piece := os.read(running.stdout.fileno(), 1 << 16):
            os.write(sys.stdout.fileno(), piece)
            tail = (tail + piece)[-10_000:]
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", tail)
    closing = _CLOSING.findall(plain) or [b"no closing line of pytest"]
    return running.returncode, closing[-1].decode()


def main(options: list[str]) -> int:
    """Run the stages.

    :returns: the exit status of the one that failed; 0 where all passed.
    """
    ended: dict[str, tuple[int, str]] = {}
    for stage in _EVERY_TIME:
        print(f"--- {stage} ---", flush=True)
        ended[stage] = run(stage, options)
        if ended[stage][0] not in (0, NOTHING_RAN):
            break
    statuses = [status for status, _ in ended.values()]
    failed = statuses[-1] if statuses[-1] != NOTHING_RAN else 0
    not_run = _EVERY_TIME[len(ended) :]
    print()
    if failed:
        left = f"; not run: {', '.join(not_run)}" if not_run else ""
        print(f"Stage {list(ended)[-1]} failed{left}")
    for _, closing in ended.values():
        print(closing)
    return NOTHING_RAN if set(statuses) == {NOTHING_RAN} else failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
