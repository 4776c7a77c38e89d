"""What a definition refers to: every kind is known beforehand, and compared with libvirt's own schema."""

import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import pytest
from servers.libvirt import DISK

from pvefw.api import MigrateOptions
from pvefw.testing.guest import PatientTask
from pvefw_guest_libvirt.references import (
    DEVICES,
    DISKS,
    DOMAIN,
    INTERFACES,
    OS,
    File,
    Role,
    references,
)

SCHEMAS = Path("/usr/share/libvirt/schemas")
LOADER = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
RELAX = "{http://relaxng.org/ns/structure/1.0}"


class Schema:
    """libvirt's grammar, as far as the names of elements and the values of attributes go."""

    def __init__(self):
        self.defines = {}
        for name in ("domaincommon", "storagecommon", "basictypes", "cputypes"):
            for define in ET.parse(SCHEMAS / f"{name}.rng").getroot().iter(f"{RELAX}define"):
                self.defines.setdefault(define.get("name"), []).append(define)

    def elements(self, node, seen=()):
        """The elements that may stand directly in a pattern."""
        for child in node:
            if child.tag == f"{RELAX}element":
                yield child
            elif child.tag == f"{RELAX}ref" and child.get("name") not in seen:
                for define in self.defines.get(child.get("name"), []):
                    yield from self.elements(define, (*seen, child.get("name")))
            elif child.tag not in (f"{RELAX}attribute", f"{RELAX}ref"):
                yield from self.elements(child, seen)

    def named(self, name):
        """All elements of a name, wherever they are defined."""
        every = [
            child for group in self.defines.values() for define in group for child in define.iter()
        ]
        return [
            child for child in every if child.tag == f"{RELAX}element" and child.get("name") == name
        ]

    def values(self, node, attribute, seen=()):
        """What an attribute of an element may be."""
        for child in node:
            if child.tag == f"{RELAX}attribute" and child.get("name") == attribute:
                yield from (value.text for value in child.iter(f"{RELAX}value"))
            elif child.tag == f"{RELAX}ref" and child.get("name") not in seen:
                for define in self.defines.get(child.get("name"), []):
                    yield from self.values(define, attribute, (*seen, child.get("name")))
            elif child.tag not in (f"{RELAX}element", f"{RELAX}attribute", f"{RELAX}ref"):
                yield from self.values(child, attribute, seen)

    def children(self, name):
        return {
            element.get("name") for parent in self.named(name) for element in self.elements(parent)
        } - {None}


@pytest.fixture(scope="module")
def schema():
    if not (SCHEMAS / "domaincommon.rng").exists():
        pytest.skip("libvirt's schema is not installed")
    return Schema()


def test_every_device_of_the_schema_is_in_the_table(schema):
    known = schema.children("devices")
    assert len(known) > 25
    assert known - set(DEVICES) == set()


def test_every_element_of_the_os_is_in_the_table(schema):
    known = schema.children("os")
    assert len(known) > 5
    assert known - set(OS) == set()


def test_every_element_of_a_domain_is_in_the_table(schema):
    elements = [
        element for group in schema.defines["domaincontents"] for element in schema.elements(group)
    ]
    known = {element.get("name") for element in elements} - {None}
    assert len(known) > 30
    assert known - set(DOMAIN) == set()


@pytest.mark.parametrize(("name", "table"), [("disk", DISKS), ("interface", INTERFACES)])
def test_every_type_of_the_schema_is_in_the_table(schema, name, table):
    [devices] = schema.named("devices")
    elements = [element for element in schema.elements(devices) if element.get("name") == name]
    known = {value for element in elements for value in schema.values(element, "type")}
    assert len(known) > 5
    assert known - set(table) == set()


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("<hostdev mode='subsystem' type='pci'/>", "it uses a device of this host"),
        ("<interface type='hostdev'/>", "an SR-IOV interface"),
        ("<interface type='vdpa'/>", "a vDPA interface"),
        ("<disk type='nvme'><source/><target dev='vdb'/></disk>", "an NVMe disk"),
        ("<tpm><backend type='passthrough'/></tpm>", "a TPM of this host (passthrough)"),
        ("<filesystem><source dir='/srv'/></filesystem>", "/srv of this host"),
        ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", "/dev/ttyS0 of this host"),
        ("<input type='evdev'/>", "an input device"),
        ("<memory model='nvdimm'><source><path>/p</path></source></memory>", "memory device /p"),
        ("<smartcard mode='host'/>", "a smart card"),
        ("<graphics><gl rendernode='/dev/dri/r0'/></graphics>", "graphics card /dev/dri/r0"),
        ("<video><model/><acceleration rendernode='/dev/dri/r0'/></video>", "graphics card"),
        ("<shmem name='m'><server path='/run/m'/></shmem>", "shares the memory m"),
        ("<pstore><path>/var/p</path></pstore>", "/var/p of this host"),
        ("<teleporter/>", "<teleporter>, which pvefw does not know"),
    ],
)
def test_a_device_of_the_host_is_a_reason_to_stay(device, reason):
    [found] = references(ET.fromstring(f"<domain><devices>{device}</devices></domain>"))
    assert reason in found


QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("<launchSecurity type='sev'/>", "launch security sev"),
        (
            f"<commandline xmlns='{QEMU}'><arg value='x,path=/dev/vfio/9,id=a'/></commandline>",
            "it uses /dev/vfio/9 of this host",
        ),
        ("<teleporter/>", "<teleporter>, which pvefw does not know"),
    ],
)
def test_the_rest_of_a_domain_can_bind_it_to_its_host(element, reason):
    [found] = references(ET.fromstring(f"<domain><name>x</name>{element}</domain>"))
    assert reason in found


@pytest.mark.parametrize(
    "element",
    [
        "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/x'/><entry name='y'>1</entry></sysinfo>",
        f"<q:commandline xmlns:q='{QEMU}'><q:arg value='name=opt/x,file=/etc/x'/></q:commandline>",
        "<bootloader>/etc/x</bootloader>",
        "<devices><lease><target path='/etc/x'/></lease></devices>",
    ],
)
def test_files_are_found_wherever_they_are_named(element):
    [found] = references(ET.fromstring(f"<domain>{element}</domain>"))
    assert (found.path, found.role) == ("/etc/x", Role.READ)


def test_files_are_found_with_what_they_are_for():
    found = references(
        ET.fromstring("""
<domain>
  <os><kernel>/k</kernel><initrd>/i</initrd>
      <nvram>/n</nvram><acpi><table type='slic'>/t</table></acpi></os>
  <devices>
    <disk type='file' device='cdrom'><source file='/c.iso'/><target dev='sda'/></disk>
    <disk type='file'><source file='/d'/><target dev='vda'/>
      <backingStore type='file'><source file='/b1'/>
        <backingStore type='file'><source file='/b2'/></backingStore></backingStore></disk>
    <disk type='volume'><source pool='p' volume='v'/><target dev='vdb'/></disk>
    <disk type='network'><source protocol='rbd' name='x'/><target dev='vdc'/></disk>
    <tpm><backend type='emulator'/></tpm>
  </devices>
</domain>""")
    )
    assert [(file.path, file.role, file.target) for file in found] == [
        ("/k", Role.READ, ""),
        ("/i", Role.READ, ""),
        ("/n", Role.STATE, ""),
        ("/t", Role.READ, ""),
        ("/c.iso", Role.READ, ""),
        ("/d", Role.DISK, "vda"),
        ("/b1", Role.READ, ""),
        ("/b2", Role.READ, ""),
        ("v", Role.DISK, "vdb"),
        ("", Role.STATE, ""),
    ]
    assert File("v", "disk vdb", Role.DISK, "vdb", "p") in found


# --- with real daemons ----------------------------------------------------------------------------


class Changed:
    """A stopped guest of the first node, with something more in its definition."""

    def __init__(self, host):
        self.host = host
        self.here = host.daemon.base / f"local-of-{host.daemon.name}"
        self.local = host.daemon.base / "local"
        self.connection = host.daemon.connection

    def define(self, *, boot="", devices="", local=False):
        domain = self.host.daemon.define("web", local=local)
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        xml = xml.replace("</os>", f"{boot}</os>").replace("</devices>", f"{devices}</devices>")
        return self.connection.defineXML(xml)

    def reasons(self, **options):
        plugin = self.host.plugin()
        [guest] = plugin.guest_list()
        return plugin.guest_migrate_check(guest, "n2", MigrateOptions(online=False, **options))


@pytest.fixture
def changed(host, other):
    yield Changed(host)
    for folder in (host.daemon, other.daemon):
        for left in (host.daemon.base / f"local-of-{folder.name}").iterdir():
            left.unlink()
    for pool in host.daemon.connection.listAllStoragePools():
        pool.destroy()


