"""What pvefw says that Secure Boot refuses, a real firmware with the same variables refuses, too."""

import struct
import subprocess
from pathlib import PurePosixPath

import pytest
from boot.conftest import HostTree
from boot.test_firmware import GLOBAL, variable
from boot.test_trust import (
    DATABASES,
    GRUB,
    MICROSOFT,
    SHA256,
    SHIM,
    STORE_GUID,
    VALID,
    signature_list,
    variables_of,
)
from servers.machines.power import new_variables, say_until

from pvefw.boot import signatures
from pvefw.boot.images import Image

pytestmark = [pytest.mark.xdist_group("grub"), pytest.mark.timeout(900)]
DELETED = 0xFD
"""The bit that is cleared in the state of a variable that is no longer valid."""
TARGET = PurePosixPath("EFI/BOOT/BOOTX64.EFI")


def append(path, name, extra):
    """Write a variable's longer value behind the others, as the firmware does."""
    data, record = bytearray(path.read_bytes()), b""
    at = data.index(STORE_GUID.bytes_le) + 28
    while data[at : at + 2] == b"\xaa\x55":
        name_size, size = struct.unpack_from("<II", data, at + 36)
        begin, end = at + 60, at + 60 + name_size + size
        called = data[begin : begin + name_size].decode("utf-16-le").rstrip("\0")
        if data[at + 2] == VALID and called == name:
            record = data[at:end] + extra
            struct.pack_into("<I", record, 40, size + len(extra))
            data[at + 2] &= DELETED
        at = -(-end // 4) * 4
    assert record
    assert not data[at : at + len(record)].strip(b"\xff"), "there is no room"
    data[at : at + len(record)] = record
    path.write_bytes(data)


def esp(path):
    """A disk with a file system with Debian's shim and GRUB."""
    with path.open("wb") as image:
        image.truncate(64 << 20)
    for command in (
        ["mkfs.vfat", path],
        ["mmd", "-i", path, "::EFI", "::EFI/BOOT"],
        ["mcopy", "-i", path, SHIM, f"::{TARGET}"],
        ["mcopy", "-i", path, GRUB, f"::{TARGET.parent}/grubx64.efi"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.parametrize(
    "banned",
    [
        lambda: b"",
        lambda: signature_list(SHA256, Image.read(SHIM).digest),
        lambda: variables_of(MICROSOFT)["db"],
    ],
    ids=["nothing", "the loader's digest", "the certificates"],
)
def test_the_firmware_refuses_what_we_refuse(banned, tmp_path):
    variables = new_variables(tmp_path / "variables", secure_boot=True)
    append(variables, "dbx", banned())
    host = HostTree(tmp_path / "host")
    variable(host, "SecureBoot", GLOBAL, b"\1")
    for name in ("db", "dbx"):
        variable(host, name, DATABASES, variables_of(variables)[name])

    refused = signatures.refusals(host.paths, {TARGET: SHIM}, [TARGET])
    said = say_until(esp(tmp_path / "disk"), variables, ["Access Denied", "GNU GRUB"])

    assert bool(refused) == bool(banned())
    assert ("Access Denied" in said, "GNU GRUB" in said) == (bool(refused), not refused)
