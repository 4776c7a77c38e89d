"""An instance and its section, the same for every family and both files::

    guest: libvirt
            api libvirt
            uri qemu:///system
            nodes pve1,pve2
            disable 1

``api`` is the plugin; without it, the section's id is. ``nodes`` are those that use the instance; without
it, all do. ``disable`` turns it off, unless 0, no, off or false follows. The plugin's settings are lines,
or together in ``data`` (base64url of ``KEY=VALUE`` lines), which wins.

In Proxmox VE's file a line may be a property of a newer Proxmox VE, so there a line is a setting only
where the plugin declares it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pvefw.core.errors import ConfigError, UsageError
from pvefw.store.plugin_sections import KINDS, STANDALONE, Kind
from pvefw.store.section_config import Section

DEFAULT_DELAY = 30
LONGEST_DELAY = 172800
_COMMON = ("api", "data", "disable", "nodes")
_DELAY = "validation-delay"
_DAMAGED = -1
"""A delay that cannot be read: every one that can is different."""


@dataclass(frozen=True)
class Instance:
    """A configured plugin."""

    family: str
    """The family's name: ``dns``."""
    id: str
    plugin: str
    """The entry point's name: ``ovh``; for a dns instance also a name from a catalogue."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """As configured; references are not resolved."""
    nodes: Sequence[str] = ()
    """Where it is used; empty for everywhere."""
    disabled: bool = False
    validation_delay: int = DEFAULT_DELAY
    """Seconds, 0 to 172800; fallback and upper bound of waiting for DNS. Only for those of ACME."""
    where: str = field(default="", compare=False)
    """File and line, ``/etc/pve/pvefw.cfg:12``; empty where no file mentions it."""
    undeclared: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Lines of Proxmox VE's file: settings where the plugin declares them."""
    problem: str = field(default="", compare=False)
    """Why its section cannot be read whole; such an instance can be listed, changed and removed."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.family]

    @property
    def who(self) -> str:
        """For messages: ``guest backend libvirt``."""
        return f"{self.kind.noun} {self.id}"

    @property
    def type(self) -> str:
        """The section's type: the family, or ``standalone``, as Proxmox VE has it."""
        alone = self.family == "challenge" and self.plugin == STANDALONE
        return STANDALONE if alone else self.family

    def used_on(self, node: str) -> bool:
        """Whether a node uses it."""
        return not self.disabled and (not self.nodes or node in self.nodes)


def family_of(type_: str) -> str:
    """The family of a section's type; the type itself where it is none of a family."""
    return "challenge" if type_ == STANDALONE else type_


def _own_keys(kind: Kind) -> tuple[str, ...]:
    return (*_COMMON, _DELAY) if kind.acme else _COMMON


def decode(section: Section, path: Path) -> Instance:
    """The instance that a section describes. What cannot be read becomes its ``problem``."""
    kind, values = KINDS[family_of(section.type)], section.values
    where = f"{path}:{section.line}" if section.line else ""
    problems = []
    try:
        data = decode_data(values.get("data", ""))
    except ConfigError as error:
        data = {}
        problems.append(error.message)
    delay = values.get(_DELAY, "") if kind.acme else ""
    if delay and (not re.fullmatch(r"[0-9]{1,6}", delay) or int(delay) > LONGEST_DELAY):
        problems.append(f"{_DELAY} is not a number from 0 to {LONGEST_DELAY}")
        delay = str(_DAMAGED)
    plugin = STANDALONE if section.type == STANDALONE else values.get("api") or section.id
    if kind.named_like_plugin and plugin != section.id:
        problems.append(f"api is {plugin}, but it is named like its plugin: {section.id}")
        plugin = section.id
    lines = {key: value for key, value in values.items() if key not in _own_keys(kind)}
    return Instance(
        family=kind.family,
        id=section.id,
        plugin=plugin,
        settings=data if kind.acme else {**lines, **data},
        nodes=section.nodes,
        disabled=section.disabled,
        validation_delay=int(delay) if delay else DEFAULT_DELAY,
        where=where,
        undeclared=lines if kind.acme else {},
        problem=f"{where}: {section.type}: {section.id}: {'; '.join(problems)}" if problems else "",
    )


def encode(section: Section, old: Instance, new: Instance) -> Section:
    """The section of a changed instance; what is the same keeps its form.

    :param section: what ``old`` was read from; without lines for a new instance.
    """
    changes: dict[str, str | None] = {}
    replaced = new.settings is not old.settings and (old.problem or new.settings != old.settings)
    implied = new.type == STANDALONE or new.kind.named_like_plugin
    if new.plugin != old.plugin or not section.lines or (implied and replaced):
        changes["api"] = None if implied else new.plugin
    if replaced:
        changes |= _placed(section, new)
    if new.nodes != old.nodes:
        changes["nodes"] = ",".join(new.nodes) or None
    if new.disabled != old.disabled:
        changes["disable"] = "1" if new.disabled else None
    if new.validation_delay != old.validation_delay:
        delay = new.validation_delay
        changes[_DELAY] = None if delay == DEFAULT_DELAY else str(delay)
    if new.type != section.type:
        section = replace(section, type=new.type, header="")
    return section.changed(changes)


def _placed(section: Section, new: Instance) -> dict[str, str | None]:
    """Where the settings go: into ``data`` where it is used already, and always in Proxmox VE's file."""
    if new.kind.acme:
        return {"data": encode_data(new.settings) or None}
    there = section.values
    lines: dict[str, str | None] = {
        key: None for key in there if key not in _own_keys(new.kind) and key not in new.settings
    }
    data = {}
    for key, value in new.settings.items():
        if _fits_a_line(key, value) and (key in there or "data" not in there):
            lines[key] = value
        else:
            data[key] = value
    return {**lines, "data": encode_data(data) or None}


def _is_one_line(value: str) -> bool:
    return len(f"{value}.".splitlines()) == 1


def _fits_a_line(key: str, value: str) -> bool:
    as_it_is = _is_one_line(value) and value == value.strip()
    return as_it_is and key not in _COMMON and re.fullmatch(r"[^\s#]\S*", key) is not None


def encode_data(values: Mapping[str, str]) -> str:
    """Settings as they stand in ``data``: base64url of ``KEY=VALUE`` lines, without padding.

    :raises UsageError: a value is more than one line: the others would be settings, too.
    """
    import base64

    for key, value in values.items():
        if not _is_one_line(value):
            raise UsageError(
                f"{key}: the value is more than one line",
                hint=f"Put it into a file that only root can read, and write: {key}=file:PATH",
            )
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_data(text: str) -> dict[str, str]:
    """The reverse of :func:`encode_data`; padding and the other base64 alphabet are accepted, too.

    :raises ConfigError: it is not that.
    """
    if not text:
        return {}
    import base64

    from pvefw.core import settings

    try:
        plain = text.translate(str.maketrans("+/", "-_")).rstrip("=")
        padded = plain + "=" * (-len(plain) % 4)
        return settings.parse(base64.b64decode(padded, altchars="-_", validate=True).decode())
    except ValueError as error:
        raise ConfigError("data is not base64url text") from error
