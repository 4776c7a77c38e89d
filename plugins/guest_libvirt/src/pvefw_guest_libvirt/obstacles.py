"""What is known to prevent a move before it begins."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from pvefw.api import Guest, MigrateOptions
from pvefw_guest_libvirt import domains, files
from pvefw_guest_libvirt.connections import Pool
from pvefw_guest_libvirt.copying import exists
from pvefw_guest_libvirt.files import Places
from pvefw_guest_libvirt.metadata import Definition
from pvefw_guest_libvirt.references import File, Role, references

SAVED = (
    "its memory is saved on this node: it starts only here until the saved state is used or removed"
)


@dataclass(frozen=True)
class Obstacles:
    """What keeps one guest from moving to one node."""

    pool: Pool
    places: Places
    guest: Guest
    target: str
    options: MigrateOptions

    def find(self) -> list[str]:
        """Why it cannot move: one sentence each.

        :raises ProviderError: it cannot be found out.
        """
        if self.guest.kind == "container":
            return ["libvirt cannot move containers"]
        with self.pool.connection() as here, self.places.connected(self.target) as there:
            domain = here.lookupByUUIDString(self.guest.backend_id)
            definition = Definition.of(domain, live=True)  # with disks that were plugged in since
            needed = files.resolved(here, references(definition.root))
            if not self.options.online:  # else libvirt has followed the chains itself
                needed = files.with_backing(here, needed)
            reasons = _of_the_domain(domain)
            reasons += [reason for reason in needed if isinstance(reason, str)]
            reasons += self._of_files(here, there, self.places.local(needed))
            reasons += self._of_names(definition, there)
            reasons += self._of_pools(definition, there)
            reasons += self._of_what_is_named(definition.root, there)
            reasons += _refusal(lambda: _capabilities(there, definition))
            reasons += _missing_loader(there, definition)
            for name in definition.networks:
                reasons += self._of_network(name, there)
            if self.options.online:
                reasons += _missing_cpu(here, there, definition)
        return reasons

    def _of_files(self, here: Any, there: Any, local: Sequence[File]) -> list[str]:
        """What becomes of files that only this node has."""
        reasons = []
        running = self.options.online
        disks = [file for file in local if file.role is Role.DISK]
        if disks and not self.options.with_local_disks:
            names = ", ".join(disk.path for disk in disks)
            reasons.append(f"it has local disks ({names}); see --with-local-disks")
        elif disks:
            reasons += [
                f"{self.target} has no storage pool for {disk.path}"
                for disk in disks
                if not files.has_pool(there, disk)
            ]
            if not running:
                reasons += [
                    f"{disk.path} exists on {self.target}"
                    for disk in disks
                    if files.in_pool(there, disk)
                ]
        for file in local:
            if file.role is Role.STATE and not running and not file.path:
                reasons.append(f"the {file.what} stays on this node: move it while it runs")
            elif file.role is Role.STATE and not running and exists(here, file.path):
                if not self.options.with_local_disks:
                    reasons.append(
                        f"the {file.what} ({file.path}) stay behind; see --with-local-disks"
                    )
            elif file.role is Role.READ and not exists(there, file.path):
                reasons.append(f"{self.target} does not have its {file.what} ({file.path})")
        return reasons

    def _of_pools(self, definition: Definition, there: Any) -> list[str]:
        """Volumes are found by the name of their pool."""
        names = {
            element.get("pool", "")
            for element in definition.root.iterfind("devices/disk/source[@pool]")
        }
        return [
            why
            for name in sorted(names)
            for why in _refusal(partial(there.storagePoolLookupByName, name))
        ]

    def _of_network(self, name: str, there: Any) -> list[str]:
        try:
            active = there.networkLookupByName(name).isActive()
        except libvirt.libvirtError as error:
            return [" ".join(str(error).split())]
        return [] if active else [f"the network {name} is not active on {self.target}"]

    def _of_what_is_named(self, root: ET.Element, there: Any) -> list[str]:
        """Secrets, filters and host interfaces: the definition has their names, each node its own."""
        reasons = []
        for kind_, name, look in _named(root, there):
            try:
                missing = look() is None
            except libvirt.libvirtError as error:
                missing = error.get_error_code() in _NOT_THERE  # else its daemon cannot tell
            if missing:
                reasons.append(f"{self.target} does not have the {kind_} {name}")
        return list(dict.fromkeys(reasons))

    def _of_names(self, definition: Definition, there: Any) -> list[str]:
        reasons = []
        for other in domains.others(there, definition.uuid):
            if other.name == definition.name:
                reasons.append(f"{self.target} has another guest of this name")
            if other.vmid == self.guest.vmid:
                reasons.append(f"{other.name} of {self.target} has the VMID {other.vmid}, too")
        with contextlib.suppress(libvirt.libvirtError):  # there is none: as it should be
            same = there.lookupByUUIDString(definition.uuid)
            if same.name() != definition.name or same.isActive():
                reasons.append(f"{same.name()} of {self.target} has its UUID")
        return reasons


_NOT_THERE = (libvirt.VIR_ERR_NO_SECRET, libvirt.VIR_ERR_NO_NWFILTER, libvirt.VIR_ERR_NO_INTERFACE)
_USAGES = ("none", "volume", "ceph", "iscsi", "tls", "vtpm")
"""Of secrets, as libvirt numbers them."""


def _named(root: ET.Element, there: Any) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """What a definition names that is kept by each node: what it is, its name, and a look for it."""
    for secret in (*root.iter("secret"), *root.iter("encryption")):
        uuid, usage = secret.get("uuid") or secret.get("secret"), secret.get("usage")
        kind = secret.get("type", "")
        if uuid:
            yield "secret", uuid, partial(there.secretLookupByUUIDString, uuid)
        elif usage and kind in _USAGES:
            look = partial(there.secretLookupByUsage, _USAGES.index(kind), usage)
            yield f"{kind} secret", usage, look
    for element in root.iterfind("devices/interface/filterref"):
        name = element.get("filter", "")
        yield "network filter", name, partial(there.nwfilterLookupByName, name)
    for kind, key, noun in (("bridge", "bridge", "bridge"), ("direct", "dev", "network interface")):
        for source in root.iterfind(f"devices/interface[@type='{kind}']/source[@{key}]"):
            name = source.get(key, "")
            yield noun, name, partial(_interface, there, name)


def _interface(there: Any, name: str) -> object:
    """A network interface of a node; ``None`` where it is not among its devices.

    Debian 13 installs libvirt without its driver for interfaces.
    """
    try:
        return there.interfaceLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    for device in there.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET):
        with contextlib.suppress(libvirt.libvirtError):  # it has just gone
            description = ET.fromstring(device.XMLDesc())  # noqa: S314 - the daemon's own
            if description.findtext("capability/interface") == name:
                return device
    return None


def _of_the_domain(domain: Any) -> list[str]:
    """What libvirt itself keeps of a domain on this node."""
    reasons = [SAVED] if domains.has_saved_image(domain) else []
    with contextlib.suppress(libvirt.libvirtError):  # its driver has none
        if count := domain.snapshotNum():
            reasons.append(f"it has {count} snapshots, which libvirt does not move")
    return reasons


def _missing_loader(there: Any, definition: Definition) -> list[str]:
    """Whether the target offers the firmware image that the guest starts with."""
    loader = (definition.root.findtext("os/loader") or "").strip()
    if not loader:
        return []
    try:
        offered = ET.fromstring(str(_capabilities(there, definition)))  # noqa: S314 - the daemon's own
    except libvirt.libvirtError:
        return []  # said already
    values = {element.text for element in offered.iterfind("os/loader/value")}
    if not values or loader in values or exists(there, loader):
        return []
    return [f"the target does not have its firmware ({loader})"]


def _missing_cpu(here: Any, there: Any, definition: Definition) -> list[str]:
    """Whether the target's processor has what a running guest was started with."""
    root = definition.root
    cpu, kind = root.find("cpu"), root.find("os/type")
    if cpu is None or kind is None:
        return []
    flag = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
    try:
        if cpu.get("mode") in ("host-passthrough", "maximum"):
            host = ET.fromstring(here.getCapabilities()).find("host/cpu")  # noqa: S314 - the daemon's own
            if host is not None and root.get("type") == "kvm":
                there.compareCPU(ET.tostring(host, encoding="unicode"), flag)
        else:
            text = ET.tostring(cpu, encoding="unicode")
            there.compareHypervisorCPU(
                *(root.findtext("devices/emulator"), kind.get("arch"), kind.get("machine")),
                *(root.get("type"), text, flag),
            )
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            return [" ".join(str(error).split())]
    return []


def _refusal(question: Callable[[], object]) -> list[str]:
    """What libvirt has against something that is only looked at."""
    try:
        question()
    except libvirt.libvirtError as error:
        return [" ".join(str(error).split())]
    return []


def _capabilities(there: Any, definition: Definition) -> object:
    """Ask whether a daemon has what the guest runs on: emulator, machine type, KVM.

    :raises libvirt.libvirtError: it has not.
    """
    root = definition.root
    kind = root.find("os/type")
    arch, machine = (None, None) if kind is None else (kind.get("arch"), kind.get("machine"))
    emulator = root.findtext("devices/emulator")
    return there.getDomainCapabilities(emulator, arch, machine, root.get("type"))
