"""What a domain's definition refers to outside itself: files to come along, and devices of the host.

The tables name every element that libvirt's schema (domaincommon.rng) allows in a domain, below ``<os>``
and below ``<devices>``, and every type of those that come in several; a test compares them with the
installed one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree as ET


class Role(StrEnum):
    """What a file is to a guest."""

    DISK = "disk"
    """Its data; while it runs, libvirt can copy it."""
    STATE = "state"
    """Written by the guest; libvirt takes it along while the guest runs."""
    READ = "read only"
    """It must be the same at the target, which is left to the administrator otherwise."""


@dataclass(frozen=True, slots=True)
class File:
    """A file or block device of the host that a guest needs."""

    path: str
    what: str
    """For messages: ``disk vda``."""
    role: Role
    target: str = ""
    """A disk's name in the guest: ``vda``."""
    pool: str = ""
    """The storage pool that names it, where the path is one of a volume."""
    format: str = ""
    """A disk's, as its driver has it: ``qcow2``; such an image may have others below it."""


References = Iterator[File | str]
"""Files, and reasons for which a guest cannot leave its host."""
_Rule = Callable[[ET.Element], References]


def _nothing(_element: ET.Element) -> References:
    yield from ()


def _of_the_host(what: str) -> _Rule:
    def obstacle(_element: ET.Element) -> References:
        yield f"it uses {what} of this host"

    return obstacle


def _read(what: str) -> _Rule:
    def files(element: ET.Element) -> References:
        if path := (element.text or "").strip():
            yield File(path, what, Role.READ)

    return files


# --- disks ----------------------------------------------------------------------------------------


def _source(
    source: ET.Element, what: str, role: Role, target: str = "", format_: str = ""
) -> References:
    path = source.get("file") or source.get("dev") or source.get("dir") or ""
    if source.get("volume"):
        yield File(source.get("volume", ""), what, role, target, source.get("pool", ""), format_)
    elif path:
        yield File(path, what, role, target, format=format_)


def _disk(element: ET.Element) -> References:
    target = element.find("target")
    name = "" if target is None else target.get("dev", "")
    device = {"cdrom": "CD-ROM", "floppy": "floppy disk"}.get(element.get("device", ""), "disk")
    read_only = device == "CD-ROM" or element.find("readonly") is not None
    if (source := element.find("source")) is not None:
        yield from DISKS.get(element.get("type", ""), _of_the_host("an unknown kind of disk"))(
            source
        )
        role = Role.READ if read_only else Role.DISK
        driver = element.find("driver")
        kind = "" if driver is None else driver.get("type", "")
        yield from _source(source, f"{device} {name}", role, "" if read_only else name, kind)
    for backing in element.iterfind(".//backingStore/source"):
        yield from _source(backing, f"backing file of {device} {name}", Role.READ)


DISKS: Mapping[str, _Rule] = {
    "block": _nothing,
    "dir": _nothing,
    "file": _nothing,
    "network": _nothing,
    "nvme": _of_the_host("an NVMe disk"),
    "vhostuser": _of_the_host("a vhost-user disk"),
    "vhostvdpa": _of_the_host("a vDPA disk"),
    "volume": _nothing,
}
"""By type: what there is beside a path."""

# --- other devices --------------------------------------------------------------------------------


def _interface(element: ET.Element) -> References:
    yield from INTERFACES.get(element.get("type", ""), _of_the_host("an unknown interface"))(
        element
    )


INTERFACES: Mapping[str, _Rule] = {
    **dict.fromkeys(("bridge", "client", "direct", "ethernet", "internal", "mcast"), _nothing),
    **dict.fromkeys(("network", "null", "server", "udp", "user", "vds"), _nothing),
    "hostdev": _of_the_host("an SR-IOV interface"),
    "vdpa": _of_the_host("a vDPA interface"),
    "vhostuser": _of_the_host("a vhost-user interface"),
}


def _tpm(element: ET.Element) -> References:
    backend = element.find("backend")
    kind = "" if backend is None else backend.get("type", "")
    if kind == "emulator":
        yield File("", "state of its TPM", Role.STATE)
    else:
        yield f"it uses a TPM of this host ({kind or 'unknown'})"


def _filesystem(element: ET.Element) -> References:
    source = element.find("source")
    where = "" if source is None else source.get("dir") or source.get("file") or "a file system"
    if element.get("type", "mount") != "ram":
        yield f"it uses {where} of this host (file-system passthrough)"


def _memory(element: ET.Element) -> References:
    if path := element.findtext("source/path"):
        yield f"it uses the memory device {path} of this host"


def _input(element: ET.Element) -> References:
    if element.get("type") in ("passthrough", "evdev"):
        yield "it uses an input device of this host"


def _character(element: ET.Element) -> References:
    """Serial ports and the like: a device is the host's; a socket or a log is made where it starts."""
    source = element.find("source")
    if element.get("type") == "dev" and source is not None:
        yield f"it uses {source.get('path')} of this host"


def _smartcard(element: ET.Element) -> References:
    if element.get("mode", "").startswith("host"):
        yield "it uses a smart card of this host"


def _render(element: ET.Element) -> References:
    """A graphics card of the host that draws for it."""
    for child in element.iter():
        if node := child.get("rendernode"):
            yield f"it uses the graphics card {node} of this host"