def test_what_is_read_only_must_be_there(changed, other):
    for name in ("k", "x.iso"):
        (changed.here / name).write_bytes(b"x")
    iso = f"<disk type='file' device='cdrom'><source file='{changed.local}/x.iso'/>"
    iso += "<target dev='hda' bus='ide'/><readonly/></disk>"
    changed.define(boot=f"<kernel>{changed.local}/k</kernel>", devices=iso)
    assert changed.reasons() == [
        f"n2 does not have its kernel ({changed.local}/k)",
        f"n2 does not have its CD-ROM hda ({changed.local}/x.iso)",
    ]
    for name in ("k", "x.iso"):
        (changed.host.daemon.base / "local-of-n2" / name).write_bytes(b"x")
    assert changed.reasons() == []


def test_disks_and_uefi_variables_of_a_stopped_guest_move_along(changed, other):
    (changed.here / "vars.fd").write_bytes(b"variables" * 1000)
    changed.define(boot=f"{LOADER}<nvram>{changed.local}/vars.fd</nvram>", local=True)
    said = " ".join(changed.reasons())
    assert f"local disks ({changed.local}/web.img); see --with-local-disks" in said
    assert f"the UEFI variables ({changed.local}/vars.fd) stay behind" in said
    disk = (changed.here / "web.img").read_bytes()
    host = changed.host
    assert "see --with-local-disks" in host.run("migrateall", "n2", "--dry-run")
    said = host.run("migrateall", "n2", "--with-local-disks")
    assert said.endswith("Task OK\n")
    there = host.daemon.base / "local-of-n2"
    assert (there / "web.img").read_bytes() == disk
    assert (there / "vars.fd").read_bytes() == b"variables" * 1000
    assert [guest.name for guest in other.plugin().guest_list()] == ["web"]
    assert host.plugin().guest_list() == []


def test_a_volume_in_a_local_pool_moves_along(changed, other):
    changed.host.daemon.pool()
    domain = changed.define(local=True)
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    xml = xml.replace("<disk type='file'", "<disk type='volume'")
    xml = xml.replace(f"file='{changed.local}/web.img'", "pool='local' volume='web.img'")
    changed.connection.defineXML(xml)
    [reason] = changed.reasons()
    assert f"local disks ({changed.local}/web.img)" in reason
    assert changed.reasons(with_local_disks=True) == []
    changed.host.run("migrateall", "n2", "--with-local-disks")
    assert (changed.host.daemon.base / "local-of-n2/web.img").exists()


def test_a_copy_never_overwrites(changed, other):
    changed.define(local=True)
    theirs = changed.host.daemon.base / "local-of-n2/web.img"
    theirs.write_bytes(b"somebody else's")
    [reason] = changed.reasons(with_local_disks=True)
    assert f"{changed.local}/web.img exists on n2" in reason
    plugin = changed.host.plugin()
    [guest] = plugin.guest_list()
    options = MigrateOptions(with_local_disks=True, online=False)
    with pytest.raises(Exception, match="already exists on the target"):
        plugin.guest_migrate(guest, "n2", options, PatientTask())
    assert theirs.read_bytes() == b"somebody else's"


def test_a_backing_file_that_only_this_node_has(changed, other):
    (changed.here / "base.img").write_bytes(b"\0" * 512)
    backing = (
        f"<backingStore type='file'><format type='raw'/><source file='{changed.local}/base.img'/>"
    )
    backing += "<backingStore/></backingStore><target dev='vda'"
    domain = changed.define()
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace("type='raw'", "type='qcow2'")
    changed.connection.defineXML(xml.replace("<target dev='vda'", backing))
    assert changed.reasons() == [
        f"n2 does not have its backing file of disk vda ({changed.local}/base.img)"
    ]


def qcow2(backing):
    """An image without data that is based on another one (QEMU's docs/interop/qcow2.txt)."""
    name, cluster = backing.encode(), 1 << 16
    place = 80  # behind the header and the mark that ends its extensions
    tables = (1, cluster, cluster, 1, 0, 0)
    head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", 2, place, len(name), 16, 512, 0, *tables)
    return head + bytes(place - len(head)) + name + bytes(4 * cluster)


