"""``pvefw status --hosts``: how several hosts are, on one screen."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pvefw.cli.framework import App
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.status_parts import FAILED, GOOD
from pvefw.core import text

if TYPE_CHECKING:
    from pvefw.host.programs import Completed

_UNREACHABLE = "no answer"
_LOOKED = (0, 1)
"""How ``status`` ends where it has looked."""
_CHECKED = range(4)
"""How ``status --check`` ends."""


def show(
    app: App, given: str, parts: Sequence[str], now: datetime, rsh: str, *, check: bool
) -> int:
    """Ask every host, and show what they say.

    :param given: a file, or ``@`` and an inventory.
    :returns: the exit status: as for one host, the worst of all.
    """
    from pvefw.node import fleet

    named = fleet.hosts(given)
    command = ["pvefw", "status", *parts]
    if check:
        from pvefw.cli import monitoring

        checked = fleet.ask(named, [*command, "--check"], _line, rsh)
        return monitoring.show_hosts(checked)
    asked = fleet.ask(named, [*command, "--output-format", "json"], _state, rsh)
    good = all(not isinstance(answer, str) and answer["ok"] for answer in asked.values())
    if app.output_format == "text":
        show_rows(app, list(_rows(asked)), ["host", "part", "state", ""])
    else:
        hosts = [_as_dict(host, answer) for host, answer in asked.items()]
        head = {"node": app.paths.node, "time": now.isoformat(), "ok": good}
        show_value(app, {**head, "parts": {}, "hosts": hosts})
    return 0 if good else 1


def _state(done: "Completed") -> dict[str, Any]:
    """What a host says about itself.

    :raises ValueError: it is nothing that ``status`` prints; so do the others of ``files.DAMAGED``.
    """
    from pvefw.store import files

    document: dict[str, Any] = files.parse_json(done.stdout)
    parts = {
        name: (str(part["state"]), list(part["lines"])) for name, part in document["parts"].items()
    }
    good = all(state in GOOD for state, _ in parts.values())
    if done.returncode not in _LOOKED or document["ok"] is not good:
        raise ValueError("it contradicts itself")
    return document


def _line(done: "Completed") -> tuple[int, str]:
    """Status and words of a host's line for monitoring.

    :raises ValueError: it is none.
    """
    word, dash, summary = done.stdout.partition("|")[0].partition(" - ")
    if done.returncode not in _CHECKED or not dash or not word.startswith("PVEFW "):
        raise ValueError("no line of ours")
    return done.returncode, text.one_line(summary.strip())


def _as_dict(host: str, answer: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"host": host, "ok": False, "problem": answer, "status": None}
    return {"host": host, "ok": answer["ok"], "problem": "", "status": answer}


def _rows(asked: Mapping[str, dict[str, Any] | str]) -> Iterator[dict[str, str]]:
    """A line for a host that is well, or does not answer; else one for each thing that is wrong."""
    for host, answer in asked.items():
        if isinstance(answer, str):
            yield {"host": host, "part": _UNREACHABLE, "state": FAILED, "": answer}
            continue
        wrong = {name: part for name, part in answer["parts"].items() if part["state"] not in GOOD}
        if not wrong:
            yield {"host": host, "part": "all", "state": "ok", "": ""}
        head = {"host": host}
        for name, part in wrong.items():
            cell = {"part": text.one_line(name), "state": text.one_line(str(part["state"]))}
            for line in part["lines"]:
                yield {**head, **cell, "": text.one_line(str(line))}
                head, cell = {}, {}
