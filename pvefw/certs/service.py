"""The service that uses a certificate, and the command that makes it read a new one."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pvefw.core.errors import ProgramError, UsageError
from pvefw.host import programs
from pvefw.store.paths import Paths

if TYPE_CHECKING:
    from pvefw.certs.certificate import Certificate
    from pvefw.core.model import Task

KEY = "reload-command"
"""The property that names the command."""
NO_RELOAD = "-"
_SECONDS = 90.0
_PLAIN = re.compile(r"[\w@.:\\ -]+")
"""A command line that is one command to a shell, too."""
_STOPPED = [{f"LoadState={loaded}", "ActiveState=inactive"} for loaded in ("loaded", "masked")]
"""What ``systemctl show`` says of a unit that is stopped."""


def command(certificate: "Certificate") -> str:
    """What makes the service use the certificate; ``-`` for nothing."""
    usual = f"systemctl reload-or-restart {certificate.service}"
    here = certificate.service and _has_unit(certificate.paths, certificate.service)
    return certificate.settings.get(KEY, usual if here else NO_RELOAD)


def reload(certificate: "Certificate", task: "Task") -> None:
    """Run the configured command line.

    :raises ProgramError: it failed; the hint names it.
    """
    line = command(certificate)
    if line == NO_RELOAD:
        return
    usual = certificate.service and not certificate.settings.get(KEY, "")
    task.log(f"Restarting {certificate.service}" if usual else f"Running {line}")
    try:
        programs.run(["/bin/sh", "-c", line], timeout=_SECONDS)
    except ProgramError as error:
        if stopped := _stopped(line):
            task.log(f"{stopped} is stopped; it reads the certificate when it starts")
            return
        raise ProgramError(str(error), hint=f"Try again with: {line}") from error


def reload_or_warn(certificate: "Certificate", task: "Task") -> None:
    """Make the service use what is installed now, after its own pair was removed.

    A failure is a warning that names how to try again.
    """
    try:
        reload(certificate, task)
    except ProgramError as error:
        task.warn(f"The service still uses the old certificate: {error}. {error.hint}")


def check(line: str) -> None:
    """Refuse a command line that sh(1) cannot read.

    :raises UsageError: it cannot, and what it says.
    """
    done = programs.run(["/bin/sh", "-n", "-c", line], check=False)
    if done.returncode != 0:
        complaint = done.last_words.removeprefix("/bin/sh: ")
        raise UsageError(
            f"{KEY}: '{line}' is not a command line of sh(1): {complaint}",
            hint="Try it: sh -n -c 'COMMAND'",
        )


def _stopped(line: str) -> str:
    """The units that ``systemctl reload`` was to reload, where each was stopped; empty otherwise.

    systemctl(1) fails for a unit that is not active; one that has failed, or that nobody has, is no
    business of ours to hide.
    """
    words = line.split() if _PLAIN.fullmatch(line) else []
    units = [word for word in words[2:] if not word.startswith("-")]
    if words[:2] != ["systemctl", "reload"] or not units:
        return ""
    asked = ["systemctl", "show", "--property=LoadState,ActiveState", *units]
    shown = programs.run(asked, check=False).stdout.split("\n\n")
    stopped = [set(state.split()) in _STOPPED for state in shown]
    return ", ".join(units) if stopped == [True] * len(units) else ""


def _has_unit(paths: Paths, service: str) -> bool:
    """Only on the running host itself: another tree's service is not ours to restart."""
    units = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
    return paths.root == Path("/") and any(
        paths.below(f"{unit}/{service}.service").exists() for unit in units
    )
