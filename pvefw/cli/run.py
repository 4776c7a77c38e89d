"""Runs one command line, and turns whatever happens into an exit status and at most a few lines."""

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW
from pvefw.cli.streams import leave_standard_output, say
from pvefw.core import text
from pvefw.core.errors import Cancelled, PvefwError
from pvefw.host import signals

DONE, FAILED, WRONG_USE = 0, 1, 2
_NARROWEST, _WIDEST = 50, 100
_ROOTS_PROGRAMS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_LONGEST = 300
"""Characters of a word that are shown: paths are shorter, and what was typed may be of any length."""
_REFUSED = {
    errno.ENAMETOOLONG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTCONN,
}


def run(args: Sequence[str]) -> int:
    """Run a command line.

    :returns: 0 done, 1 the work failed, 2 wrong use.
    """
    app = App(args)
    return guarded(app, lambda: call(app, args))


def call(app: App, args: Sequence[str], program: str = "pvefw") -> object:
    """Carry out a command line; what goes wrong is raised.

    :param program: what it was called by.
    :returns: the exit status, where the command has one of its own.
    """
    return PVEFW.main(
        list(args), prog_name=program, obj=app, standalone_mode=False, terminal_width=_columns()
    )


def guarded(app: App, work: Callable[[], object]) -> int:
    """Do what a command line asks for; what goes wrong is explained in at most a few lines.

    :returns: 0 done, 1 the work failed, 2 wrong use; or what the work returns, if that is a number.
    """
    signals.notice_failures()
    _complete_path()
    try:
        status = work()
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        if error.ctx is not None and error.ctx.parent is not None:
            say(f"\n{error.ctx.command_path}: a command is missing; see above", err=True)
        return WRONG_USE
    except click.UsageError as error:
        return _wrong_use(app, error)
    except PvefwError as error:
        _explain(app, error)
        return error.exit_status
    except (Cancelled, KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__context__, EOFError):  # which click turns into the same as Ctrl-C
            _explain(app, _no_answer())
            return FAILED
        say(f"{app.error_prefix}: interrupted", err=True)
        return FAILED
    except BrokenPipeError:
        leave_standard_output()  # who reads our output has left
        return FAILED
    except OSError as error:
        leave_standard_output()
        _explain(app, _as_explained(error))
        return FAILED
    except Exception as error:  # noqa: BLE001 - no traceback for an administrator, whatever we did
        _explain(app, _as_internal(error))
        return FAILED
    return status if isinstance(status, int) else DONE


def _complete_path() -> None:
    """Find root's programs, too: after ``su`` without ``-`` the path is still the user's."""
    known = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
    missing = [program for program in _ROOTS_PROGRAMS if program not in known]
    os.environ["PATH"] = os.pathsep.join([*known, *missing])


def _columns() -> int:
    """How wide a help page may be. Left to click, it would import what reads archives, too."""
    try:
        columns = int(
            os.environ.get("COLUMNS") or os.get_terminal_size(sys.stdout.fileno()).columns
        )
    except (OSError, ValueError):
        columns = 80
    return max(min(columns, _WIDEST) - 2, _NARROWEST)


def _wrong_use(app: App, error: click.UsageError) -> int:
    import textwrap

    from pvefw.cli import wrong_use

    message, hint = wrong_use.explain(app, error)
    say(text.one_line(message), err=True)
    say(textwrap.indent(text.lines(hint), "  "), err=True)
    return WRONG_USE


def _explain(app: App, error: PvefwError) -> None:
    import textwrap

    from pvefw.core import masking

    message = _shortened(masking.redact_known(error.message))
    say(f"{app.error_prefix}: {message}", err=True)
    if error.hint:
        say(textwrap.indent(_shortened(masking.redact_known(error.hint)), "  "), err=True)
    if app.debug:
        import traceback

        trace = "".join(traceback.format_exception(error))
        say(text.lines(masking.redact_known(trace)), err=True)


def _shortened(message: str) -> str:
    """A text without the end of words that no screen holds."""
    return re.sub(rf"\S{{{_LONGEST},}}", lambda word: f"{word[0][: _LONGEST // 3]}…", message)


def _no_answer() -> PvefwError:
    return PvefwError(
        "the input ended where an answer was expected; nothing was changed after that question",
        hint="Answer at a terminal, or give options instead: --help names them.",
    )


def _as_explained(error: OSError) -> PvefwError:
    """What the host refuses is no fault of ours, wherever it was met; the rest is."""
    from pvefw.store import files

    if error.errno not in _REFUSED:
        return _as_unreached(error) or _as_internal(error)
    if error.filename:
        wrapped: PvefwError = files.failed("use", Path(os.fsdecode(error.filename)), error)
    else:
        wrapped = PvefwError(f"standard output: could not write to it: {error.strerror}")
    wrapped.__cause__ = error
    return wrapped


def _as_unreached(error: OSError) -> PvefwError | None:
    """What another machine refuses, or a name that leads nowhere, is no fault of ours, either."""
    from pvefw.core import causes

    if not isinstance(error, ConnectionError | TimeoutError) and not (
        {"gaierror", "SSLError", "RequestException"}
        & {kind.__name__ for kind in type(error).__mro__}
    ):
        return None
    wrapped = PvefwError(f"the network: {causes.of(error)}", hint="See the details with --debug.")
    wrapped.__cause__ = error
    return wrapped


def _as_internal(error: Exception) -> PvefwError:
    words = text.of(error)
    wrapped = PvefwError(
        f"internal error: {type(error).__name__}: {words}",
        hint="This is a fault in pvefw; please report it with the output of --debug.",
    )
    wrapped.__cause__ = error
    return wrapped
