"""For the tests of core and of every plugin: default signals, and what an ordinary user cannot run."""

import signal
from types import FrameType

import privileges
import pytest


def pytest_configure() -> None:
    """Let programs that tests start have default signals, whatever was ignored when the tests began.

    A shell ignores SIGINT and SIGQUIT for what it runs in the background, nohup SIGHUP, and some daemons
    SIGCHLD for all that they start. An ignored signal is inherited, a handler is not: so the tests
    themselves go on ignoring what they were asked to.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python's own two
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else _nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    said = privileges.sentence(terminalreporter.stats.get("skipped", []))
    if said:
        terminalreporter.write_line(said)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
