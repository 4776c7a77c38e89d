"""Plugin instances that answer challenges: ``/etc/pve/priv/acme/plugins.cfg``.

What Proxmox VE's schema for that file has no place for stands in ``pvefw-plugins.cfg`` beside it, in the
same format, so that its parser never stumbles and never drops what it does not know: types of third
parties, dns plugins that it does not ship, and standalone instances with settings. An instance is in one
of the two; where it is in both, ours counts: Proxmox VE always puts ``standalone`` into its own.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pvefw.core import settings
from pvefw.core.errors import ConfigError, NotFound, UsageError
from pvefw.store import files, locks, properties
from pvefw.store.paths import Paths
from pvefw.store.section_config import Section, SectionConfig, check_id

STANDALONE = "standalone"
DEFAULT_DELAY = 30
LONGEST_DELAY = 172800
_LOCK = "file-priv_acme_plugins_cfg"
"""Proxmox VE's own lock for ``plugins.cfg``."""


@dataclass(frozen=True)
class PluginInstance:
    """A configured plugin that answers challenges."""

    id: str
    type: str
    """``dns``, ``standalone``, or ``challenge`` for a third party's."""
    api: str = ""
    """The plugin's name: ``ovh``; for ``standalone`` always that."""
    data: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its settings as configured; references are not resolved."""
    nodes: Sequence[str] = ()
    """Where it may be used; empty for everywhere."""
    disable: bool = False
    validation_delay: int = DEFAULT_DELAY
    """Seconds; fallback and upper bound of waiting for DNS."""


def load_all(paths: Paths) -> list[PluginInstance]:
    """Every instance; ``standalone`` is always among them.

    :raises ConfigError: a file is damaged.
    """
    return [_instance(*one) for _, one in sorted(_sections(paths).items())]


def load(paths: Paths, id_: str) -> PluginInstance:
    """One instance.

    :raises NotFound: there is none of this id; the hint lists those that are there.
    :raises ConfigError: it, or a whole file, is damaged.
    """
    sections = _sections(paths)
    if id_ not in sections:
        raise NotFound(
            f"there is no ACME plugin instance {id_}",
            hint=f"Instances: {', '.join(sorted(sections))}. "
            f"Add one: pvefw acme plugin add dns {id_} --api NAME --data FILE",
        )
    return _instance(*sections[id_])


def digest(paths: Paths) -> str:
    """What guards a change: the digest of ``plugins.cfg``, as Proxmox VE shows it, and then of ours."""
    return files.digest(_bytes(paths))


def add(paths: Paths, instance: PluginInstance) -> None:
    """Add an instance.

    :raises UsageError: the id is taken or not an id.
    """
    check_id(instance.id, "a plugin instance's id")
    with locks.cluster_lock(paths, _LOCK):
        if instance.id in _sections(paths):
            raise UsageError(
                f"acme plugin add: the id {instance.id} is taken",
                hint=f"Change it with: pvefw acme plugin set {instance.id}",
            )
        _write(paths, instance)


def change(
    paths: Paths,
    id_: str,
    changed: Callable[[PluginInstance], PluginInstance],
    *,
    expected_digest: str | None = None,
) -> None:
    """Change an instance's configuration; properties that pvefw does not know survive.

    :param changed: makes the new one of the old one. The lock is held meanwhile; what it raises passes.
    :raises NotFound: there is none of this id.
    :raises DigestMismatch: somebody else changed the file.
    """
    with locks.cluster_lock(paths, _LOCK):
        _check_digest(paths, expected_digest)
        _write(paths, replace(changed(load(paths, id_)), id=id_))


def remove(paths: Paths, id_: str, *, expected_digest: str | None = None) -> None:
    """Remove an instance. Of ``standalone`` the settings go; the instance is always there.

    :raises NotFound: there is none of this id.
    :raises DigestMismatch: somebody else changed the file.
    """
    with locks.cluster_lock(paths, _LOCK):
        _check_digest(paths, expected_digest)
        if id_ not in _sections(paths):
            load(paths, id_)  # says so
        for path in _files(paths):
            _remove(path, id_)


def _check_digest(paths: Paths, expected: str | None) -> None:
    files.check_digest(paths.plugins_cfg, _bytes(paths), expected)


# --- the two files --------------------------------------------------------------------------------


def _files(paths: Paths) -> tuple[Path, Path]:
    return paths.plugins_cfg, paths.own_plugins_cfg


def _bytes(paths: Paths) -> bytes:
    return b"".join(files.read_if_exists(path) or b"" for path in _files(paths))


def _config(path: Path) -> SectionConfig:
    return SectionConfig.parse(files.read_if_exists(path) or b"", str(path))


def _sections(paths: Paths) -> dict[str, tuple[Section, Path]]:
    """Every section by its id, and the file it is in."""
    found = {STANDALONE: (Section(STANDALONE, STANDALONE), paths.plugins_cfg)}
    for path in _files(paths):
        found |= {one.id: (one, path) for one in _config(path).sections}
    return found


def _write(paths: Paths, instance: PluginInstance) -> None:
    """Put an instance where it belongs; one that moves is never in neither of the files."""
    home, other = _files(paths) if _pve_accepts(paths, instance) else reversed(_files(paths))
    section, path = _sections(paths).get(
        instance.id, (Section(instance.type, instance.id), paths.plugins_cfg)
    )
    changed = _config(home).with_section(_changed(section, instance, path))
    files.replace(home, changed.render(), private=True)
    _remove(other, instance.id)


def _remove(path: Path, id_: str) -> None:
    config = _config(path)
    if config.get(id_) is not None:
        files.replace(path, config.without(id_).render(), private=True)


def _pve_accepts(paths: Paths, instance: PluginInstance) -> bool:
    """Whether Proxmox VE's schema has a place for all of an instance."""
    if not properties.pve_id(instance.id):
        return False
    if instance.type == STANDALONE:
        return not instance.data and instance.validation_delay == DEFAULT_DELAY
    return instance.type == "dns" and _pve_knows(paths, instance.api)


