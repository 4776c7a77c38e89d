"""Command lines of sh(1) among the settings."""

from pvefw.api import run

__all__ = ["check"]


def check(setting: str, command: str) -> None:
    """Refuse a command line that sh(1) cannot read, before a certificate waits for it.

    :raises ValueError: it cannot.
    """
    done = run(["/bin/sh", "-n", "-c", command], check=False)
    if done.returncode != 0:
        complaint = done.last_words.removeprefix("/bin/sh: ")
        raise ValueError(f"{setting} '{command}' is not a command line of sh(1): {complaint}")
