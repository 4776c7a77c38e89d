"""Makes whoever uses a certificate take a new one: its targets, the service, then the other observers.

What is kept is who has been told of which certificate. Whoever has not been told of the one that is
installed is pending, be it that he failed or that we were killed before; so nothing is lost, and nobody
is told twice. Trying again never needs another order.

Targets come first: the service may read what they write.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pvefw import instances
from pvefw.certs import collisions, served, service
from pvefw.certs.certificate import Certificate
from pvefw.core.errors import CertificateError, PvefwError, UsageError
from pvefw.core.model import CertificateEvent, Task
from pvefw.host.clock import SystemClock
from pvefw.instances import Instance
from pvefw.store import files, locks
from pvefw.store.node import Node
from pvefw.tasks import events

SERVICE = service.KEY
"""Stands for the service among the observers' ids; no observer can be called so, as it is a property."""
_HOOK, _PLAN = "on_certificate", "certificate_plan"


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


def prepare(certificate: Certificate) -> None:
    """Before an installation: from now on, who has not been told is pending.

    Without that, a certificate that was there before pvefw came would have the service reloaded.
    """
    if not certificate.files.told.exists():
        _save(certificate, _Told())


def pending(node: Node) -> dict[str, str]:
    """Who still has to be told of an installed certificate, and why that failed, if it did.

    :returns: by the observer's id, with ``NAME: `` before it where the certificate is not the node's own.
    :raises StoreError: the configuration cannot be read.
    """
    return {
        id_ if certificate.settings.is_own else f"{certificate.name}: {id_}": why
        for certificate in Certificate.all_of(node)
        for id_, why in waiting(certificate).items()
    }


def waiting(certificate: Certificate) -> dict[str, str]:
    """Who still has to be told of one certificate, and why that failed, if it did.

    :raises StoreError: the configuration of the observers cannot be read.
    """
    try:
        installed = certificate.installed()
    except CertificateError:
        return {}  # its renewal says so
    if installed is None or not certificate.files.told.exists():
        return {}
    told = _load(certificate)
    ids = [SERVICE, *(receiver.id for receiver in receivers(certificate))]
    return {
        id_: told.failed.get(id_, "") for id_ in ids if told.done.get(id_) != installed.fingerprint
    }


def receivers(certificate: Certificate) -> list[Instance]:
    """The observers that are told of a certificate: its targets first, in their order.

    One that is a target of some certificate is told of no other. One that puts certificates somewhere,
    and is no target yet, is told of none: it would overwrite what another one needs. Nor is one whose
    plugin only notifies people.

    :raises StoreError: the configuration of the observers cannot be read.
    """
    node, targets = certificate.node, certificate.settings.targets
    used = {instance.id: instance for instance in instances.load_used(node, "observer")}
    taken = {id_ for other in Certificate.all_of(node) for id_ in other.settings.targets}
    others = [
        observer
        for observer in used.values()
        if observer.id not in taken and _is_told(node, observer)
    ]
    return [*(used[id_] for id_ in targets if id_ in used), *others]


def _is_told(node: Node, observer: Instance) -> bool:
    """Whether an observer is told of certificates that do not name it; a broken one is, and fails."""
    from pvefw.instances import instance_binding

    hears = instance_binding.implements(node, observer, _HOOK, broken=True)
    return hears and not instance_binding.implements(node, observer, _PLAN)


def skip_service(certificate: Certificate) -> None:
    """The service is not to be reloaded for the certificate that is installed."""
    told = _load(certificate)
    told.of(SERVICE, certificate.event().fingerprint)
    _save(certificate, told)


def deploy(certificate: Certificate, task: Task, *, again: bool = False) -> Sequence[str]:
    """Tell everybody who is pending. A failure is a warning, and stays pending.

    The service is told again after a target was, for it reads what the target wrote. Afterwards, where
    the certificate says where it is served, that is looked at.

    :param again: tell those, too, who know already.
    :returns: who could not be told.
    :raises NotFound: there is no certificate.
    """
    event = certificate.event()
    with locks.local_lock(certificate.paths, f"deploy-{certificate.node.name}"):
        told = _load(certificate)
        targets, failures = set(certificate.settings.targets), list[str]()
        for id_, tell in _everybody(certificate, event, task):
            if told.done.get(id_) == event.fingerprint and not again:
                continue
            try:
                tell()
            except PvefwError as error:
                told.failed[id_] = error.message
                hint = f". {error.hint}" if error.hint else ""
                why = f"{_undone(id_, id_ in targets)}: {error.message}{hint}"
                task.warn(f"The certificate is installed, but {why}")
                failures.append(id_)
            else:
                told.of(id_, event.fingerprint)
                if id_ in targets:
                    told.done.pop(SERVICE, None)
            _save(certificate, told)
    if failures:
        task.log(f"To try again what failed: {_retry(certificate)}")
    _look(certificate, task)
    return failures


