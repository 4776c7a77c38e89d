"""The firmware's boot entries as variables, from what ``efibootmgr -v`` prints of them."""

import re
import struct
from uuid import UUID

_HD = re.compile(r"HD\((\d+),GPT,([0-9a-f-]+),0x([0-9a-f]+),0x([0-9a-f]+)\)")
_END = b"\x7f\xff\x04\0"


def variables(text):
    """Name to value, without attributes."""
    made = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "BootOrder:":
            made["BootOrder"] = b"".join(_number(number) for number in rest.split(","))
        elif name == "BootNext:":
            made["BootNext"] = _number(rest)
        elif re.fullmatch(r"Boot[0-9A-F]{4}\*?", name):
            made[name.rstrip("*")] = _option(rest, active=name.endswith("*"))
    return made


def _number(text):
    return struct.pack("<H", int(text, 16))


def _option(text, *, active):
    """EFI_LOAD_OPTION (UEFI specification, section 3.1.3)."""
    label, _, where = text.partition("\t")
    path = _path(where)
    head = struct.pack("<IH", int(active), len(path))
    return head + f"{label}\0".encode("utf-16-le") + path + b"optional data"


def _path(text):
    """A device path: of a partition and a file, or of something on a PCI bus."""
    match = _HD.search(text)
    if not match:
        return struct.pack("<BBHBB", 1, 1, 6, 0, 3) + _END if text else _END
    number, uuid, start, size = match.groups()
    disk = struct.pack("<BBHIQQ", 4, 1, 42, int(number), int(start, 16), int(size, 16))
    nodes = [disk + UUID(uuid).bytes_le + b"\2\2"]
    if file := re.search(r"File\((.*)\)", text[match.end() :]):
        name = f"{file[1]}\0".encode("utf-16-le")
        nodes.append(struct.pack("<BBH", 4, 4, 4 + len(name)) + name)
    return b"".join(nodes) + _END
