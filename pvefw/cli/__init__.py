"""The command line: each command parses, makes one call, and prints."""

import contextlib
import gc
import os
import sys

from pvefw.cli.streams import carry_out, leave, open_standard_streams

_YOUNG = 50_000
"""New objects after which Python looks for cycles: what imports make, by the thousand, stays."""


def main() -> None:
    """The console script."""
    gc.set_threshold(_YOUNG)
    try:
        _answer()
    finally:
        gc.freeze()  # as it ends, Python would look at everything again


def _answer() -> None:
    """Do what the command line asks for; what needs no command line library, without one."""
    open_standard_streams()
    if "JOURNAL_STREAM" in os.environ:
        from pvefw.cli.journal import mark_lines

        mark_lines()
    shell = os.environ.get("_PVEFW_COMPLETE")
    if shell:
        from pvefw.cli.complete import answer

        breaks = os.environ.get("_PVEFW_BREAKS", "")
        sys.stdout.write(answer(shell, " ".join(sys.argv[1:]), breaks))
        leave(0)  # plugins may have been loaded to know what they offer
    match sys.argv[1:]:
        case ["--version"] | ["version"]:
            from pvefw import __version__

            answered = f"pvefw {__version__}"
        case ["--help"] | ["-h"] | ["help"]:
            from pvefw.cli.tree import first_page

            answered = first_page()
        case _:
            answered = ""
    if answered:
        with contextlib.suppress(OSError):  # below, the same again is explained
            print(answered, flush=True)
            return
    from pvefw.cli.run import run

    carry_out(lambda: run(sys.argv[1:]))
