"""The command line: each command parses, makes one call, and prints."""

import os
import sys


def main() -> None:
    """The console script. What needs no command line library is answered without one."""
    shell = os.environ.get("_PVEFW_COMPLETE")
    if shell:
        from pvefw.cli.complete import answer

        breaks = os.environ.get("_PVEFW_BREAKS", "")
        sys.stdout.write(answer(shell, " ".join(sys.argv[1:]), breaks))
        return
    match sys.argv[1:]:
        case ["--version"]:
            from pvefw import __version__

            print(f"pvefw {__version__}")
            return
        case ["--help"]:
            from pvefw.cli.tree import first_page

            print(first_page())
            return
    from pvefw.cli.run import run

    sys.exit(run(sys.argv[1:]))
