"""Standard input, output and error, where one is closed or nobody reads it any more."""

import os
import sys


def open_standard_streams() -> None:
    """Where one is closed, the next file that is opened would take its place and get our output."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number: this one
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def leave_standard_output() -> None:
    """Print to nobody from now on. Python itself would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
