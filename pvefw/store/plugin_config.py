"""Plugin instances that answer challenges: ``/etc/pve/priv/acme/plugins.cfg``.

Types that Proxmox VE does not know (a third party's challenge plugin) stand as ``challenge: ID`` in the
cluster's ``pvefw.cfg``, so that its parser never stumbles over them.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvefw import settings
from pvefw.errors import ConfigError, NotFound, UsageError
from pvefw.store import files, locks, pvefw_config
from pvefw.store.paths import Paths
from pvefw.store.section_config import Section, SectionConfig

TYPES = ("dns", "standalone", "challenge")
STANDALONE = "standalone"
DEFAULT_DELAY = 30
LONGEST_DELAY = 172800
_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")
_LOCK = "acme-plugins"


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
    found = [_instance(one, paths.plugins_cfg) for one in _config(paths.plugins_cfg)[0].sections]
    found += [
        _instance(one, paths.cluster_pvefw_cfg) for one in pvefw_config.sections(paths, "challenge")
    ]
    if not any(one.id == STANDALONE for one in found):
        found.append(PluginInstance(STANDALONE, STANDALONE, STANDALONE))
    return sorted(found, key=lambda one: one.id)


def load(paths: Paths, id_: str) -> PluginInstance:
    """One instance.

    :raises NotFound: there is none of this id; the hint lists those that are there.
    """
    everything = load_all(paths)
    for one in everything:
        if one.id == id_:
            return one
    raise NotFound(
        f"there is no ACME plugin instance {id_}",
        hint=f"Instances: {', '.join(one.id for one in everything)}. "
        f"Add one: pvefw acme plugin add dns {id_} --api NAME --data FILE",
    )


def digest(paths: Paths) -> str:
    """What guards a change of ``plugins.cfg``."""
    return files.digest(files.read_if_exists(paths.plugins_cfg) or b"")


def add(paths: Paths, instance: PluginInstance) -> None:
    """Add an instance.

    :raises UsageError: the id is taken or not an id.
    """
    if not _ID.fullmatch(instance.id):
        raise UsageError(
            f"'{instance.id}' is not a plugin instance's id",
            hint="Letters, digits, '-' and '_', beginning with a letter.",
        )
    with locks.cluster_lock(paths, _LOCK):
        if any(one.id == instance.id for one in load_all(paths)):
            raise UsageError(
                f"acme plugin add: the id {instance.id} is taken",
                hint=f"Change it with: pvefw acme plugin set {instance.id}",
            )
        _write(paths, instance, None)


def change(paths: Paths, instance: PluginInstance, *, expected_digest: str | None = None) -> None:
    """Replace an instance's configuration; properties that pvefw does not know survive.

    :raises DigestMismatch: somebody else changed the file.
    """
    with locks.cluster_lock(paths, _LOCK):
        _check_digest(paths, expected_digest)
        _write(paths, instance, instance.id)


def remove(paths: Paths, id_: str, *, expected_digest: str | None = None) -> None:
    """Remove an instance.

    :raises NotFound: there is none of this id.
    :raises DigestMismatch: somebody else changed the file.
    """
    with locks.cluster_lock(paths, _LOCK):
        _check_digest(paths, expected_digest)
        if load(paths, id_).type == "challenge":
            pvefw_config.change_section(paths.cluster_pvefw_cfg, None, id_)
        else:
            config, _ = _config(paths.plugins_cfg)
            files.replace(paths.plugins_cfg, config.without(id_).render(), private=True)


def _check_digest(paths: Paths, expected: str | None) -> None:
    data = files.read_if_exists(paths.plugins_cfg) or b""
    files.check_digest(paths.plugins_cfg, data, expected)


def _config(path: Path) -> tuple[SectionConfig, bytes]:
    data = files.read_if_exists(path) or b""
    return SectionConfig.parse(data, str(path)), data


# --- sections -------------------------------------------------------------------------------------


def _instance(section: Section, path: Path) -> PluginInstance:
    values = section.values
    where = f"{path}: {section.type}: {section.id}"
    delay = values.get("validation-delay", str(DEFAULT_DELAY))
    if not delay.isdecimal() or int(delay) > LONGEST_DELAY:
        raise ConfigError(f"{where}: validation-delay is not a number from 0 to {LONGEST_DELAY}")
    return PluginInstance(
        id=section.id,
        type=section.type,
        api=STANDALONE if section.type == STANDALONE else values.get("api", ""),
        data=decode_data(values.get("data", ""), where),
        nodes=tuple(part.strip() for part in values.get("nodes", "").split(",") if part.strip()),
        disable=values.get("disable", "0") not in ("0", "no", "off", "false"),
        validation_delay=int(delay),
    )


def _write(paths: Paths, instance: PluginInstance, old_id: str | None) -> None:
    values: dict[str, str | None] = {
        "api": None if instance.type == STANDALONE else instance.api,
        "data": encode_data(instance.data) if instance.data else None,
        "nodes": ",".join(instance.nodes) or None,
        "disable": "1" if instance.disable else None,
        "validation-delay": _unless_default(instance),
    }
    if instance.type == "challenge":
        existing = {one.id: one for one in pvefw_config.sections(paths, "challenge")}
        section = existing.get(old_id or "", Section("challenge", instance.id)).changed(values)
        pvefw_config.change_section(paths.cluster_pvefw_cfg, section, instance.id)
        return
    config, _ = _config(paths.plugins_cfg)
    section = config.get(instance.id) or Section(instance.type, instance.id)
    changed = config.with_section(section.changed(values))
    files.replace(paths.plugins_cfg, changed.render(), private=True)


def _unless_default(instance: PluginInstance) -> str | None:
    delay = instance.validation_delay
    return None if delay == DEFAULT_DELAY else str(delay)


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
        raw = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
        return settings.parse(raw.decode())
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: data is not base64url text") from error
