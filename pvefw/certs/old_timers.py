"""What runs another ACME client by itself: it has to be switched off, or both renew one certificate."""

import re
from collections.abc import Iterator
from pathlib import Path

from pvefw.store import files, units
from pvefw.store.paths import Paths

_TABLES = ("etc/crontab", "etc/cron.d/*", "etc/cron.daily/*", "var/spool/cron/crontabs/*")
_PROGRAMS = {
    "certbot": re.compile(rb"(?:^|[/\s])certbot(?=\s|$)"),
    "acme.sh": re.compile(rb"acme\.sh\"?(?=\s|$)"),
    "lego": re.compile(rb"(?:^|[/\s])lego(?=\s|$)"),
}
_GUARDED = b"/run/systemd/system"
"""Debian's line for cron does nothing where systemd runs."""


def lines(paths: Paths, client: str) -> list[str]:
    """What runs it, and how it is switched off, a sentence each; one where nothing was found."""
    jobs = [*_timers(paths, client), *_cron(paths, client)]
    return jobs or [f"No timer or cron job of {client} was found; check for one yourself"]


def _timers(paths: Paths, client: str) -> Iterator[str]:
    for place in units.PLACES:
        for timer in sorted(paths.root.glob(f"{place}/*.timer")):
            service = files.read_if_exists(timer.with_suffix(".service")) or b""
            runs = [line for line in service.splitlines() if line.startswith(b"ExecStart=")]
            ours = any(_PROGRAMS[client].search(line.partition(b"=")[2]) for line in runs)
            if ours and units.is_enabled(paths, timer.name):
                yield (
                    f"{timer.name} still runs {client}; switch it off: "
                    f"systemctl disable --now {timer.name}"
                )


def _cron(paths: Paths, client: str) -> Iterator[str]:
    for table in (path for pattern in _TABLES for path in sorted(paths.root.glob(pattern))):
        text = files.read_if_exists(table) if table.is_file() else None
        commands = [
            line
            for line in (text or b"").splitlines()
            if not line.lstrip().startswith(b"#")
            and _PROGRAMS[client].search(line)
            and not (_GUARDED in line and units.has_systemd(paths))
        ]
        if commands:
            yield f"{table} still runs {client}; switch it off: {_remedy(table, client)}"


def _remedy(table: Path, client: str) -> str:
    user = table.name if table.parent.name == "crontabs" else ""
    if client == "acme.sh" and user == "root":
        return "acme.sh --uninstall-cronjob"
    if user:
        return f"crontab -u {user} -e"
    return f"remove its line from {table}"
