"""Makes whoever uses the certificate take a new one: the service, then the configured observers.

What is kept is who has been told of which certificate. Whoever has not been told of the one that is
installed is pending, be it that he failed or that we were killed before; so nothing is lost, and nobody
is told twice. Trying again never needs another order.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvefw import instances
from pvefw.certs import install
from pvefw.core.errors import ProgramError, PvefwError
from pvefw.core.model import CertificateEvent, Task
from pvefw.host import programs
from pvefw.instances import Instance
from pvefw.store import files, locks
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events

SERVICE = "reload-command"
"""Stands for the service among the observers' ids; no observer can be called so, as it is a property."""
NO_RELOAD = "-"
DEFAULT_RELOAD = "systemctl reload-or-restart pveproxy"
_RELOAD_SECONDS = 90.0
_HOOK = "on_certificate"


@dataclass
class _Told:
    """Who has been told of which certificate."""

    done: dict[str, str] = field(default_factory=dict)
    """Observer to the certificate's fingerprint."""
    failed: dict[str, str] = field(default_factory=dict)
    """Observer to why it could not be told last time."""

    def of(self, id_: str, fingerprint: str) -> None:
        self.done[id_] = fingerprint
        self.failed.pop(id_, None)


def prepare(paths: Paths) -> None:
    """Before an installation: from now on, who has not been told is pending.

    Without that, a certificate that was there before pvefw came would have the service reloaded.
    """
    if not paths.deploy_state.exists():
        _save(paths, _Told())


def pending(node: Node) -> dict[str, str]:
    """Who has still to be told of the installed certificate, and why that failed, if it did.

    :raises StoreError: the configuration of the observers cannot be read.
    """
    paths = node.paths
    pem = files.read_if_exists(paths.proxy_certificate)
    if pem is None or not paths.deploy_state.exists():
        return {}
    fingerprint, told = install.event(paths, pem).fingerprint, _load(paths)
    ids = [SERVICE, *(one.id for one in instances.load_used(node, "observer"))]
    return {id_: told.failed.get(id_, "") for id_ in ids if told.done.get(id_) != fingerprint}


def skip_service(paths: Paths) -> None:
    """The service is not to be reloaded for the certificate that is installed."""
    told = _load(paths)
    told.of(SERVICE, install.event(paths, install.service_certificate(paths)).fingerprint)
    _save(paths, told)


def deploy(node: Node, task: Task, *, again: bool = False) -> Sequence[str]:
    """Tell everybody who is pending. A failure is a warning, and stays pending.

    :param again: tell those, too, who know already.
    :returns: who could not be told.
    :raises NotFound: there is no certificate.
    """
    paths = node.paths
    event = install.event(paths, install.service_certificate(paths))
    with locks.local_lock(paths, f"deploy-{paths.node}"):
        told = _load(paths)
        failures = []
        for id_, tell in _everybody(node, event, task):
            if told.done.get(id_) == event.fingerprint and not again:
                continue
            try:
                tell()
            except PvefwError as error:
                told.failed[id_] = error.message
                hint = f". {error.hint}" if error.hint else ""
                task.warn(f"The certificate is installed, but {_who(id_)}: {error.message}{hint}")
                failures.append(id_)
            else:
                told.of(id_, event.fingerprint)
            _save(paths, told)
    if failures:
        task.log("What failed is tried again by the next: pvefw cert deploy --retry")
    return failures


def reload_service(node: Node, task: Task) -> None:
    """Make the service use what is installed now, after its own pair was removed.

    A failure is a warning that names how to try again.
    """
    try:
        _reload(node, task)
    except ProgramError as error:
        task.warn(f"The service still uses the old certificate: {error}. {error.hint}")


def _who(id_: str) -> str:
    return "the service does not use it yet" if id_ == SERVICE else f"{id_} was not notified"


def _everybody(
    node: Node, event: CertificateEvent, task: Task
) -> Iterator[tuple[str, Callable[[], object]]]:
    yield SERVICE, lambda: _reload(node, task)
    try:
        configured = instances.load_used(node, "observer")
    except PvefwError as error:
        task.warn(f"Could not notify the observers: {error.message}")
        return
    for one in configured:
        yield one.id, _teller(node, one, event, task)


def _teller(
    node: Node, observer: Instance, event: CertificateEvent, task: Task
) -> Callable[[], object]:
    def tell() -> None:
        if events.call(node, observer, _HOOK, event=event, task=task):
            task.log(f"Deployed through {observer.id}")

    return tell


def _reload(node: Node, task: Task) -> None:
    """Run the configured command.

    :raises ProgramError: it failed; the hint names it.
    """
    default = DEFAULT_RELOAD if _has_pveproxy(node.paths) else NO_RELOAD
    command = node.get(SERVICE, default)
    if command == NO_RELOAD:
        return
    task.log("Restarting pveproxy" if command == DEFAULT_RELOAD else f"Running {command}")
    try:
        programs.run(shlex.split(command), timeout=_RELOAD_SECONDS)
    except (ProgramError, ValueError) as error:
        if stopped := _stopped(command):
            task.log(f"{stopped} is stopped; it reads the certificate when it starts")
            return
        raise ProgramError(str(error), hint=f"Try again with: {command}") from error


def _stopped(command: str) -> str:
    """The units that ``systemctl reload`` was to reload, where each was stopped; empty otherwise.

    systemctl(1) fails for a unit that is not active; one that has failed is no business of ours to hide.
    """
    words = command.split()
    units = [one for one in words[2:] if not one.startswith("-")]
    if words[:2] != ["systemctl", "reload"] or not units:
        return ""
    states = programs.run(["systemctl", "is-active", *units], check=False).stdout.split()
    return ", ".join(units) if states == ["inactive"] * len(units) else ""


def _has_pveproxy(paths: Paths) -> bool:
    """Only on the running host itself: another tree's service is not ours to restart."""
    units = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
    return paths.root == Path("/") and any(
        paths.below(f"{unit}/pveproxy.service").exists() for unit in units
    )


# --- state ----------------------------------------------------------------------------------------


def _load(paths: Paths) -> _Told:
    """What is kept; nothing where it is damaged: then everybody is told once more."""
    said = files.read_object(paths.deploy_state)
    return _Told(_texts(said.get("done")), _texts(said.get("failed")))


def _texts(said: Any) -> dict[str, str]:
    return {str(key): str(one) for key, one in said.items()} if isinstance(said, Mapping) else {}


def _save(paths: Paths, told: _Told) -> None:
    files.replace(
        paths.deploy_state, json.dumps({"done": told.done, "failed": told.failed}).encode()
    )
