"""Values that say where the real one is: ``file:PATH``, ``env:NAME``, ``cmd:PROGRAM ARGUMENTS``."""

import os
from pathlib import Path

from pvefw.core.errors import ConfigError, ProgramError

_FILE = "file:"
_REFERENCE_KINDS = (_FILE, "env:", "cmd:")
_CMD_SECONDS = 30.0


def is_reference(value: str) -> bool:
    """Whether a configured value says where the real one is: ``file:``, ``env:`` or ``cmd:``."""
    return value.startswith(_REFERENCE_KINDS)


def file_of(value: str) -> Path | None:
    """The file that a value is read from; ``None`` where it is not from a file."""
    return Path(value.removeprefix(_FILE)) if value.startswith(_FILE) else None


def resolve(value: str, who: str) -> str:
    """The value behind a reference, or the value itself.

    ``file:PATH`` and the output of ``cmd:PROGRAM ARGS`` (no shell, 30 seconds) lose trailing line ends.

    :param who: names plugin and key in errors; the value is never in them.
    :raises ConfigError: the reference leads nowhere.
    """
    kind, colon, rest = value.partition(":")
    match f"{kind}{colon}":
        case "file:":
            return _from_file(Path(rest), who)
        case "env:":
            if rest not in os.environ:
                raise ConfigError(f"{who}: the environment has no variable {rest}")
            return os.environ[rest]
        case "cmd:":
            return _from_program(rest, who)
    return value


def _from_file(path: Path, who: str) -> str:
    from pvefw.host import reading

    try:
        return reading.whole(path).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{who}: {path} cannot be read: {reason}") from error


def _from_program(command: str, who: str) -> str:
    import shlex

    from pvefw.host import programs

    try:
        argv = shlex.split(command)
        done = programs.run(argv, timeout=_CMD_SECONDS, check=False)
    except ValueError as error:
        raise ConfigError(f"{who}: the command after cmd: cannot be read: {error}") from None
    except ProgramError as error:
        raise ConfigError(f"{who}: {error}") from error
    if done.returncode != 0:  # what it said may be half of the secret: it is shown nowhere
        raise ConfigError(
            f"{who}: {argv[0]} failed with status {done.returncode}",
            hint="Its output may be secret and is not shown; run it by hand.",
        )
    return done.stdout.rstrip("\r\n")
