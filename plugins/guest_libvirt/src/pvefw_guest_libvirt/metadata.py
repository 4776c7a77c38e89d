"""What a domain's definition says of it, and what we keep in it: an element of our own namespace.

::

    <metadata>
      <pvefw:guest xmlns:pvefw="urn:pvefw:guest:1" of="UUID" vmid="101" onboot="1" order="2" after="100"/>
    </metadata>

``of`` is the domain that the VMID was given to: a copy of a definition (``virt-clone``) has another UUID,
and so no claim to the number.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

NAMESPACE = "urn:pvefw:guest:1"
_KEY = "pvefw"
_TAG = f"{{{NAMESPACE}}}guest"
_UNIT = 1024
_AGENT = "org.qemu.guest_agent.0"
_LAST_RESORT = (900_000_000, 99_999_000)
"""First and count of the numbers that are made from the UUID where none can be kept."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A domain's XML, as far as we care."""

    root: ET.Element

    @classmethod
    def of(cls, domain: Any, *, live: bool = False) -> "Definition":
        """Ask for it: as it will start next or, ``live``, as it runs.

        :raises libvirt.libvirtError: it cannot be had.
        """
        return cls(ET.fromstring(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)))  # noqa: S314 - the daemon's own

    @property
    def uuid(self) -> str:
        return self.root.findtext("uuid", "")

    @property
    def name(self) -> str:
        return self.root.findtext("name", "")

    @property
    def memory(self) -> int:
        """Bytes that it may use."""
        return int(self.root.findtext("memory", "0")) * _UNIT

    @property
    def values(self) -> Mapping[str, str]:
        """What we keep in it."""
        element = self.root.find(f"metadata/{_TAG}")
        values = {} if element is None else dict(element.attrib)
        if values.pop("of", "") != self.uuid:
            values.pop("vmid", None)
        return values

    @property
    def vmid(self) -> int | None:
        text = self.values.get("vmid", "")
        return int(text) if text.isdecimal() else None

    def number(self, key: str) -> int | None:
        """A setting that is a whole number."""
        text = self.values.get(key, "")
        return int(text) if text.isdecimal() else None

    @property
    def after(self) -> Sequence[int]:
        return [int(part) for part in self.values.get("after", "").split(",") if part.isdecimal()]

    @property
    def has_agent(self) -> bool:
        """Whether there is a channel for QEMU's guest agent."""
        return any(
            element.get("name") == _AGENT
            for element in self.root.iterfind("devices/channel/target")
        )

    @property
    def networks(self) -> Sequence[str]:
        """The virtual networks that it is connected to."""
        sources = self.root.iterfind("devices/interface[@type='network']/source")
        return sorted({source.get("network", "") for source in sources})


def keep(domain: Any, values: Mapping[str, str]) -> None:
    """Keep values in a domain, as it is defined and as it runs: a migration takes the latter along.

    :raises libvirt.libvirtError: they were not kept.
    """
    element = ET.Element("guest", {"of": domain.UUIDString()})  # libvirt adds key and namespace
    element.attrib.update({key: value for key, value in values.items() if value})
    flags = 0
    if domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    text = ET.tostring(element, encoding="unicode")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, _KEY, NAMESPACE, flags)


def numbered(
    domains: Sequence[tuple[Any, Definition]], first: int
) -> Iterable[tuple[Any, Definition, int]]:
    """Each domain with its VMID; one that has none gets the lowest that is free, and keeps it.

    Where two claim the same, the lower UUID has it.
    """
    taken: dict[int, str] = {}
    for _, definition in sorted(domains, key=lambda pair: pair[1].uuid):
        if definition.vmid is not None:
            taken.setdefault(definition.vmid, definition.uuid)
    free = first
    for domain, definition in sorted(domains, key=lambda pair: (pair[1].name, pair[1].uuid)):
        if definition.vmid is not None and taken[definition.vmid] == definition.uuid:
            yield domain, definition, definition.vmid
            continue
        while free in taken:
            free += 1
        vmid = free
        try:
            keep(domain, {**definition.values, "vmid": str(vmid)})
        except (
            libvirt.libvirtError
        ):  # busy, or read-only: a number that stays the same all the same
            vmid = last_resort(definition.uuid)
        taken[vmid] = definition.uuid
        yield domain, definition, vmid


def last_resort(uuid: str) -> int:
    """A number for a domain that cannot keep one: always the same."""
    lowest, count = _LAST_RESORT
    return lowest + zlib.crc32(uuid.encode()) % count
