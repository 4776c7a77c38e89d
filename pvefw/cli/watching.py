"""``--watch``: a list that keeps itself up to date on a terminal, until Ctrl-C."""

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import click

from pvefw.cli.streams import say
from pvefw.core.errors import UsageError
from pvefw.host.clock import Clock, SystemClock

_Decorated = TypeVar("_Decorated", bound=Callable[..., object])
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_EVERY = 2

watch_option: Callable[[_Decorated], _Decorated] = click.option(
    "--watch",
    type=click.IntRange(1, 3600),
    is_flag=False,
    flag_value=_EVERY,
    default=None,
    metavar="[SECONDS]",
    help=f"Show it again every {_EVERY} seconds, or as often as given, until Ctrl-C.",
)


def repeat(seconds: int, show: Callable[[], object], clock: Clock | None = None) -> None:
    """Clear the screen and show, again and again. Ctrl-C ends it.

    :param seconds: between two looks.
    :raises UsageError: standard output is not a terminal.
    """
    if not sys.stdout.isatty():
        raise UsageError(
            "--watch: standard output is not a terminal",
            hint="Leave it out, and call the command again when you need it.",
        )
    clock, never = clock or SystemClock(), threading.Event()
    try:
        while True:
            click.echo(_HOME_AND_CLEAR, nl=False)
            show()
            clock.wait(never, seconds)
    except KeyboardInterrupt:
        say()
