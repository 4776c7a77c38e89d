"""Guests of one Proxmox VE node: each call becomes a task there, which is followed to its end."""

import contextlib
import math
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from pvefw.api import (
    CredentialsRejected,
    Guest,
    GuestEvent,
    GuestState,
    MigrateOptions,
    MigrateTarget,
    ProviderError,
    Task,
    Unavailable,
    Unsupported,
    hookimpl,
    setting,
)
from pvefw_guest_pve import answers
from pvefw_guest_pve.answers import described, rows
from pvefw_guest_pve.connection import Connection, NoAnswer, in_words
from pvefw_guest_pve.following import follow

__all__ = ["Pve"]

_AT_ONCE = 4
"""Requests for the configurations of guests."""
_KINDS: Mapping[str, Literal["vm", "container"]] = {"qemu": "vm", "lxc": "container"}
_TIMED_OUT = re.compile(r"timeout|timed out|still runs after", re.IGNORECASE)
"""What Proxmox VE says, and what our own service says in its place."""
_LOCKED = re.compile(r"can't lock file", re.IGNORECASE)
_KEPT_LOCK = re.compile(r"(?:VM|CT) is locked", re.IGNORECASE)
_BUSY = re.compile(r"can't lock file|(?:VM|CT) is locked", re.IGNORECASE)
_MISSING = re.compile(r"Configuration file '[^']*' does not exist", re.IGNORECASE)
_LOCKED_SECONDS = 0.5
_PING_SECONDS = 1.0
_LOOK_SECONDS = 5.0


