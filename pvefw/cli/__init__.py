"""The command line: each command parses, makes one call, and prints."""

import contextlib
import os
import sys

from pvefw.cli.streams import carry_out, open_standard_streams


def main() -> None:
    """The console script. What needs no command line library is answered without one."""
    open_standard_streams()
    if "JOURNAL_STREAM" in os.environ:
        from pvefw.cli.journal import mark_lines

        mark_lines()
    shell = os.environ.get("_PVEFW_COMPLETE")
    if shell:
        from pvefw.cli.complete import answer

        breaks = os.environ.get("_PVEFW_BREAKS", "")
        sys.stdout.write(answer(shell, " ".join(sys.argv[1:]), breaks))
        return
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
