"""Whether `make coverage` measures this run."""

import os

import pytest

without_coverage = pytest.mark.skipif(
    "COVERAGE_PROCESS_CONFIG" in os.environ,
    reason="coverage.py is in every process, and would be counted as well",
)
"""For tests that count what a process of pvefw imports and does, or whether it is measured."""
