"""Targets that would overwrite each other's files, or those of a certificate that pvefw installs."""

import os
from collections.abc import Iterator

from pvefw import instances
from pvefw.core.families import OBSERVER
from pvefw.instances import Instance, instance_binding
from pvefw.store import certificates
from pvefw.store.certificates import CertificateSettings
from pvefw.store.node import Node

_NAME = "{name}"
"""Stands for the certificate's name in settings of a target that has room for several."""
_Place = tuple[str, str]
"""The host, empty for this one, and a path there."""


def of_target(node: Node, settings: CertificateSettings, target: Instance) -> str:
    """Why a certificate cannot have this target beside what is configured, a clause; empty where it can.

    :param target: as it is to be; it may differ from what is configured.
    :raises StoreError: the configuration cannot be read.
    """
    places = _places(node, target, settings.name)
    for other in [settings, *certificates.all_of(node)]:
        files = node.paths.certificate_files("" if other.is_own else other.name)
        for file in (files.certificate, files.key):
            if ("", os.path.realpath(file)) in places:
                return f"the target {target.id} would overwrite {file} of {_title(other)}"
    for other, beside in _others(node, settings, target):
        shared = sorted(places & _places(node, beside, other.name))
        if shared and beside.id == target.id:
            return f"the target {target.id} has room for one certificate, and {other.what} names it, too"
        if shared and other.name == settings.name:
            both = " and ".join(sorted((target.id, beside.id)))
            return f"the targets {both} both write {shared[0][1]}"
        if shared:
            of = _title(other)
            return f"the targets {target.id} and {beside.id} of {of} both write {shared[0][1]}"
    return ""


def of_changed(node: Node, target: Instance) -> str:
    """As :func:`of_target`, of each certificate that has this target."""
    having = [other for other in certificates.all_of(node) if target.id in other.targets]
    collisions = (of_target(node, settings, target) for settings in having)
    return next(filter(None, collisions), "")


def _title(settings: CertificateSettings) -> str:
    return f"certificate {settings.name}"


def _others(
    node: Node, settings: CertificateSettings, target: Instance
) -> Iterator[tuple[CertificateSettings, Instance]]:
    """Every other target of a certificate of this node."""
    known = {instance.id: instance for instance in instances.load_all(node, OBSERVER.name)}
    known[target.id] = target
    beside = [other for other in certificates.all_of(node) if other.name != settings.name]
    for other in (settings, *beside):
        for id_ in other.targets:
            if id_ in known and (other.name, id_) != (settings.name, target.id):
                yield other, known[id_]


def _places(node: Node, target: Instance, name: str) -> set[_Place]:
    """Where a target puts a certificate; one that does not say where has one place of its own."""
    values, infos = instance_binding.effective(node, target)
    host = values.get("host", "")
    written = [values.get(info.key) or info.default for info in infos if info.writes]
    paths = [path.replace(_NAME, name) for path in written if path]
    if not paths:
        return {(f"target {target.id}", "")}
    return {(host, os.path.normpath(path) if host else os.path.realpath(path)) for path in paths}