def _retry(certificate: Certificate) -> str:
    own = certificate.settings.is_own
    return "pvefw cert deploy --retry" if own else f"pvefw cert deploy {certificate.name} --retry"


def retries(node: Node) -> list[str]:
    """The commands that deliver what is pending, one for each certificate.

    :raises StoreError: the configuration cannot be read.
    """
    return [_retry(certificate) for certificate in Certificate.all_of(node) if waiting(certificate)]


def _look(certificate: Certificate, task: Task) -> None:
    if certificate.settings.get("serves", ""):
        served.after_deployment(certificate, task, SystemClock().now())


def deploy_one(certificate: Certificate, target: str, task: Task) -> None:
    """Tell one of those who are told of a certificate, whether it knows already or not.

    Where nothing has to be reloaded after it, what is served is looked at.

    :param target: an observer's id, or ``reload-command`` for the service.
    :raises UsageError: it is not told of this certificate.
    :raises PvefwError: it fails.
    """
    event = certificate.event()
    everybody = dict(_everybody(certificate, event, task))
    if target not in everybody:
        raise UsageError(
            f"cert deploy: {target} does not get the certificate {certificate.name}",
            hint=f"There are: {', '.join(everybody)}. "
            f"Add it: {certificate.settings.set_command} --targets ID,…",
        )
    with locks.local_lock(certificate.paths, f"deploy-{certificate.node.name}"):
        everybody[target]()
        told = _load(certificate)
        told.of(target, event.fingerprint)
        reload_left = (
            target in certificate.settings.targets
            and service.command(certificate) != service.NO_RELOAD
        )
        if reload_left:
            told.done.pop(SERVICE, None)
            task.log(f"Its service was not reloaded yet: {service.command(certificate)}")
        _save(certificate, told)
    if not reload_left:
        _look(certificate, task)


def plan(certificate: Certificate, *, retry: bool = False) -> Iterator[str]:
    """What :func:`deploy` would do, a line each; nothing is changed.

    :param retry: only for those who are pending.
    :raises NotFound: there is no certificate.
    """
    event, late = certificate.event(), waiting(certificate)
    for receiver in receivers(certificate):
        if retry and receiver.id not in late:
            continue
        if receiver.id in certificate.settings.targets:
            collision = collisions.of_target(certificate.node, certificate.settings, receiver)
            yield from [f"{receiver.id}: {collision}"] if collision else []
        try:
            yield from (
                f"{receiver.id}: {line}" for line in _planned(certificate.node, receiver, event)
            )
        except PvefwError as error:
            yield f"{receiver.id}: it cannot be used: {error.message}"
    command = service.command(certificate)
    if command != service.NO_RELOAD and not (retry and SERVICE not in late):
        yield f"{SERVICE}: run {command}"


def _planned(node: Node, observer: Instance, event: CertificateEvent) -> Sequence[str]:
    bound = instances.bind(node, observer)
    if _PLAN in bound.implemented:
        lines: Sequence[str] = bound.hooks.certificate_plan(event=event)
        return lines or ["it already has this certificate"]
    return ["it is notified"] if _HOOK in bound.implemented else []


def _undone(id_: str, is_target: bool) -> str:
    if id_ == SERVICE:
        return "the service does not use it yet"
    return f"it was not delivered to {id_}" if is_target else f"{id_} was not notified"


def _everybody(
    certificate: Certificate, event: CertificateEvent, task: Task
) -> Iterator[tuple[str, Callable[[], object]]]:
    try:
        configured = receivers(certificate)
    except PvefwError as error:
        task.warn(f"Could not notify the observers: {error.message}")
        configured = []
    targets = set(certificate.settings.targets)
    for observer in configured:
        if observer.id in targets:
            yield observer.id, _teller(certificate.node, observer, event, task)
    yield SERVICE, lambda: service.reload(certificate, task)
    for observer in configured:
        if observer.id not in targets:
            yield observer.id, _teller(certificate.node, observer, event, task)


def _teller(
    node: Node, observer: Instance, event: CertificateEvent, task: Task
) -> Callable[[], object]:
    def tell() -> None:
        if events.call(node, observer, _HOOK, event=event, task=task):
            task.log(f"Deployed through {observer.id}")

    return tell


# --- state ----------------------------------------------------------------------------------------


def _load(certificate: Certificate) -> _Told:
    """What is kept; nothing where it is damaged: then everybody is told again."""
    document = files.read_object_if_possible(certificate.files.told)
    return _Told(_texts(document.get("done")), _texts(document.get("failed")))


def _texts(part: Any) -> dict[str, str]:
    return (
        {str(key): str(value) for key, value in part.items()} if isinstance(part, Mapping) else {}
    )


def _save(certificate: Certificate, told: _Told) -> None:
    """Where that cannot be done, everybody is told again: better than not at all."""
    document = {"done": told.done, "failed": told.failed}
    data = json.dumps(document).encode()
    files.replace_if_possible(certificate.files.told, data, "observers are notified again")
