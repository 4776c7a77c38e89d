"""Tests that only root can run; an ordinary user hears at the end of all of them, in one sentence."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

_REASON = "only root "


def only_root(does: str) -> pytest.MarkDecorator:
    """A mark for tests that an ordinary user cannot run.

    :param does: what they do that only root can, so that it ends a sentence.
    """
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"{_REASON}{does}")


def sentence(skipped: Iterable[pytest.TestReport]) -> str:
    """What an ordinary user could not run; empty where that is nothing."""
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    found = [reason.partition(_REASON)[2] for reason in reasons if _REASON in reason]
    what = ", ".join(sorted(set(found)))
    return f"{len(found)} tests were left out, because only root {what}." if found else ""


def seen_by_others(place: Path) -> None:
    """Skip the test where an ordinary user cannot read a place, as a checkout below ``/root``."""
    if any(not folder.stat().st_mode & 0o001 for folder in (place, *place.parents)):
        pytest.skip(f"an ordinary user cannot read {place}: clone it to another place")
