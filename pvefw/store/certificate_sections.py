"""Adds, changes and removes the sections of ``pvefw.cfg`` that say what is wanted of a certificate."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pvefw.core.errors import NotFound, UsageError
from pvefw.store import certificates, domains, files, locks, properties
from pvefw.store.node import Node
from pvefw.store.node_config import normal_property_string
from pvefw.store.paths import Paths
from pvefw.store.pvefw_config import CERTIFICATE
from pvefw.store.section_config import Section, SectionConfig, check_id

Check = Callable[[Node, Mapping[str, str]], object]
"""Looks at the properties that are about to be set; what it raises passes."""


def add(paths: Paths, name: str, values: Mapping[str, str], check: Check) -> None:
    """Add a section to the node's file.

    :param values: properties of a certificate, ``nodes`` or ``disable``.
    :param check: is called with them before anything is written.
    :raises UsageError: the name is taken or not one; a property that no certificate has, or not in its
        format.
    """
    check_id(name, "the name of a certificate")
    if name in certificates.RESERVED:
        raise UsageError(
            f"cert add: a certificate cannot be called {name}: the node already has one of this name",
            hint="Change that of Proxmox VE's services with: pvefw config set",
        )
    with _locked(paths):
        node = Node.open(paths)
        _check_free(node, name)
        checked = {key: _checked(key, value) for key, value in values.items()}
        _check_names(name, checked)
        check(node, _of_certificate(checked))
        _write(node, Section(CERTIFICATE, name).changed(checked), node.paths.node_pvefw_cfg())


def change(
    paths: Paths, name: str, values: Mapping[str, str], delete: Sequence[str], check: Check
) -> None:
    """Change a section where it is; properties that pvefw does not know survive.

    :param delete: properties to remove.
    :raises NotFound: there is none of this name, or a property to remove is not set.
    :raises UsageError: as for :func:`add`.
    """
    with _locked(paths):
        node = Node.open(paths)
        section, path = _section(node, name)
        for key in delete:
            if key not in section.values:
                there = ", ".join(section.values) or "none"
                raise NotFound(
                    f"cert set {name}: --delete {key}: it is not set",
                    hint=f"Properties that are set: {there}.",
                )
        checked = {key: _checked(key, value) for key, value in values.items()}
        changed = section.changed({**dict.fromkeys(delete), **checked})
        _check_names(name, changed.values)
        check(node, _of_certificate(checked))
        _write(node, changed, path)


def remove(paths: Paths, name: str) -> None:
    """Remove a section; the certificate's files stay.

    :raises NotFound: there is none of this name.
    """
    with _locked(paths):
        node = Node.open(paths)
        _, path = _section(node, name)
        _replace(node, path, node.sections(path).without(name))


@contextlib.contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    # the cluster's file, and the node's, in which its properties are, too
    with locks.cluster_lock(paths, "pvefw-cfg"), locks.node_config_lock(paths):
        yield


def _section(node: Node, name: str) -> tuple[Section, Path]:
    known = certificates.sections(node)
    if name not in known:
        listed = f"There are: {', '.join(known)}." if known else "There is none yet."
        raise NotFound(
            f"there is no certificate {name} in pvefw.cfg",
            hint=f"{listed} Add it: pvefw cert add {name} --acmedomain0 NAME,plugin=ID",
        )
    return known[name]


def _check_free(node: Node, name: str) -> None:
    for path in (node.paths.cluster_pvefw_cfg, node.paths.node_pvefw_cfg()):
        there = node.sections(path).get(name)
        if there is not None:
            raise UsageError(
                f"cert add: the name {name} is taken by '{there.type}: {there.id}' in {path}",
                hint=f"Change it: pvefw cert set {name}" if there.type == CERTIFICATE else "",
            )


def _checked(key: str, value: str) -> str:
    """The value as it is kept.

    :raises UsageError: it is not in its format, or no certificate has the property.
    """
    value = value.strip()
    if key in certificates.COMMON:
        return value
    known = properties.find(key)
    if known is not None and known.parts:
        value = normal_property_string(value)
    why = certificates.wrong(key, value)
    if why:
        hint = f"The format is: {known.format}" if known is not None and known.certificate else ""
        raise UsageError(f"cert set: {key}: {why}", hint=hint)
    return value


def _of_certificate(values: Mapping[str, str]) -> dict[str, str]:
    """What says something of the certificate, and is in its format."""
    return {key: value for key, value in values.items() if not certificates.wrong(key, value)}


def _check_names(name: str, values: Mapping[str, str]) -> None:
    """Refuse what would name one domain twice."""
    domains.entries(_of_certificate(values), f"{CERTIFICATE} {name}", f"pvefw cert set {name}")


def _write(node: Node, section: Section, path: Path) -> None:
    _replace(node, path, node.sections(path).with_section(section))


def _replace(node: Node, path: Path, sections: SectionConfig) -> None:
    there = node.cluster if path == node.paths.cluster_pvefw_cfg else node.own
    files.replace(path, replace(there, sections=sections).render(), private=True)
