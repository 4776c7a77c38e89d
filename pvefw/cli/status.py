"""``pvefw status``: how this node is, on one screen.

Each part is looked at by itself, side by side with the others and for a limited time: one that fails or
hangs says so and leaves the others alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from pvefw.cli import watching
from pvefw.cli.framework import App, Command, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.status_parts import (
    ACKNOWLEDGED,
    ATTENTION,
    FAILED,
    GOOD,
    NONE,
    OF_THE_MACHINE,
    PARTS,
    Part,
)
from pvefw.core.errors import UsageError

if TYPE_CHECKING:
    from pvefw.store.paths import Paths

_SECONDS = 10.0
"""How long a part may take."""


def _look(name: str, paths: "Paths", now: datetime) -> Part:
    """One part, whatever happens to it."""
    from pvefw.cli import placement
    from pvefw.core.errors import PvefwError
    from pvefw.host.concurrency import DidNotReturn, call_within

    here = placement.this_machine(paths)
    if name in OF_THE_MACHINE and here and here != paths.node:
        return Part(NONE, [f"this machine is {here}: ask {paths.node} itself"], {})

    try:
        return call_within(lambda: PARTS[name](paths, now), _SECONDS, f"status {name}")
    except DidNotReturn:
        return Part(FAILED, [f"no answer within {_SECONDS:g} seconds"])
    except PvefwError as error:
        return Part(FAILED, [error.message, *([error.hint] if error.hint else [])])
    except Exception as error:  # noqa: BLE001 - a fault in one part must not cost the others
        words = " ".join(str(error).split())
        return Part(FAILED, [f"internal error: {type(error).__name__}: {words}"])


def look(paths: "Paths", now: datetime, wanted: Sequence[str] = ()) -> dict[str, Part]:
    """Look at parts of a node, side by side.

    :param wanted: names of :data:`PARTS`; none for all.
    """
    from pvefw.host.concurrency import side_by_side

    names = [name for name in PARTS if name in wanted or not wanted]
    looked = side_by_side(lambda name: _look(name, paths, now), names, len(PARTS))
    parts = dict(zip(names, looked, strict=True))
    from pvefw.store import attention

    known = attention.load(paths).acknowledged
    return {name: _quiet(name, part, known) for name, part in parts.items()}


def _quiet(name: str, part: Part, known: Collection[str]) -> Part:
    """The part as it counts where everything that is wrong in it was acknowledged."""
    if part.state != ATTENTION or any(f"{name}: {issue}" not in known for issue in part.issues):
        return part
    return replace(part, state=ACKNOWLEDGED, critical=False)


@click.command(cls=Command)
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(list(PARTS)))
@click.option(
    "--check", is_flag=True, help="One line for monitoring, as a plugin of Nagios prints it."
)
@click.option("--acknowledge", is_flag=True, help="Silence the present problems until they change.")
@click.option(
    "--hosts",
    metavar="FILE|@INVENTORY",
    help="Ask these hosts by ssh: one host per line, or an inventory of Ansible.",
)
@click.option("--rsh", metavar="COMMAND", default="", help="How to reach them (default: ssh).")
@watching.watch_option
@output_option
@pass_app
def status(
    app: App,
    /,
    parts: Sequence[str],
    check: bool,
    acknowledge: bool,
    hosts: str | None,
    rsh: str,
    watch: int | None,
) -> int:
    """Show the health of this node, or only some PARTs of it; with --hosts, that of others.

    Certificates, their next renewal and where they are served, failed tasks of the last day, ESPs and
    pinned kernels, guests, memory that is saved by merging pages, and units and timers that would not
    run. The exit status is 1 where something needs attention or could not be found out; with --check, 0
    for OK, 1 for WARNING, 2 for CRITICAL, 3 for UNKNOWN.
    """
    if acknowledge and hosts:
        raise UsageError(
            "status: --acknowledge is for this node only",
            hint="Run it on the host itself: ssh HOST pvefw status --acknowledge",
        )
    if acknowledge:
        _acknowledge(app, parts)

    def show() -> int:
        if hosts is None:
            return _show_once(app, parts, check=check)
        from pvefw.cli import status_hosts
        from pvefw.host.clock import SystemClock

        return status_hosts.show(app, hosts, parts, SystemClock().now(), rsh, check=check)

    if watch is None:
        return show()
    watching.repeat(watch, show)
    return 0


def _acknowledge(app: App, parts: Sequence[str]) -> None:
    from pvefw.host.clock import SystemClock
    from pvefw.store import attention

    outcomes = look(app.paths, SystemClock().now(), parts)
    sure = [name for name, part in outcomes.items() if part.state != FAILED]
    issues = [f"{name}: {issue}" for name in sure for issue in outcomes[name].issues]
    attention.acknowledge(app.paths, sure, issues)


def _show_once(app: App, parts: Sequence[str], *, check: bool) -> int:
    from pvefw.host.clock import SystemClock

    paths, now = app.paths, SystemClock().now()
    outcome = look(paths, now, parts)
    if check:
        from pvefw.cli import monitoring

        return monitoring.show(outcome, now)
    good = all(part.state in GOOD for part in outcome.values())
    if app.output_format == "text":
        _show(app, outcome)
    else:
        shown = {
            name: {"state": part.state, "lines": list(part.lines), "data": dict(part.data)}
            for name, part in outcome.items()
        }
        show_value(app, {"node": paths.node, "time": now.isoformat(), "ok": good, "parts": shown})
    return 0 if good else 1


def _show(app: App, parts: Mapping[str, Part]) -> None:
    rows = []
    for name, part in parts.items():
        for number, line in enumerate(part.lines):
            head = {"part": name, "state": part.state} if number == 0 else {}
            rows.append({**head, "": line})
    show_rows(app, rows, ["part", "state", ""])
