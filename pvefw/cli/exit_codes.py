"""The exit statuses by which scripts tell apart what a command did, where they ask for it."""

import click

DONE, FAILED, PENDING, NOTHING = 0, 1, 3, 4
"""Done; failed; to be done still, or by a dry run; nothing to do. 2 is a wrong command line."""

detailed_option = click.option(
    "--detailed-exitcode",
    "detailed",
    is_flag=True,
    help="Exit with 0 if it was done, 1 if it failed, 3 if it is still to do, 4 if nothing is to do.",
)


def status(code: int, *, detailed: bool) -> int:
    """The exit status: 0 in each case for who has not asked."""
    return code if detailed else DONE
