"""Which tests take long by themselves: measured, and kept in tests/slow.txt.

They use nothing beside their own process, and would still keep somebody waiting who runs the quick ones
at every change. A test that is new is quick until somebody measures again with ``make slow``.
"""

from collections import defaultdict

import pytest
import resources

LONGEST = 0.05
"""Seconds that a quick test takes on average, with its fixtures."""


class Recorder:
    """A plugin of pytest that adds up what each test took, and writes the file at the end."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, float] = defaultdict(float)
        self._runs: defaultdict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = resources.name_of(report.nodeid)
        self._taken[name] += report.duration
        self._runs[name] += report.when == "call"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):  # only the one that hears of all
            return
        slow = [
            name for name, runs in self._runs.items() if runs and self._taken[name] > LONGEST * runs
        ]
        resources.SLOW.write_text("".join(f"{name}\n" for name in sorted(slow)))
