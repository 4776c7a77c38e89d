"""Maintenance of several hosts, one after the other: empty it, run a command, restart it, bring all back.

It stops at the first doubt. A note says at any moment where it is; with that it can be resumed, also
after this program was killed. Every step can be begun twice.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pvefw.core.errors import Locked, NotFound, ProgramError, PvefwError, StoreError
from pvefw.core.model import Task
from pvefw.host.clock import Clock, SystemClock
from pvefw.host.programs import Completed
from pvefw.host.remote import SSH, Remote, words
from pvefw.store import files, locks
from pvefw.store.paths import Paths

RESTART = "systemctl reboot"
BACK_SECONDS = 1800
STEPS = {
    "drain": "its guests move away",
    "command": "the command runs",
    "check": "what it will boot is checked",
    "restart": "it restarts",
    "wait": "it has to come back and start its guests",
    "return": "its guests come back",
}
"""What is done to each host, in this order."""
_LOCK = "maintenance"
_GUESTS = ("done", "failed", "pending", "none")
"""What :func:`pvefw.guests.draining.state` says of ``boot-guests``."""
_STILL_UP = "it has not gone down yet"
_LOOK_SECONDS = 2.0
_ANSWER_SECONDS = 60.0
_CONNECTION_LOST = 255
"""How ssh ends where the host goes down under it."""
_NO_ESP = 2
"""How ``boot status`` ends where pvefw has no part in how a host boots."""


@dataclass(frozen=True)
class Maintenance:
    """What is to be done, and how far it is."""

    hosts: Sequence[str]
    command: Sequence[str]
    to: Sequence[str] = ()
    """Where guests go; empty for all other nodes."""
    with_local_disks: bool = False
    restart: str = RESTART
    """The command line that restarts a host; run there."""
    back_seconds: int = BACK_SECONDS
    """How long a restart may take, with the start of guests."""
    rsh: str = SSH
    done: Sequence[str] = ()
    step: str = "drain"
    since: str = ""
    """When this step began: ISO 8601, UTC."""
    boot: str = ""
    """The boot id of the host before it was restarted."""
    node: str = ""
    """What it called itself then."""

    @property
    def host(self) -> str:
        """The host that it is at; empty where all are done."""
        return next((host for host in self.hosts if host not in self.done), "")

    @property
    def where(self) -> str:
        """For people: ``n2 (2 of 3): it restarts, since …``."""
        place = f"{self.host} ({len(self.done) + 1} of {len(self.hosts)})"
        return f"{place}: {self.step}: {STEPS[self.step]}, since {self.since or 'now'}"


def read(paths: Paths) -> Maintenance | None:
    """The maintenance that is not done yet, under way or stopped; ``None`` where there is none.

    :raises StoreError: the note cannot be read, or is damaged.
    """
    if files.read_if_exists(paths.maintenance) is None:
        return None
    note = files.read_object(paths.maintenance)
    if _is_sound(note):
        maintenance = Maintenance(**note)
        if maintenance.host and maintenance.step in STEPS:
            return maintenance
    raise StoreError(
        f"node maintain: {paths.maintenance}: the note of where the maintenance is, is damaged",
        hint="See which hosts are drained: pvefw node return, on each; "
        "then: pvefw node maintain --forget",
    )


def _is_sound(note: dict[str, Any]) -> bool:
    """Whether a note has nothing but members of their types: what it says is run as commands."""
    if not {"hosts", "command"} <= set(note) <= {field.name for field in fields(Maintenance)}:
        return False
    lists = ("hosts", "command", "to", "done")
    return all(
        isinstance(value, list) and all(isinstance(word, str) for word in value)
        if key in lists
        else type(value) is type(getattr(Maintenance, key))
        for key, value in note.items()
    )


def begin(paths: Paths, wanted: Maintenance, task: Task) -> None:
    """Do it, from the first host on.

    :raises Locked: another one is not done.
    :raises ProgramError: there was a doubt; the note says where.
    """
    with locks.local_lock(paths, _LOCK, timeout=0):
        if unfinished := read(paths):
            raise Locked(
                f"node maintain: another maintenance is not finished: {unfinished.where}",
                hint="Continue it: pvefw node maintain --resume; or abandon it: --forget",
            )
        _Run(paths, wanted, task).run()


def resume(paths: Paths, task: Task) -> None:
    """Go on where it was stopped; the step is begun again.

    :raises NotFound: there is nothing to go on with.
    :raises Locked: it is under way.
    :raises ProgramError: there was a doubt; the note says where.
    """
    with locks.local_lock(paths, _LOCK, timeout=0):
        maintenance = read(paths)
        if maintenance is None:
            raise NotFound(
                "node maintain: no maintenance was stopped", hint="Begin one with --hosts."
            )
        _Run(paths, maintenance, task).run()


def forget(paths: Paths) -> None:
    """Give up a maintenance that was stopped. Nothing is done to its hosts.

    :raises Locked: it is under way.
    """
    with locks.local_lock(paths, _LOCK, timeout=0):
        files.remove(paths.maintenance)


class _Run:
    """One run, to the end or to the first doubt."""

    def __init__(self, paths: Paths, note: Maintenance, task: Task) -> None:
        self._paths, self._note, self._task = paths, note, task
        self._remote = Remote(note.rsh)
        self._restarts = words("--restart", note.restart)
        self._clock: Clock = SystemClock()

    def run(self) -> None:
        steps = {
            "drain": self._drain,
            "command": self._command,
            "check": self._check,
            "restart": self._restart,
            "wait": self._wait,
            "return": self._return,
        }
        names = list(steps)
        while host := self._note.host:
            for step in names[names.index(self._note.step) :]:
                self._keep(step=step, since=self._clock.now().isoformat(timespec="seconds"))
                self._task.log(self._note.where)
                self._without_doubt(host, steps[step])
            self._task.log(f"{host} is done")
            self._keep(done=[*self._note.done, host], step=names[0], boot="", node="")
        files.remove(self._paths.maintenance)

    def _keep(self, **changes: Any) -> None:
        self._note = replace(self._note, **changes)
        if self._note.host:
            files.replace(self._paths.maintenance, json.dumps(asdict(self._note)).encode())

    def _without_doubt(self, host: str, step: Any) -> None:
        try:
            step(host)
        except PvefwError as error:
            left = [other for other in self._note.hosts if other not in (*self._note.done, host)]
            raise ProgramError(
                f"node maintain: {host}: {self._note.step}: {error.message}",
                hint=f"Done: {', '.join(self._note.done) or 'none'}; not begun: "
                f"{', '.join(left) or 'none'}. When {host} is fine again: pvefw node maintain --resume",
            ) from error

    # --- the steps --------------------------------------------------------------------------------

    def _look_at_all(self, host: str) -> dict[str, str]:
        """What a host says about itself, where every other one answers, and has its guests.

        :raises ProgramError: one does not, or two names are one host.
        """
        states = {other: self._state(other) for other in self._note.hosts}
        for other in (state for state in states if state != host):
            if states[other]["drained"]:
                raise ProgramError(f"{other} is drained, and only one host at a time may be")
            if states[other]["node"] == states[host]["node"]:
                raise ProgramError(f"it is the same host as {other}: {states[host]['node']}")
        return states[host]

    def _drain(self, host: str) -> None:
        self._look_at_all(host)
        where = ["--to", ",".join(self._note.to)] if self._note.to else ["--spread"]
        disks = ["--with-local-disks"] if self._note.with_local_disks else []
        self._on(host, "pvefw", "node", "drain", *where, *disks)

    def _command(self, host: str) -> None:
        self._on(host, *self._note.command)

    def _check(self, host: str) -> None:
        done = self._on(host, "pvefw", "boot", "status", allowed=(0, _NO_ESP))
        if done.returncode == _NO_ESP:
            self._task.log(f"{host}: pvefw manages no ESP there: how it boots is not checked")

    def _restart(self, host: str) -> None:
        if self._note.boot and self._is_back(host) != _STILL_UP:
            return  # it had been told before we were stopped
        state = self._look_at_all(host)
        if not state["drained"]:
            raise ProgramError("it is no longer drained")
        self._keep(boot=state["boot"], node=state["node"])
        self._on(host, *self._restarts, allowed=(0, _CONNECTION_LOST))

    def _wait(self, host: str) -> None:
        end, told = self._clock.monotonic() + self._note.back_seconds, ""
        while missing := self._is_back(host):
            if missing != told:
                self._task.log(f"{host}: {missing}")
                told = missing
            if self._clock.monotonic() >= end:
                raise ProgramError(f"not back within {self._note.back_seconds} s: {missing}")
            self._task.wait(_LOOK_SECONDS)

    def _return(self, host: str) -> None:
        rsh = [] if self._note.rsh == SSH else ["--rsh", self._note.rsh]
        self._on(host, "pvefw", "node", "return", *rsh)

    # --- on a host --------------------------------------------------------------------------------

    def _is_back(self, host: str) -> str:
        """What is missing until a host that was restarted is as before; empty where nothing is.

        :raises ProgramError: it is back, and not all of its guests have started.
        """
        try:
            state = self._state(host)
        except ProgramError as error:
            return error.message
        if self._note.node not in ("", state["node"]):
            raise ProgramError(f"{state['node']} answers in its place, not {self._note.node}")
        if state["boot"] == self._note.boot:
            return _STILL_UP
        if state["boot-guests"] == "failed":
            raise ProgramError("it is back, but boot-guests has failed there")
        return "boot-guests is not done" if state["boot-guests"] == "pending" else ""

    def _state(self, host: str) -> dict[str, str]:
        """What a host says about itself: ``pvefw node status``.

        :raises ProgramError: it does not answer, or not in these terms.
        """
        question = ["pvefw", "node", "status", "--output-format", "json"]
        text = self._remote.run(host, question, timeout=_ANSWER_SECONDS).stdout
        try:
            report = files.parse_json(text)
            state = {key: report[key] for key in ("node", "boot", "boot-guests", "drained")}
            if not all(isinstance(value, str) for value in state.values()):
                raise TypeError("they are texts")
            if not state["boot"] or state["boot-guests"] not in _GUESTS:
                raise ValueError("it names no boot, or nothing that boot-guests can be")
            return state
        except files.DAMAGED as error:
            raise ProgramError(f"{host} does not report its state: {text.strip()[:200]}") from error

    def _on(self, host: str, *argv: str, allowed: Sequence[int] = (0,)) -> Completed:
        """Run a program on a host; what it says is part of our log.

        :raises ProgramError: it failed.
        """
        self._task.log(f"{host}: {shlex.join(argv)}")
        done = self._remote.run(host, argv, check=False)
        for line in f"{done.stdout}\n{done.stderr}".splitlines():
            if line.strip():
                self._task.log(f"{host}: {line}")
        if done.returncode not in allowed:
            raise ProgramError(f"{shlex.join(argv)}: {done.failure}")
        return done
