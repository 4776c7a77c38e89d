"""The command line: each command parses, makes one call, and prints."""

import contextlib
import os
import sys


def main() -> None:
    """The console script. What needs no command line library is answered without one."""
    _open_standard_streams()
    shell = os.environ.get("_PVEFW_COMPLETE")
    if shell:
        from pvefw.cli.complete import answer

        breaks = os.environ.get("_PVEFW_BREAKS", "")
        sys.stdout.write(answer(shell, " ".join(sys.argv[1:]), breaks))
        return
    match sys.argv[1:]:
        case ["--version"]:
            from pvefw import __version__

            answered = f"pvefw {__version__}"
        case ["--help"]:
            from pvefw.cli.tree import first_page

            answered = first_page()
        case _:
            answered = ""
    if answered:
        with contextlib.suppress(OSError):  # below, the same again is explained
            print(answered, flush=True)
            return
    from pvefw.cli.run import run

    sys.exit(run(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Where one is closed, the next file that is opened would take its place and get our output."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number: this one
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
