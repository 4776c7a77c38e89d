"""Chromium, as Playwright drives it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from resources import uses

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextlib.contextmanager
@uses("server")
def chromium() -> "Iterator[Browser]":
    """Start Debian's Chromium. A process can have one at a time, and only as long as it is needed.

    Its threads would be looked upon as a plugin's that were left; Playwright cannot be started twice.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # root's cannot have one
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=program, args=sandbox)
        yield started
        started.close()
