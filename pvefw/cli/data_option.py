"""``--data FILE`` and ``--raw``: settings from a file, and a word about what was assumed."""

from pathlib import Path

import click

from pvefw.cli.streams import say

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="File with all settings, one KEY=VALUE per line; `-` for standard input.",
)
_DASH = Path("-")
_STANDARD_INPUT = Path("/dev/stdin")
raw_option = click.option(
    "--raw", is_flag=True, help="Take values as they are in the file, with quotes and comments."
)


def read(path: Path, *, raw: bool) -> dict[str, str]:
    """The settings in a file; what was assumed about it goes to standard error.

    :raises ConfigError: a line is not of the form ``KEY=VALUE``.
    :raises StoreError: the file cannot be read.
    """
    from pvefw.instances import data_files

    data = data_files.read(_STANDARD_INPUT if path == _DASH else path, raw=raw)
    for note in data.notes:
        say(f"{path}: {note}", err=True)
    if data.notes and not raw:
        say("  To keep quotes and comments as parts of the values: --raw", err=True)
    return data.values
