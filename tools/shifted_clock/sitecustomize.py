"""Python's sleep under libfaketime, for tools/anywhere.py.

``time.sleep`` waits with clock_nanosleep(2) for a moment of the monotonic clock. libfaketime 0.9.10 moves
that moment although it was asked to leave this clock alone, and the sleep ends at once, with EINVAL.
"""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex) -> None:
    """Wait so many seconds."""
    select.select([], [], [], float(seconds))


time.sleep = sleep
