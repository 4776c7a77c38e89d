"""What cannot be tried while libfaketime shifts the clock (tools/anywhere.py), said where it is used."""

import os

import pytest


def needs_the_machines_clock(why: str) -> None:
    """Leave the running test out while the clock is shifted.

    :param why: somebody has a clock that cannot be shifted.
    """
    if "FAKETIME" in os.environ:
        pytest.skip(f"the clock is shifted, and {why}")