@dataclass
class Pve:
    """The virtual machines and containers of a Proxmox VE node."""

    token: str = setting(help="The API token's id: USER@REALM!NAME.")
    secret: str = setting(help="The API token's secret.", secret=True)
    host: str = setting(help="The host of the API.", default="localhost")
    port: int = setting(help="Its port.", default=8006)
    fingerprint: str | None = setting(
        help="SHA-256 fingerprint of the API's certificate, the only one to trust.", default=None
    )
    ca_file: Path | None = setting(
        help="Certificates to trust where no fingerprint is given (default: the system's).",
        default=None,
    )
    node: str | None = setting(
        help="The node that runs the guests (default: this host's name).", default=None
    )

    certificates: Path = setting(
        help="Folder with the nodes' own certificates: those installed at the moment are trusted, too.",
        default=Path("/etc/pve/nodes"),
    )

    def __post_init__(self) -> None:
        ca_file = str(self.ca_file) if self.ca_file else None
        self._connection = Connection(
            *(self.host, self.port, self.token, self.secret, self.fingerprint, ca_file),
            nodes=self.certificates,
        )
        self._node = self.node or socket.gethostname().partition(".")[0]

    # --- what is there -------------------------------------------------------------------------

    @hookimpl
    def guest_list(self) -> Sequence[Guest]:
        """The node's guests, with what their configurations say of their start."""
        listed = self._rows()
        if not listed:
            self._check_that_it_may_see()
        managed = self._managed()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            guests = pool.map(lambda row: self._guest(row[0], row[1], managed), listed)
            return [guest for guest in guests if guest is not None]

    def _managed(self) -> set[str] | None:
        """The guests of the HA manager; ``None`` where it does not say: each guest is asked then."""
        try:
            with self._connection.explained():
                resources = rows(self._connection.api.cluster.ha.resources.get())
        except NoAnswer:
            raise
        except ProviderError:
            return None
        return {str(resource.get("sid")) for resource in resources}

    def _check_that_it_may_see(self) -> None:
        """Proxmox VE shows no guests to a token that may not see them: that is not to have none.

        :raises CredentialsRejected: ours may not.
        """
        try:
            with self._connection.explained():
                allowed = described(self._connection.api.access.permissions.get())
        except ProviderError:  # who cannot be asked may have the right
            return
        if not any("VM.Audit" in privileges for privileges in allowed.values() if privileges):
            raise CredentialsRejected(
                f"the token {self.token} may see no guest: it lacks VM.Audit",
                hint="Give it the privileges of the README, at /.",
            )

    def _rows(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The lists of the node, which do not say how a guest starts."""
        with self._connection.explained():
            return [(kind, row) for kind in _KINDS for row in rows(self._here(kind).get())]

    @hookimpl
    def guest_watch(self, timeout: float) -> Iterator[GuestEvent]:
        """What the lists say, again and again: two requests each time, however many guests there are."""

        def events() -> Iterator[GuestEvent]:
            end = time.monotonic() + timeout
            states: dict[int, GuestState] = {}
            while True:
                asked = datetime.now(UTC)
                for vmid, state in ((_vmid(row), _state(row)) for _, row in self._rows()):
                    if states.get(vmid) is not state:
                        states[vmid] = state
                        yield GuestEvent(vmid, state, asked)
                left = end - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(_LOOK_SECONDS, left))

        return events()

    def _guest(self, kind: str, row: Mapping[str, Any], managed: set[str] | None) -> Guest | None:
        """One guest; ``None`` where it has left meanwhile.

        :raises Unavailable: the API cannot be reached any more.
        """
        vmid = _vmid(row)
        config: Mapping[str, Any] = {}
        problem = "" if vmid else "the API says no number of it"
        try:
            with self._connection.explained():
                if vmid:
                    config = described(self._here(kind)(vmid).config.get())
                # the list does not say which of those that run are paused
                if vmid and (row.get("status") == "running" or managed is None):
                    row = {**row, **described(self._here(kind)(vmid).status.current.get())}
        except NoAnswer:
            raise
        except ProviderError as error:
            if _MISSING.search(error.message):
                return None
            problem = error.message
        startup = _startup(str(config.get("startup", "")))
        sid = f"{'vm' if kind == 'qemu' else 'ct'}:{vmid}"
        return Guest(
            vmid=vmid,
            name=str(row.get("name", "")),
            kind=_KINDS[kind],
            state=_state(row),
            onboot=str(config.get("onboot", "0")) == "1",
            order=_number(startup, "order"),
            up=_number(startup, "up"),
            down=_number(startup, "down"),
            template=str(row.get("template") or config.get("template") or "0") == "1",
            managed_by_ha=_is_managed(row) if managed is None else sid in managed,
            memory=int(row.get("maxmem") or 0),
            backend_id=f"{kind}/{vmid}",
            saved=_is_saved(row),
            problem=problem,
        )

    @hookimpl
    def guest_set(self, guest: Guest, values: Mapping[str, str]) -> None:
        """Keep what Proxmox VE's own configuration has a place for: ``onboot`` and ``startup``."""
        unknown = [value for value in values if value not in ("onboot", "order", "up", "down")]
        if unknown:
            raise Unsupported(f"Proxmox VE has no place for {', '.join(unknown)} of a guest")
        with self._connection.explained():
            here = self._of(guest)
            config = described(here.config.get())
            startup = _startup(str(config.get("startup", "")))
            for key in ("order", "up", "down"):
                if key in values:
                    startup[key] = values[key]
            text = ",".join(f"{key}={value}" for key, value in startup.items() if value)
            changes: dict[str, str] = (
                {"digest": str(config["digest"])} if "digest" in config else {}
            )
            if "onboot" in values:
                changes["onboot"] = values["onboot"] or "0"
            if text:
                changes["startup"] = text
            elif "startup" in config:
                changes["delete"] = "startup"
            here.config.put(**changes)

    # --- power ---------------------------------------------------------------------------------

    @hookimpl
    def guest_start(self, guest: Guest, timeout: float, task: Task) -> None:
        """Start it, unless it runs; one that is paused continues."""
        now = self._now(guest)
        if now is not GuestState.RUNNING:
            action = "resume" if now is GuestState.PAUSED else "start"
            self._bring(guest, GuestState.RUNNING, action, timeout, task)
            self._expect(guest, GuestState.RUNNING, task)

    @hookimpl
    def guest_shutdown(self, guest: Guest, timeout: float, task: Task) -> None:
        """Ask it to shut down; Proxmox VE is told never to stop it by force."""
        with self._unless_it_has_left(guest, task):
            now = self._now(guest)
            if now is GuestState.STOPPED:
                return
            if now is GuestState.PAUSED:
                task.log(f"{guest.vmid} ({guest.name}): it is paused, and continues to shut down")
                self._act(guest, "resume", timeout, task)
            self._shut_down(guest, timeout, task)
            self._expect(guest, GuestState.STOPPED, task)

    def _shut_down(self, guest: Guest, timeout: float, task: Task) -> None:
        try:
            asked = {"timeout": math.ceil(timeout), "forceStop": 0}
            self._bring(guest, GuestState.STOPPED, "shutdown", timeout, task, **asked)
        except Unavailable:
            raise
        except ProviderError as error:
            if _TIMED_OUT.search(error.message):
                raise Unavailable(f"it still runs after {timeout:g} seconds: {error}") from error
            raise

    @hookimpl
    def guest_stop(self, guest: Guest, timeout: float, task: Task) -> None:
        """Stop it hard."""
        with self._unless_it_has_left(guest, task):
            if self._now(guest) is not GuestState.STOPPED:
                # a shutdown that was given up may still be under way there
                overrule = {} if guest.managed_by_ha else {"overrule-shutdown": 1}
                self._bring(guest, GuestState.STOPPED, "stop", timeout, task, **overrule)
                self._expect(guest, GuestState.STOPPED, task)

    @contextlib.contextmanager
    def _unless_it_has_left(self, guest: Guest, task: Task) -> Iterator[None]:
        """A guest that has moved to another node meanwhile, or was removed, has stopped here."""
        try:
            yield
        except ProviderError as error:
            if not _MISSING.search(error.message):
                raise
            node = self._whereabouts(guest)
            if node == self._node:
                raise
            where = f"it has moved away to {node}" if node else "it no longer exists"
            task.warn(f"{guest.vmid} ({guest.name}): {where}")

    def _whereabouts(self, guest: Guest) -> str:
        """The node that a guest is on; empty where it is on none."""
        with self._connection.explained():
            everything = rows(self._connection.api.cluster.resources.get(type="vm"))
        nodes = (str(row.get("node")) for row in everything if _vmid(row) == guest.vmid)
        return next(nodes, "")

    @hookimpl
    def guest_suspend(self, guest: Guest, to_disk: bool, timeout: float, task: Task) -> None:
        """Pause a virtual machine, or save its memory and stop it."""
        if guest.kind != "vm":
            raise Unsupported("Proxmox VE suspends virtual machines only")
        now, saved = self._look(guest)
        if saved if to_disk else now is GuestState.PAUSED:
            return
        self._act(guest, "suspend", timeout, task, todisk=int(to_disk))
        self._expect(guest, GuestState.STOPPED if to_disk else GuestState.PAUSED, task)

    @hookimpl
    def guest_resume(self, guest: Guest, timeout: float, task: Task) -> None:
        """Let it continue from memory, or start it from disk."""
        now, saved = self._look(guest)
        if now is GuestState.STOPPED and not saved:
            raise ProviderError("it is stopped, not suspended")
        if now is not GuestState.RUNNING:
            action = "start" if saved else "resume"
            self._bring(guest, GuestState.RUNNING, action, timeout, task)
            self._expect(guest, GuestState.RUNNING, task)

    @hookimpl
    def guest_ready(self, guest: Guest, timeout: float, task: Task) -> bool | None:
        """Whether the agent in a virtual machine answers."""
        with self._connection.explained():
            if guest.kind != "vm" or not _has_agent(described(self._of(guest).config.get())):
                return None
        end = time.monotonic() + timeout  # an agent that does not answer costs seconds each time
        while (left := end - time.monotonic()) > 0:
            try:
                with self._connection.explained():
                    self._of(guest).agent.ping.post()
            except ProviderError:
                task.wait(min(_PING_SECONDS, left))
            else:
                return True
        return False

    # --- migration -----------------------------------------------------------------------------

    @hookimpl
    def guest_target(self, target: str) -> MigrateTarget:
        """A node of this cluster, as it says about itself."""
        with self._connection.explained():
            answer = rows(self._connection.api.nodes.get())
        nodes = {str(row.get("node")): row for row in answer}
        if target not in nodes:
            raise ProviderError(
                f"the cluster has no node {target}; it has {', '.join(sorted(nodes))}"
            )
        node = nodes[target]
        if node.get("status") != "online":
            raise ProviderError(f"the node {target} is {node.get('status', 'unknown')}")
        return MigrateTarget(target, int(node.get("maxmem") or 0) - int(node.get("mem") or 0))

    @hookimpl
    def guest_migrate_check(
        self, guest: Guest, target: str, options: MigrateOptions
    ) -> Sequence[str]:
        """What Proxmox VE itself has against the move of a virtual machine."""
        if guest.kind != "vm":
            return []
        with self._connection.explained():
            conditions = described(self._of(guest).migrate.get(target=target))
        refused = (conditions.get("not_allowed_nodes") or {}).get(target)
        reasons = [f"it may not run on {target}: {in_words(refused)}"] if refused else []
        disks = [str(disk.get("volid")) for disk in conditions.get("local_disks") or []]
        if disks and not options.with_local_disks:
            reasons.append(f"it has local disks ({', '.join(disks)}); see --with-local-disks")
        devices = [str(resource) for resource in conditions.get("local_resources") or []]
        if devices:
            reasons.append(f"it uses devices of this host: {', '.join(devices)}")
        return reasons

    @hookimpl
    def guest_migrate(self, guest: Guest, target: str, options: MigrateOptions, task: Task) -> None:
        """Move it; a running container is restarted at the target, as Proxmox VE does it."""
        runs = self._now(guest) is GuestState.RUNNING
        asked: dict[str, Any] = {"target": target}
        if guest.kind == "vm":
            asked["online"] = int(runs and options.online)
            if options.with_local_disks:
                asked["with-local-disks"] = 1
        elif runs:
            asked["restart"] = 1
        with self._connection.explained():
            upid = answers.task(self._of(guest).migrate.post(**asked))
        follow(self._connection, self._node, upid, options.timeout, task)

    # --- one guest -----------------------------------------------------------------------------

    def _here(self, kind: str) -> Any:
        return getattr(self._connection.api.nodes(self._node), kind)

    def _of(self, guest: Guest) -> Any:
        return self._here("qemu" if guest.kind == "vm" else "lxc")(guest.vmid)

    def _now(self, guest: Guest) -> GuestState:
        return self._look(guest)[0]

    def _look(self, guest: Guest) -> tuple[GuestState, bool]:
        """What it is doing, and whether its memory is on disk."""
        with self._connection.explained():
            row = described(self._of(guest).status.current.get())
        return _state(row), _is_saved(row)

    def _bring(
        self,
        guest: Guest,
        wanted: GuestState,
        action: str,
        seconds: float,
        task: Task,
        **options: Any,
    ) -> None:
        """Do something to a guest, unless somebody else has just done it."""
        try:
            self._act(guest, action, seconds, task, **options)
        except Unavailable:
            raise
        except ProviderError:
            if self._is_now(guest) is not wanted:
                raise

    def _is_now(self, guest: Guest) -> GuestState | None:
        with contextlib.suppress(ProviderError):
            return self._now(guest)
        return None

    def _act(self, guest: Guest, action: str, seconds: float, task: Task, **options: Any) -> None:
        """Do something to a guest; again, while another task of Proxmox VE's has it locked.

        A guest that is to stop has its time: a backup, which locks it too, may end within it.
        """
        end = time.monotonic() + seconds
        locked = _BUSY if action in ("shutdown", "stop") else _LOCKED
        while True:
            try:
                with self._connection.explained():
                    upid = answers.task(getattr(self._of(guest).status, action).post(**options))
                left = max(end - time.monotonic(), 0.0)
                follow(self._connection, self._node, upid, left, task)
            except ProviderError as error:
                if not locked.search(error.message) or time.monotonic() >= end:
                    error.message += _how_to_unlock(guest, error.message)
                    raise
                task.wait(_LOCKED_SECONDS)
            else:
                return

    def _expect(self, guest: Guest, state: GuestState, task: Task) -> None:
        """Tasks of guests that are managed for high availability end before the work is done."""
        now = self._now(guest)
        for _ in range(60 if guest.managed_by_ha else 0):
            if now is state:
                break
            task.wait(1.0)
            now = self._now(guest)
        if now is not state:
            raise Unavailable(f"its task ended, but it is {now}")


def _how_to_unlock(guest: Guest, message: str) -> str:
    """What helps where a task that was killed has left its lock: it stays until somebody removes it."""
    if _KEPT_LOCK.search(message) is None:
        return ""
    program = "pct" if guest.kind == "container" else "qm"
    return f"; if no task works on it: {program} unlock {guest.vmid}"


def _state(row: Mapping[str, Any]) -> GuestState:
    word = str(row.get("qmpstatus") or row.get("status") or "")
    if word in ("paused", "suspended", "prelaunch"):
        return GuestState.PAUSED
    return (
        GuestState.STOPPED
        if row.get("status") == "stopped"
        else (GuestState.RUNNING if row.get("status") == "running" else GuestState.UNKNOWN)
    )


def _vmid(row: Mapping[str, Any]) -> int:
    """A guest's number; 0 where there is none."""
    text = str(row.get("vmid", ""))
    return int(text) if text.isascii() and text.isdecimal() else 0


def _is_managed(row: Mapping[str, Any]) -> bool:
    """Whether the HA manager looks after it, as its own state says."""
    return bool((row.get("ha") or {}).get("managed"))


def _is_saved(row: Mapping[str, Any]) -> bool:
    """Whether it was suspended to disk: Proxmox VE then locks it until it starts."""
    return row.get("status") == "stopped" and row.get("lock") == "suspended"


def _startup(text: str) -> dict[str, str]:
    """``order=1,up=30,down=60``; a bare number is the order."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return dict(
        cast("tuple[str, str]", tuple(part.split("=", 1))) if "=" in part else ("order", part)
        for part in parts
    )


def _number(startup: Mapping[str, str], key: str) -> Any:
    value = startup.get(key, "")
    return int(value) if value.isdecimal() else None


def _has_agent(config: Mapping[str, Any]) -> bool:
    first = str(config.get("agent", "0")).split(",")[0]
    return first.removeprefix("enabled=") == "1"
