"""Nothing is installed that Secure Boot refuses: Debian's own images against real stores of variables."""

import functools
import hashlib
import shutil
import struct
from pathlib import Path, PurePosixPath
from uuid import UUID

import pefile
import pytest
from boot.conftest import KERNELS, UUIDS, Plain, loaders_of
from boot.test_firmware import GLOBAL, variable
from resources import uses

from pvefw.api import Firmware, hookimpl
from pvefw.boot import images, refresh, registry, signatures, status
from pvefw.boot.images import Image
from pvefw.core.errors import Unsupported
from pvefw.core.model import Kernel
from pvefw.testing.fakes import FakeTask

DATABASES = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
SHIM_VENDOR = "605dab50-e046-4300-abb6-3dd810dd8b23"
SHIM = Path("/usr/lib/shim/shimx64.efi.signed")
GRUB = Path("/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
STORES = Path("/usr/share/OVMF")
MICROSOFT, SNAKEOIL = "OVMF_VARS_4M.ms.fd", "OVMF_VARS_4M.snakeoil.fd"
"""Both trust no certificate of 2023: Microsoft's of 2011, and one of somebody's own."""
STORE_GUID = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
VALID = 0x3F
X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
SHA256 = UUID("c1c41626-504c-4092-aca9-41f936934328")
X509_SHA256 = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")


@functools.cache
def variables_of(store):
    """The variables of OVMF's authenticated store (EDK2, VariableFormat.h)."""
    data, found = (STORES / store).read_bytes(), {}
    at = data.index(STORE_GUID.bytes_le) + 28
    while data[at : at + 2] == b"\xaa\x55":
        name_size, size = struct.unpack_from("<II", data, at + 36)
        begin = at + 60
        if data[at + 2] == VALID:
            name = data[begin : begin + name_size].decode("utf-16-le").rstrip("\0")
            found[name] = data[begin + name_size : begin + name_size + size]
        at = -(-(begin + name_size + size) // 4) * 4
    return found


def signed_once(path, which):
    """An image with one of its signatures only, as the other half of it comes from another time."""
    data = bytearray(path.read_bytes())
    entry = pefile.PE(data=bytes(data), fast_load=True).OPTIONAL_HEADER.DATA_DIRECTORY[4]
    blobs, at = [], entry.VirtualAddress
    while at < entry.VirtualAddress + entry.Size:
        length = -(-int.from_bytes(data[at : at + 4], "little") // 8) * 8
        blobs.append(data[at : at + length])
        at += length
    struct.pack_into("<I", data, entry.get_file_offset() + 4, len(blobs[which]))
    return bytes(data[: entry.VirtualAddress] + blobs[which])


def signature_list(kind, entry):
    head = kind.bytes_le + struct.pack("<III", 28 + 16 + len(entry), 0, 16 + len(entry))
    return head + bytes(16) + entry


EMPTY_LIST = X509.bytes_le + struct.pack("<III", 28, 0, 16)
"""Its entries would have no room for more than their owner."""


@pytest.fixture
def firmware(host, plain):
    """Gives this host Secure Boot with the variables of a store."""
    plain.firmware = Firmware.UEFI

    def enrol(store=MICROSOFT, **more):
        variable(host, "SecureBoot", GLOBAL, b"\1")
        for name in ("db", "dbx"):
            value = variables_of(store)[name] + more.get(name, b"")
            variable(host, name, DATABASES, value)
        for name in ("MokListRT", "MokListXRT", "SbatLevelRT"):
            if name in more:
                variable(host, name, SHIM_VENDOR, more[name])

    return enrol


@pytest.fixture
def verdicts(host, tmp_path):
    """Why images are refused that lie beside each other, by name."""

    def judge(**images):
        files = {}
        for name, content in images.items():
            path = tmp_path / name
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
            files[PurePosixPath("EFI/proxmox", f"{name}x64.efi")] = path
        found = signatures.refusals(host.paths, files, files)
        return {key.name.removesuffix("x64.efi"): str(why) for key, why in found.items()}

    return judge


def test_debians_loaders_where_microsoft_is_trusted(firmware, verdicts):
    firmware()
    assert verdicts(shim=SHIM, grub=GRUB) == {}


def test_grub_without_shim_is_the_firmwares_to_judge(firmware, verdicts):
    firmware()
    assert "does not trust Debian Secure Boot CA" in verdicts(grub=GRUB)["grub"]


def test_an_old_machine_lacks_the_certificate_of_2023(firmware, verdicts):
    firmware()
    old, new = (signed_once(SHIM, which) for which in (0, 1))
    assert verdicts(shim=old) == {}
    said = verdicts(shim=new)["shim"]
    assert said.startswith("the firmware does not trust Microsoft UEFI CA 2023, which signed it; ")
    assert "fwupdmgr update" in said


def test_a_new_machine_has_only_that(firmware, verdicts, host):
    ca = Image(signed_once(SHIM, 1)).signatures[0][1]
    firmware(SNAKEOIL, db=signature_list(X509, ca.public_bytes(_der())))
    assert verdicts(shim=signed_once(SHIM, 1)) == {}
    assert "Microsoft Corporation UEFI CA 2011" in verdicts(shim=signed_once(SHIM, 0))["shim"]


def _der():
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def test_somebodys_own_keys_trust_nobody_else(firmware, verdicts):
    firmware(SNAKEOIL)
    assert "UEFI CA 2011 or Microsoft UEFI CA 2023, which" in verdicts(shim=SHIM)["shim"]


def test_an_image_may_be_trusted_by_its_digest_alone(firmware, verdicts):
    unsigned = SHIM.with_suffix("")
    firmware(SNAKEOIL, db=signature_list(SHA256, Image.read(unsigned).digest))
    assert verdicts(shim=unsigned) == {}


def test_the_digest_is_what_was_signed():
    for path in (SHIM, GRUB):
        image = Image.read(path)
        assert image.digest in image.data, "no signature is of this digest"


@pytest.mark.parametrize("how", ["image", "authority", "certificate"])
def test_what_is_revoked_is_refused_though_another_signature_is_good(firmware, verdicts, how):
    image = Image.read(SHIM)
    leaf, authority = image.signatures[0][:2]
    digest = hashlib.sha256(leaf.tbs_certificate_bytes).digest()
    lists = {
        "image": signature_list(SHA256, image.digest),
        "authority": signature_list(X509, authority.public_bytes(_der())),
        "certificate": signature_list(X509_SHA256, digest + bytes(16)),
    }
    firmware(dbx=lists[how])
    assert "the firmware has revoked it; upgrade" in verdicts(shim=SHIM, grub=GRUB)["shim"]


@pytest.mark.parametrize(
    ("level", "refused"), [("shim,9", ["shim"]), ("grub,9", ["grub"]), ("grub,3", [])]
)
def test_generations_that_shim_no_longer_starts(firmware, verdicts, level, refused):
    firmware(SbatLevelRT=f"sbat,1,2026010100\n{level}\n".encode())
    found = verdicts(shim=SHIM, grub=GRUB)
    assert list(found) == refused
    assert all("is revoked (SBAT), 9 is required" in why for why in found.values())


def test_what_the_owner_has_enrolled_in_shim(firmware, verdicts):
    """A GRUB of another vendor, or one's own, beside Debian's shim."""
    other = SHIM.read_bytes()  # whatever Debian's certificate did not sign
    firmware(SNAKEOIL)
    assert "shim does not trust" in verdicts(shim=SHIM, grub=other)["grub"]
    ca = Image.read(SHIM).signatures[0][1].public_bytes(_der())
    firmware(SNAKEOIL, MokListRT=signature_list(X509, ca))
    assert "grub" not in verdicts(shim=SHIM, grub=other)
    firmware(SNAKEOIL, MokListRT=signature_list(X509, ca), MokListXRT=signature_list(X509, ca))
    assert "shim has revoked it" in verdicts(shim=SHIM, grub=other)["grub"]


def with_table(path, entries):
    """An image whose signatures are these, each a length, a type, and what it holds."""
    data = bytearray(path.read_bytes())
    entry = pefile.PE(data=bytes(data), fast_load=True).OPTIONAL_HEADER.DATA_DIRECTORY[4]
    table = b"".join(
        struct.pack("<IHH", length, 0x200, kind) + held.ljust(-(-length // 8) * 8 - 8, b"\0")
        for length, kind, held in entries
    )
    struct.pack_into("<I", data, entry.get_file_offset() + 4, len(table))
    return bytes(data[: entry.VirtualAddress] + table)


@pytest.mark.parametrize(
    "entries",
    [[(0, 2, b"nothing")], [(8, 2, b"")], [(24, 2, b"\x30\x82\0\x08rubbish")], [(24, 1, b"X.509")]],
    ids=["of no length", "empty", "rubbish", "of another type"],
)
def test_a_damaged_signature_is_none(firmware, verdicts, entries):
    firmware()
    assert verdicts(shim=with_table(SHIM, entries))["shim"].startswith("it is not signed; ")


def test_a_good_signature_behind_one_of_another_type_counts(firmware, verdicts):
    firmware()
    data = SHIM.read_bytes()
    entry = pefile.PE(data=data, fast_load=True).OPTIONAL_HEADER.DATA_DIRECTORY[4]
    begin = entry.VirtualAddress
    length = int.from_bytes(data[begin : begin + 4], "little")
    good = (length, 2, data[begin + 8 : begin + length])
    assert verdicts(shim=with_table(SHIM, [(24, 1, b"X.509"), good])) == {}


@pytest.mark.parametrize("content", [b"MZ", b"no image at all" * 9])
def test_what_is_no_image_is_not_signed_unless_its_digest_is_trusted(firmware, verdicts, content):
    firmware()
    assert verdicts(shim=content)["shim"].startswith("it is not signed; ")
    firmware(db=signature_list(SHA256, hashlib.sha256(content).digest()))
    assert verdicts(shim=content) == {}


def test_a_certificate_that_signed_itself_may_be_the_trusted_one(firmware, verdicts):
    """Of one's own keys the one that signs is in db itself."""
    leaf = Image.read(SHIM).signatures[0][0]
    firmware(SNAKEOIL, db=signature_list(X509, leaf.public_bytes(_der())))
    assert verdicts(shim=SHIM) == {}


def test_an_issuer_of_the_same_name_with_another_key_is_not_trusted(firmware, verdicts):
    """Its name alone proves nothing."""
    authority = Image.read(SHIM).signatures[0][0].issuer
    firmware(SNAKEOIL, db=signature_list(X509, self_signed(authority)))
    assert "does not trust" in verdicts(shim=SHIM)["shim"]


def self_signed(name):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=2))
    return builder.sign(key, hashes.SHA256()).public_bytes(_der())


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 99, X509.bytes_le, signature_list(X509, b"none"), EMPTY_LIST]
)
def test_lists_that_cannot_be_read_refuse_nothing(host, firmware, verdicts, data):
    firmware()
    variable(host, "db", DATABASES, data)
    variable(host, "dbx", DATABASES, data)
    found = verdicts(shim=SHIM)
    assert not found or "does not trust" in found["shim"]


@uses("server")  # apt fetches them
def test_debians_kernels(firmware, host, tmp_path):
    from servers.machines.kernels import boot_kernels

    kernel = boot_kernels()[0]
    offered = [Kernel(kernel.version, kernel.image, kernel.image)]
    firmware(MokListRT=signature_list(X509, Image.read(SHIM).vendor))
    assert signatures.refused_kernels(host.paths, offered) == []
    firmware(MokListRT=variables_of(SNAKEOIL)["db"])
    [said] = signatures.refused_kernels(host.paths, offered)
    assert "shim does not trust Debian Secure Boot CA, which signed it" in said
    (host.root / "usr/lib/shim").mkdir(parents=True)  # the shim that the host is about to use
    shutil.copy(SHIM, host.root / "usr/lib/shim")
    assert signatures.refused_kernels(host.paths, offered) == []


class Shimmed(Plain):
    """Starts from the images of this host's packages, as GRUB does."""

    def __init__(self, package):
        super().__init__(firmware=Firmware.UEFI)
        self.package = package

    @hookimpl
    def boot_install(self, esp, firmware, task):
        super().boot_install(esp=esp, firmware=firmware, task=task)
        for target, source in self.boot_files(esp=esp).items():
            (esp.mountpoint / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, esp.mountpoint / target)

    @hookimpl
    def boot_files(self, esp):
        return {
            PurePosixPath("EFI/proxmox", f"{name}x64.efi"): self.package / name
            for name in ("shim", "grub")
        }


@pytest.fixture
def package(host):
    folder = host.root / "usr/lib/package"
    folder.mkdir(parents=True)
    shutil.copyfile(SHIM, folder / "shim")
    shutil.copyfile(GRUB, folder / "grub")
    for kernel in host.root.glob("boot/vmlinuz-*"):
        shutil.copyfile(GRUB, kernel)
    return folder


@pytest.fixture
def shimmed(context, package):
    loader = Shimmed(package)
    return lambda **more: context(loaders=loaders_of(loader), **more)


def images_on(machine, uuid):
    folder = machine.directory / uuid / "EFI/proxmox"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def test_init_installs_no_loader_that_the_firmware_refuses(
    firmware, shimmed, machine, package, host
):
    firmware()
    (package / "shim").write_bytes(signed_once(SHIM, 1))
    with pytest.raises(Unsupported, match=r"shimx64\.efi is not installed: Secure Boot") as caught:
        registry.init(shimmed(), machine.path_of(UUIDS[0]), "plain")
    assert "fwupdmgr" in caught.value.hint
    assert images_on(machine, UUIDS[0]) == {}
    assert not host.paths.esp_uuids.exists()


def test_reinit_and_refresh_keep_the_loader_that_starts(firmware, shimmed, machine, package):
    firmware()
    for uuid in UUIDS:
        registry.init(shimmed(), machine.path_of(uuid), "plain")
    assert status.status(shimmed()).ok
    before = images_on(machine, UUIDS[0])
    (package / "shim").write_bytes(signed_once(SHIM, 1))

    refresh.refresh(shimmed(task=(task := FakeTask())))
    with pytest.raises(Unsupported, match="does not trust Microsoft UEFI CA 2023"):
        registry.reinit(shimmed())

    assert [images_on(machine, uuid) for uuid in UUIDS] == [before] * 2
    assert any("would not start the new one" in warning for warning in task.warnings)
    found = status.status(shimmed())
    assert [esp.state for esp in found.esps] == ["drift"] * 2
    assert KERNELS[-1] in found.kernels


def test_a_generation_of_thousands_of_digits_is_none():
    """Python refuses to read such a number."""
    text = b"sbat,1,SBAT Version,sbat,1\nshim," + b"9" * 5000 + b",Somebody\ngrub,3,GRUB\n\0"
    assert images.generations(text) == {"sbat": 1, "grub": 3}
