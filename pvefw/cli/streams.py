"""Standard input, output and error, where one is closed or has no reader left."""

import atexit
import contextlib
import os
import sys
import warnings

TYPE_CHECKING = False  # as typing has it; `--version` would wait for its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_THREADS = "/proc/self/task"
"""All of this process's (proc(5)): those of libraries, too, of which Python does not know."""


def open_standard_streams() -> None:
    """Where one is closed, the next file that is opened would take its place and get our output."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number: this one
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def say(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print for people: without what a terminal obeys, and without the secrets of plugins in use.

    Everything that others may have had a hand in is printed by this, or by what :mod:`pvefw.cli.output`
    makes tables and JSON with.

    :raises OSError: it cannot be written.
    """
    import click

    from pvefw.core import masking, text

    click.echo(text.lines(masking.redact_known(str(message))), err=err, nl=nl)


def offer(question: str, *, default: bool) -> bool:
    """At a terminal, offer one thing more when the work is done; whether it is wanted.

    Whoever leaves instead of answering (Ctrl-C, Ctrl-D) does not want it, and the work is no failure.
    """
    import click

    try:
        return sys.stdin.isatty() and click.confirm(question, default=default)
    except click.Abort:
        click.echo()
        return False


def leave_standard_output() -> None:
    """Print to nobody from now on. Python itself would complain again when it flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except ValueError:  # a plugin has closed it
        sys.stdout = os.fdopen(nowhere, "w", encoding="utf-8", closefd=False)


def carry_out(command: "Callable[[], int]") -> "NoReturn":
    """Do what a console script is for, and end the process with the exit status that comes back."""
    from pvefw.host import descriptors, memory

    open_standard_streams()
    descriptors.keep()
    memory.keep_private()
    if not sys.warnoptions:  # those of libraries are for developers, who ask for them with -W
        warnings.simplefilter("ignore")
    leave(command())


def leave(status: int) -> "NoReturn":
    """End the process, whatever threads are left: the work is done and recorded.

    Where there are any, libraries are not taken down below them: OpenSSL, for one, frees at exit(3) what
    a thread may be using, and the process would end with SIGSEGV in place of its status.
    """
    if _is_alone():
        sys.exit(status)
    atexit._run_exitfuncs()  # noqa: SLF001 - plugins may have asked for it; there is no public name
    for stream in (sys.stdout, sys.stderr):  # pragma: no cover - nobody measures what ends so
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)  # pragma: no cover - as above


def _is_alone() -> bool:
    """Whether no thread is left but this one."""
    try:
        return len([*os.scandir(_THREADS)]) == 1  # `--version` does not wait for pathlib
    except OSError:  # no /proc, as in a chroot: those that Python knows of
        import threading

        return threading.active_count() == 1
