"""Commands on other hosts: by ssh(1), or by a program that takes its place."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pvefw.core.errors import UsageError
from pvefw.host import programs
from pvefw.host.programs import Completed

SSH = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
"""It asks nothing, and notices within a minute that the other host is gone."""
_DAY = 86400.0
_HOST = re.compile(r"(?:ssh://)?[\w\[][\w.:@\[\]-]*")
_OF_SSH = ("SSH_AUTH_SOCK",)
"""What ssh needs to know of our surroundings: where the agent with the keys is."""


def words(option: str, command: str) -> list[str]:
    """The words of a command line.

    :raises UsageError: it has none, or a quote has no end.
    """
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{option} {command!r} is not a command line: {error}") from error
    if not parts:
        raise UsageError(f"{option} {command!r} names no program")
    return parts


def check_host(host: str) -> None:
    """Refuse what ssh would take for an option, or a shell for more than one word.

    :raises UsageError: it is not a host.
    """
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"'{host}' is not a host",
            hint="A host is NAME, ADDRESS, USER@NAME, or ssh://USER@NAME:PORT.",
        )


@dataclass(frozen=True)
class Remote:
    """Runs commands on other hosts, as the user that the program chooses there."""

    rsh: str = SSH
    """A command line; the host and a command for its shell are put behind it."""

    def __post_init__(self) -> None:
        words("--rsh", self.rsh)

    def run(
        self, host: str, argv: Sequence[str], *, timeout: float = _DAY, check: bool = True
    ) -> Completed:
        """Run a program on a host to its end.

        :param argv: the program and its arguments; the host's shell gets them quoted.
        :param timeout: seconds; then it is left alone. It may go on there.
        :param check: raise when the exit status is not 0.
        :raises UsageError: what is to be a host would be an option of the program.
        :raises ProgramError: the host cannot be reached, or the program failed; with its last words.
        """
        check_host(host)
        surroundings = {name: os.environ[name] for name in _OF_SSH if name in os.environ}
        command = [*words("--rsh", self.rsh), host, shlex.join(argv)]
        return programs.run(command, env=surroundings, timeout=timeout, check=check)