def test_a_backing_file_that_only_the_image_itself_names(changed, other):
    """The definition of a stopped guest mostly has none: libvirt follows the chain at its start."""
    (changed.here / "base.img").write_bytes(b"\0" * 512)
    (changed.here / "middle.qcow2").write_bytes(qcow2(f"{changed.local}/base.img"))
    domain = changed.define()
    image = changed.host.daemon.base / "shared/web.img"
    image.write_bytes(qcow2(f"{changed.local}/middle.qcow2"))
    assert changed.reasons() == [], "what is written into a raw image is no header"
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace("type='raw'", "type='qcow2'")
    changed.connection.defineXML(xml)
    assert changed.reasons() == [
        f"n2 does not have its backing file of disk vda ({changed.local}/middle.qcow2)",
        f"n2 does not have its backing file of disk vda ({changed.local}/base.img)",
    ]


SECRET = "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4a"
ENCRYPTED = f"""
<disk type='network'><driver name='qemu' type='raw'/>
  <auth username='admin'><secret type='ceph' usage='client.admin'/></auth>
  <source protocol='rbd' name='pool/image'><host name='192.0.2.1'/></source>
  <encryption format='luks'><secret type='passphrase' uuid='{SECRET}'/></encryption>
  <target dev='vdb' bus='virtio'/></disk>
<interface type='bridge'><source bridge='nobr7'/></interface>
<interface type='bridge'><source bridge='lo'/></interface>
<interface type='direct'><source dev='nonic7' mode='bridge'/></interface>
"""
CEPH = "<secret><usage type='ceph'><name>client.admin</name></usage></secret>"
LUKS = f"<secret><uuid>{SECRET}</uuid></secret>"


@pytest.fixture(params=["driver for interfaces", "node devices only"])
def interfaces(request, monkeypatch):
    """Both ways to find an interface; the second is Debian 13's."""

    def no_driver(_connection, _name):
        error = libvirt.libvirtError("not supported by the connection driver")
        error.err = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_INTERFACE, str(error))
        raise error

    if request.param == "node devices only":
        monkeypatch.setattr(libvirt.virConnect, "interfaceLookupByName", no_driver)


@pytest.mark.usefixtures("interfaces")
def test_what_each_node_keeps_by_name(changed, other):
    changed.define(devices=ENCRYPTED)
    expected = [f"secret {SECRET}", "ceph secret client.admin", "bridge nobr7", "interface nonic7"]
    found = changed.reasons()
    assert len(found) == len(expected), found
    for secret in expected:
        assert any(secret in reason and "n2 does not have" in reason for reason in found), found
    made = [other.daemon.connection.secretDefineXML(xml) for xml in (CEPH, LUKS)]
    try:
        assert len(changed.reasons()) == 2
    finally:
        for secret in made:
            secret.undefine()


def test_snapshots_a_taken_uuid_and_a_network_that_is_off(changed, other):
    network = "<network><name>lan</name></network>"
    for node in (changed.host.daemon, other.daemon):
        node.connection.networkDefineXML(network)
    try:
        domain = changed.define(
            devices="<interface type='network'><source network='lan'/></interface>"
        )
        twin = domain.XMLDesc(0).replace("<name>web</name>", "<name>twin</name>")
        twin = twin[: twin.index("<interface")] + twin[twin.index("</interface>") + 12 :]
        other.daemon.connection.defineXML(twin)
        assert changed.reasons() == [
            "twin of n2 has its UUID",
            "the network lan is not active on n2",
        ]
    finally:
        for node in (changed.host.daemon, other.daemon):
            node.connection.networkLookupByName("lan").undefine()


def test_snapshots_stay(changed, other):
    domain = changed.define()
    xml = "<domainsnapshot><name>s</name><state>shutoff</state><creationTime>1</creationTime>"
    xml += f"{domain.XMLDesc(0)}</domainsnapshot>"
    domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
    try:
        assert "it has 1 snapshots, which libvirt does not move" in changed.reasons()
    finally:
        domain.snapshotLookupByName("s").delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)


def test_the_state_of_an_emulated_tpm_stays(changed, other):
    """Not defined at a daemon: not every host has the emulator."""
    assert DISK  # the guest's own disk is shared, and no reason
    [found] = references(
        ET.fromstring("<domain><devices><tpm><backend type='emulator'/></tpm></devices></domain>")
    )
    assert changed.host.plugin()._places.is_local(found)