def _pve_knows(paths: Paths, api: str) -> bool:
    """Whether Proxmox VE ships this dns plugin; where it is not installed, it cannot mind."""
    data = files.read_if_exists(paths.pve_dns_apis)
    if data is None:
        return True
    try:
        return api in dict(json.loads(data))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{paths.pve_dns_apis}: this is not a JSON object") from error


# --- sections -------------------------------------------------------------------------------------


def _instance(section: Section, path: Path) -> PluginInstance:
    values = section.values
    where = f"{path}: {section.type}: {section.id}"
    delay = values.get("validation-delay", str(DEFAULT_DELAY))
    if not (delay.isascii() and delay.isdecimal()) or int(delay) > LONGEST_DELAY:
        raise ConfigError(f"{where}: validation-delay is not a number from 0 to {LONGEST_DELAY}")
    return PluginInstance(
        id=section.id,
        type=section.type,
        api=STANDALONE if section.type == STANDALONE else values.get("api", ""),
        data=decode_data(values.get("data", ""), where),
        nodes=tuple(re.split(r"[\s,;]+", values["nodes"].strip(" ,;")))
        if values.get("nodes")
        else (),
        disable=values.get("disable", "0").lower() not in ("0", "no", "off", "false"),
        validation_delay=int(delay),
    )


def _changed(section: Section, instance: PluginInstance, path: Path) -> Section:
    """The section with what is different; what is the same keeps its form."""
    old = _instance(section, path)
    changes: dict[str, str | None] = {}
    if instance.api != old.api:
        changes["api"] = instance.api or None
    if instance.data != old.data:
        changes["data"] = encode_data(instance.data) or None
    if instance.nodes != old.nodes:
        changes["nodes"] = ",".join(instance.nodes) or None
    if instance.disable != old.disable:
        changes["disable"] = "1" if instance.disable else None
    if instance.validation_delay != old.validation_delay:
        delay = instance.validation_delay
        changes["validation-delay"] = None if delay == DEFAULT_DELAY else str(delay)
    return section.changed(changes)


def encode_data(values: Mapping[str, str]) -> str:
    """Settings as they stand in the file: base64url of ``KEY=VALUE`` lines, without padding."""
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_data(text: str, where: str) -> dict[str, str]:
    """The reverse of :func:`encode_data`; padding and the other base64 alphabet are accepted, too.

    :param where: names the section in errors.
    :raises ConfigError: it is not that.
    """
    try:
        plain = text.translate(str.maketrans("+/", "-_")).rstrip("=")
        padded = plain + "=" * (-len(plain) % 4)
        return settings.parse(base64.b64decode(padded, altchars="-_", validate=True).decode())
    except ValueError as error:
        raise ConfigError(f"{where}: data is not base64url text") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from error