def _shmem(element: ET.Element) -> References:
    """What QEMU takes along is that of a master; libvirt refuses all others, and the model of old."""
    model = element.find("model")
    old = model is None or model.get("type") == "ivshmem"
    if old or element.get("role") != "master" or element.find("server") is not None:
        yield f"it shares the memory {element.get('name')} with others of this host"


def _lease(element: ET.Element) -> References:
    target = element.find("target")
    if target is not None and (path := target.get("path")):
        yield File(path, "lock space", Role.READ)


def _pstore(element: ET.Element) -> References:
    if path := element.findtext("path"):
        yield f"it uses {path.strip()} of this host (pstore)"


DEVICES: Mapping[str, _Rule] = {
    **dict.fromkeys(("audio", "controller", "emulator", "hub", "iommu"), _nothing),
    **dict.fromkeys(("memballoon", "nvram", "panic", "redirdev"), _nothing),
    **dict.fromkeys(("redirfilter", "rng", "sound", "vsock"), _nothing),
    **dict.fromkeys(("watchdog", "crypto"), _nothing),
    **dict.fromkeys(("graphics", "video"), _render),
    **dict.fromkeys(("channel", "console", "parallel", "serial"), _character),
    "disk": _disk,
    "filesystem": _filesystem,
    "hostdev": _of_the_host("a device"),
    "input": _input,
    "interface": _interface,
    "lease": _lease,
    "memory": _memory,
    "pstore": _pstore,
    "shmem": _shmem,
    "smartcard": _smartcard,
    "tpm": _tpm,
}


def _nvram(element: ET.Element) -> References:
    source = element.find("source")
    path = (element.text or "").strip() if source is None else source.get("file", "")
    if path:
        yield File(path, "UEFI variables", Role.STATE)


OS: Mapping[str, _Rule] = {
    **dict.fromkeys(("type", "firmware", "loader", "boot", "cmdline", "bootmenu"), _nothing),
    **dict.fromkeys(("smbios", "bios", "varstore"), _nothing),
    **dict.fromkeys(("init", "initarg", "initenv", "initdir", "inituser", "initgroup"), _nothing),
    **dict.fromkeys(("idmap",), _nothing),
    "acpi": lambda element: (
        reference for table in element.iterfind("table") for reference in _read("ACPI table")(table)
    ),
    "dtb": _read("device tree"),
    "initrd": _read("initrd"),
    "kernel": _read("kernel"),
    "nvram": _nvram,
    "root": _read("root file system"),
    "shim": _read("boot shim"),
}
"""A loader is compared with what the target's own daemon offers."""


# --- the rest of a domain ---------------------------------------------------------------------------


def _sysinfo(element: ET.Element) -> References:
    for entry in element.iterfind("entry[@file]"):
        what = f"file for its firmware ({entry.get('name')})"
        yield File(entry.get("file", ""), what, Role.READ)


def _security(element: ET.Element) -> References:
    yield f"it is bound to this host's processor (launch security {element.get('type')})"


def _command_line(element: ET.Element) -> References:
    """What libvirt hands to QEMU as it is. Anything can be in there; what looks like a path is one."""
    for child in element.iter():
        for path in _PATH.findall(child.get("value", "")):
            if path.startswith("/dev/"):
                yield f"it uses {path} of this host (in its QEMU command line)"
            else:
                yield File(path, "file in its QEMU command line", Role.READ)


_PATH = re.compile(r"(?:^|[=,:])(/[^,:=]+)")
DOMAIN: Mapping[str, _Rule] = {
    **dict.fromkeys(("name", "uuid", "genid", "title", "description", "metadata"), _nothing),
    **dict.fromkeys(("memory", "maxMemory", "currentMemory", "memoryBacking", "memtune"), _nothing),
    **dict.fromkeys(("vcpu", "vcpus", "cpu", "cputune", "numatune", "blkiotune"), _nothing),
    **dict.fromkeys(("iothreads", "iothreadids", "defaultiothread", "throttlegroups"), _nothing),
    **dict.fromkeys(("clock", "features", "pm", "perf", "resource", "seclabel"), _nothing),
    **dict.fromkeys(("on_crash", "on_lockfailure", "on_poweroff", "on_reboot"), _nothing),
    **dict.fromkeys(("idmap", "keywrap", "bootloader_args", "datacenterpath"), _nothing),
    **dict.fromkeys(("capabilities", "deprecation", "override", "namespace"), _nothing),
    **dict.fromkeys(("os", "devices"), _nothing),  # have tables of their own
    "bootloader": _read("boot loader"),
    "commandline": _command_line,
    "launchSecurity": _security,
    "sysinfo": _sysinfo,
}


def references(root: ET.Element) -> list[File | str]:
    """All that a definition refers to. An element that is not in the tables is a reason not to move."""
    files: list[File | str] = []
    for parent, table in ((".", DOMAIN), ("os", OS), ("devices", DEVICES)):
        for element in root.iterfind(f"{parent}/*"):
            name = element.tag.rpartition("}")[2]
            rule = table.get(name, _of_the_host(f"<{name}>, which pvefw does not know,"))
            files += rule(element)
    return list(dict.fromkeys(files))
