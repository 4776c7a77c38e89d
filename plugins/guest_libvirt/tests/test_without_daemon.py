"""What is rare: with the driver that libvirt tests itself with, and stand-ins for what that cannot."""

import itertools
import threading
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import libvirt
import libvirt_qemu
import pytest

from pvefw.api import (
    Cancelled,
    CredentialsRejected,
    GuestState,
    MigrateOptions,
    ProviderError,
    Unavailable,
)
from pvefw.testing.fakes import FakeTask
from pvefw.testing.guest import PatientTask
from pvefw_guest_libvirt import (
    Libvirt,
    connections,
    containers,
    copying,
    domains,
    events,
    migration,
    obstacles,
    suspending,
)
from pvefw_guest_libvirt.connections import Barred, Pool, concerns_all, explanation
from pvefw_guest_libvirt.files import Places
from pvefw_guest_libvirt.metadata import Definition
from pvefw_guest_libvirt.migration import Migration
from pvefw_guest_libvirt.obstacles import Obstacles
from pvefw_guest_libvirt.references import File, Role, references

PAUSED, RUNNING = libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_RUNNING
ASLEEP = libvirt.VIR_DOMAIN_PMSUSPENDED
MIGRATION = libvirt.VIR_DOMAIN_PAUSED_MIGRATION
NODE = """
<node>
  <domain type='test'>
    <name>web</name><memory unit='MiB'>64</memory>
    <os><type>hvm</type></os>
    <devices>{devices}</devices>
  </domain>
  <pool type='dir'>
    <name>images</name><target><path>/images</path></target>
    {volumes}
  </pool>
</node>
"""
VOLUME = """
<volume type='file'>
  <name>web.img</name><key>/images/web.img</key><source/>
  <capacity>1048576</capacity><allocation>1048576</allocation>
  <target><path>/images/web.img</path><format type='raw'/></target>
</volume>
"""


def failing(code, said="no", domain=libvirt.VIR_FROM_QEMU):
    """An error as libvirt raises it."""
    error = libvirt.libvirtError(said)
    error.err = (code, domain, said, 2, "", "", "", -1, -1)
    return error


def raising(error):
    def call(*_arguments, **_options):
        raise error

    return call


@pytest.fixture
def node(tmp_path):
    """A host of libvirt's own test driver; each file is another one."""

    def made(name="here", devices="", volumes=""):
        file = tmp_path / f"{name}.xml"
        file.write_text(NODE.format(devices=devices, volumes=volumes))
        return f"test://{file}"

    return made


@pytest.fixture
def plugin(node, monkeypatch):
    """With the guest ``web``, which runs, and its domain."""
    uri = node()
    connection = connections.connect(uri)  # the only one: each has a host of its own
    for module in (connections, events):
        monkeypatch.setattr(module, "connect", lambda *_: connection)
    made = Libvirt(uri=uri)
    [made.guest] = made.guest_list()
    made.domain = connection.lookupByUUIDString(made.guest.backend_id)
    return made


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (libvirt.VIR_ERR_AUTH_FAILED, CredentialsRejected),
        (libvirt.VIR_ERR_ACCESS_DENIED, CredentialsRejected),
        (libvirt.VIR_ERR_NO_CONNECT, Barred),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, Unavailable),
    ],
)
def test_what_is_about_the_daemon_is_about_every_guest(code, kind):
    error = failing(code)
    assert isinstance(explanation(error), kind)
    assert concerns_all(error)
    for listing in (domains.definitions, lambda of: list(domains.guests(of, 100))):
        domain = SimpleNamespace(XMLDesc=raising(error))
        of = SimpleNamespace(
            listAllDomains=lambda domain=domain: [domain],
            getType=lambda: "QEMU",
            getAllDomainStats=lambda _which: [],
        )
        with pytest.raises(libvirt.libvirtError):
            listing(of)


def test_a_connection_that_cannot_say_whether_it_lives_is_not_used_again(node):
    pool, broken = Pool(node()), SimpleNamespace(isAlive=raising(failing(1)))
    pool._take = lambda: broken
    with pool.connection():
        pass
    with pytest.raises(ProviderError, match="it is gone"), pool.connection():
        raise failing(libvirt.VIR_ERR_INTERNAL_ERROR, "it is gone")
    assert not pool._idle


def test_a_guest_whose_state_cannot_be_read_is_unknown_and_says_why():
    error = failing(libvirt.VIR_ERR_INTERNAL_ERROR, "its XML is odd")
    domain = SimpleNamespace(
        XMLDesc=raising(error),
        state=raising(error),
        UUIDString=lambda: "0" * 32,
        name=lambda: "odd",
    )
    of = SimpleNamespace(
        listAllDomains=lambda: [domain],
        getType=lambda: "QEMU",
        getAllDomainStats=raising(failing(libvirt.VIR_ERR_NO_SUPPORT)),
    )
    [guest] = domains.guests(of, 100)
    assert (guest.state, guest.problem) == (GuestState.UNKNOWN, "its XML is odd")


# --- power ----------------------------------------------------------------------------------------


class Domain:
    """A domain that goes through states, one each time that it is asked; the last stays."""

    def __init__(self, *states):
        self.states = [state if isinstance(state, tuple) else (state, 0) for state in states]
        self.calls = []

    def state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def isActive(self):  # noqa: N802 - libvirt's name
        return self.states[0][0] != libvirt.VIR_DOMAIN_SHUTOFF

    def __getattr__(self, name):
        return lambda *_arguments: self.calls.append(name)


def test_one_that_sleeps_is_woken_and_waited_for(monkeypatch):
    """QEMU is asked, and says that it is awake a moment later."""
    monkeypatch.setattr(domains, "_LOOK_AGAIN", 0.0)
    domain = Domain(ASLEEP, ASLEEP, ASLEEP, ASLEEP, RUNNING)
    suspending.resume(domain)
    assert domain.calls == ["pMWakeup"]


def test_one_that_does_not_wake_is_named(monkeypatch):
    monkeypatch.setattr(domains, "_AWAKE_SECONDS", 0.0)
    with pytest.raises(ProviderError, match="it is paused in its own sleep state"):
        suspending.resume(Domain(ASLEEP))


def test_a_guest_that_stops_at_once_has_not_started(plugin, monkeypatch):
    plugin.domain.destroy()
    monkeypatch.setattr(libvirt.virDomain, "create", lambda _domain: None)
    with pytest.raises(ProviderError, match="it ran, and has stopped again"):
        plugin.guest_start(plugin.guest, FakeTask())


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (MIGRATION, "it is paused for a migration"),
        (libvirt.VIR_DOMAIN_PAUSED_IOERROR, "it is paused after an I/O error"),
    ],
)
def test_a_guest_that_stays_paused_has_not_started_and_says_why(plugin, monkeypatch, reason, said):
    """With a full disk, it is paused again at once."""
    monkeypatch.setattr(libvirt.virDomain, "state", lambda _domain: (PAUSED, reason))
    monkeypatch.setattr(libvirt.virDomain, "resume", lambda _domain: 0)
    for start in (plugin.guest_start, lambda guest, _task: plugin.guest_resume(guest)):
        with pytest.raises(ProviderError, match=said):
            start(plugin.guest, FakeTask())


def test_a_guest_that_outlives_its_hard_stop_still_runs(plugin, monkeypatch):
    monkeypatch.setattr(libvirt.virDomain, "destroy", lambda _domain: 0)
    with pytest.raises(Unavailable, match="it still runs"):
        plugin.guest_stop(plugin.guest)


def test_what_libvirt_refuses_for_another_reason_is_no_success(plugin, monkeypatch):
    refusals = [libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_OPERATION_INVALID]
    for code in refusals:
        monkeypatch.setattr(libvirt.virDomain, "destroy", raising(failing(code, "busy")))
        with pytest.raises(ProviderError, match="busy"):
            plugin.guest_stop(plugin.guest)


def test_a_guest_that_cannot_be_asked_to_shut_down_says_why(plugin, monkeypatch):
    monkeypatch.setattr("pvefw_guest_libvirt.guests._LAST_WORD_SECONDS", 0.0)
    error = failing(libvirt.VIR_ERR_NO_SUPPORT, "there is no agent")
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", raising(error))
    with pytest.raises(ProviderError, match="there is no agent"):
        plugin.guest_shutdown(plugin.guest, 5.0, PatientTask())


def test_a_container_that_takes_no_initctl_is_asked_by_a_signal(plugin, monkeypatch):
    asked = []

    def ask(domain, way):
        asked.append(way)
        if way == libvirt.VIR_DOMAIN_SHUTDOWN_INITCTL:
            raise failing(libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
        domain.destroy()

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", ask)
    monkeypatch.setattr("pvefw_guest_libvirt.guests._ASK_AGAIN", {"container": 0.05})
    plugin.guest_shutdown(replace(plugin.guest, kind="container"), 30.0, PatientTask())
    assert asked == [libvirt.VIR_DOMAIN_SHUTDOWN_INITCTL, libvirt.VIR_DOMAIN_SHUTDOWN_SIGNAL]


def test_one_that_stops_while_its_agent_is_waited_for_is_not_ready(plugin, monkeypatch):
    monkeypatch.setattr(Definition, "has_agent", True)

    def ping(domain, *_arguments):
        domain.destroy()
        raise failing(libvirt.VIR_ERR_AGENT_UNRESPONSIVE)

    monkeypatch.setattr(libvirt_qemu, "qemuAgentCommand", ping)
    assert plugin.guest_ready(plugin.guest, 30.0, PatientTask()) is False
    monkeypatch.setattr(
        libvirt_qemu, "qemuAgentCommand", raising(failing(libvirt.VIR_ERR_INTERNAL_ERROR, "odd"))
    )
    with pytest.raises(ProviderError, match="odd"):
        plugin.guest_ready(plugin.guest, 30.0, PatientTask())


# --- suspending -----------------------------------------------------------------------------------


def test_one_that_is_stopped_has_nothing_to_save_and_nothing_to_continue(plugin):
    plugin.domain.destroy()
    with pytest.raises(ProviderError, match="it is stopped: there is no memory to save"):
        plugin.guest_suspend(plugin.guest, to_disk=True, timeout=9.0, task=FakeTask())
    with pytest.raises(ProviderError, match="it is stopped, not suspended"):
        plugin.guest_resume(plugin.guest)


@pytest.mark.parametrize(
    ("timeout", "cancelled", "kind", "said"),
    [
        (0.0, False, Unavailable, "its memory is not saved after 0 seconds"),
        (99.0, True, Cancelled, None),
    ],
)
def test_saving_is_aborted_and_the_guest_runs_on(
    plugin, monkeypatch, timeout, cancelled, kind, said
):
    aborted = threading.Event()

    def save(_domain, _flags=0):
        assert aborted.wait(30)
        raise failing(libvirt.VIR_ERR_OPERATION_ABORTED)

    monkeypatch.setattr("pvefw_guest_libvirt.attending._LOOK_AROUND", 0.001)
    monkeypatch.setattr(libvirt.virDomain, "managedSave", save)
    monkeypatch.setattr(libvirt.virDomain, "abortJob", lambda _domain: aborted.set())
    task = FakeTask()
    task.cancelled = cancelled
    with pytest.raises(kind, match=said):
        plugin.guest_suspend(plugin.guest, to_disk=True, timeout=timeout, task=task)
    assert plugin.domain.isActive()


# --- containers -----------------------------------------------------------------------------------


class Container:
    """One whose init libvirt gets to know with the n-th start, or never."""

    def __init__(self, monkeypatch, known_after):
        self.starts, self.known_after, self.active = 0, known_after, True
        self.start = containers.start
        self.error = libvirt.VIR_ERR_OPERATION_INVALID
        monkeypatch.setattr(containers, "_TOLD_SECONDS", 0.0)
        monkeypatch.setattr(containers.libvirt_lxc, "lxcOpenNamespace", self.open)
        monkeypatch.setattr(containers, "_is_any_alive", bool)
        changes = itertools.cycle([GuestState.STOPPED, GuestState.RUNNING])
        watch = SimpleNamespace(next=lambda *_: SimpleNamespace(state=next(changes)))
        self.events = SimpleNamespace(watch_alone=lambda _uuid: nullcontext(watch))

    def open(self, _domain, _flags):
        if self.starts < self.known_after:
            raise failing(self.error, "no init")
        return [1]

    def create(self):
        self.starts += 1

    def destroy(self):
        pass

    def isActive(self):  # noqa: N802 - libvirt's name
        return self.active

    def UUIDString(self):  # noqa: N802 - libvirt's name
        return "0" * 32


@pytest.mark.parametrize(
    ("known_after", "starts", "warnings"),
    [
        (1, 1, []),
        (2, 2, []),
        (3, 3, []),
        (
            99,
            3,
            ["100 (c): libvirt does not know its init process, and cannot ask it to shut down"],
        ),
    ],
)
def test_a_container_is_started_again_until_libvirt_knows_its_init(
    monkeypatch, known_after, starts, warnings
):
    container, task = Container(monkeypatch, known_after), PatientTask()
    container.start(container, container.events, "100 (c)", task)
    assert (container.starts, task.warnings) == (starts, warnings)


def test_a_container_that_ends_or_fails_otherwise_is_not_started_again(monkeypatch):
    container = Container(monkeypatch, 99)
    container.active = False
    container.start(container, container.events, "100 (c)", PatientTask())
    container.active, container.error = True, libvirt.VIR_ERR_INTERNAL_ERROR
    with pytest.raises(libvirt.libvirtError, match="no init"):
        container.start(container, container.events, "100 (c)", PatientTask())
    assert container.starts == 2


# --- copying --------------------------------------------------------------------------------------


class Stream:
    """Gives so many blocks, and then ends or fails."""

    def __init__(self, blocks=(b"x" * 100,) * 3, then=None):
        self.blocks, self.then, self.aborted, self.taken = list(blocks), then, False, b""

    def recv(self, _size):
        if self.blocks:
            return self.blocks.pop()
        if self.then:
            raise self.then
        return b""

    def send(self, data):
        self.taken += data[:70]
        return min(len(data), 70)

    def finish(self):
        pass

    def abort(self):
        self.aborted = True
        raise failing(libvirt.VIR_ERR_RPC)  # it is broken already


def by_path(connection, path):
    """The driver does not look for a pool in this way."""
    return connection.storagePoolLookupByName(path.removeprefix("/"))


@pytest.fixture
def two(node, monkeypatch):
    """Two nodes; the disk of ``web`` is on the first. What flows between them can be set."""
    here, there = (
        libvirt.open(node(name, volumes=VOLUME if name == "here" else ""))
        for name in ("here", "there")
    )
    made = SimpleNamespace(here=here, there=there, streams=[Stream(), Stream()])
    monkeypatch.setattr(
        libvirt.virConnect, "newStream", lambda self: made.streams[self is not here]
    )
    monkeypatch.setattr(libvirt.virConnect, "storagePoolLookupByTargetPath", by_path)
    for way in ("download", "upload"):
        monkeypatch.setattr(libvirt.virStorageVol, way, lambda *_arguments: 0)
    made.left = lambda: there.storagePoolLookupByTargetPath("/images").listVolumes()
    return made


def test_a_disk_is_copied_whole(two):
    assert copying.exists(two.here, "/images/web.img")
    copying.copy(two.here, two.there, "/images/web.img", FakeTask())
    assert two.streams[1].taken == b"x" * 300
    assert two.left() == ["web.img"]
    with pytest.raises(ProviderError, match=r"/images/web.img already exists on the target"):
        copying.copy(two.here, two.there, "/images/web.img", FakeTask())


def test_nothing_is_left_of_a_copy_that_breaks_off(two):
    two.streams[0].then = failing(libvirt.VIR_ERR_RPC, "the connection was lost")
    with pytest.raises(libvirt.libvirtError, match="the connection was lost"):
        copying.copy(two.here, two.there, "/images/web.img", FakeTask())
    assert (two.left(), [stream.aborted for stream in two.streams]) == ([], [True, True])


def test_nothing_is_left_of_a_copy_that_is_cancelled(two):
    task = FakeTask()
    task.cancelled = True
    with pytest.raises(Cancelled):
        copying.copy(two.here, two.there, "/images/web.img", task)
    assert two.left() == []


def test_an_image_that_is_not_there_is_based_on_none(two):
    assert copying.backing(two.there, "/images/web.img") == ""


def moving(two, domain=None, **options):
    guest = SimpleNamespace(
        vmid=100, name="web", kind="vm", backend_id="0" * 32, state=GuestState.RUNNING
    )
    places = Places("test:///default", None, [], 0)
    events = SimpleNamespace(connection=SimpleNamespace(lookupByUUIDString=lambda _uuid: domain))
    return Migration(
        Pool("test:///default"), events, places, guest, "n2", MigrateOptions(**options)
    )


def test_what_was_copied_is_removed_where_the_next_cannot_be(two):
    found = [
        File("/images/web.img", "disk vda", Role.DISK, "vda"),
        File("/images/gone.img", "disk vdb", Role.DISK, "vdb"),
        File("/images/web.img", "disk vdc", Role.DISK, "vdc"),  # it is there already
    ]
    with pytest.raises(ProviderError, match="already exists"):
        moving(two, with_local_disks=True)._copy(two.here, two.there, found, FakeTask())
    assert two.left() == []


def test_the_copies_of_a_guest_that_does_not_move_are_removed(two, monkeypatch):
    disk = "<disk type='file'><source file='/images/web.img'/><target dev='vda'/></disk>"
    definition = Definition(ET.fromstring(f"<domain><devices>{disk}</devices></domain>"))
    monkeypatch.setattr(Definition, "of", lambda *_arguments, **_options: definition)
    monkeypatch.setattr(migration, "_leaves", lambda *_arguments: True)

    class Stays(Domain):
        def hasManagedSaveImage(self):  # noqa: N802 - libvirt's name
            return 0

        def migrate3(self, *_arguments):
            raise failing(libvirt.VIR_ERR_OPERATION_FAILED, "the target has refused it")

    domain = Stays(libvirt.VIR_DOMAIN_SHUTOFF)
    here = SimpleNamespace(
        lookupByUUIDString=lambda _uuid: domain, isAlive=lambda: True, newStream=two.here.newStream
    )
    for name in ("storagePoolLookupByTargetPath", "storagePoolCreateXML"):
        setattr(here, name, getattr(two.here, name))
    made = moving(two, with_local_disks=True)
    monkeypatch.setattr(made.pool, "_take", lambda: here)
    monkeypatch.setattr("pvefw_guest_libvirt.files.connect", lambda *_: Kept(two.there))
    monkeypatch.setattr(
        libvirt.virConnect, "newStream", lambda self: two.streams[self is not two.here]
    )
    task = FakeTask()
    with pytest.raises(ProviderError, match="the target has refused it"):
        made.run(task)
    assert "100 (web): copying /images/web.img" in task.lines
    assert two.left() == []
    with pytest.raises(ProviderError, match=r"it has local disks: /images/web\.img"):
        moving_without = moving(two)
        monkeypatch.setattr(moving_without.pool, "_take", lambda: here)
        moving_without.run(task)


class Kept:
    """A connection that nobody closes."""

    def __init__(self, connection):
        self._connection = connection

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def close(self):
        pass


# --- moving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gone", "states", "resumed", "warnings"),
    [
        (True, [(PAUSED, MIGRATION)], True, []),
        (True, [RUNNING], False, []),
        (
            False,
            [(PAUSED, MIGRATION)],
            False,
            ["100 (web): it is paused here; see what n2 does with it"],
        ),
    ],
)
def test_a_guest_that_did_not_move_goes_on_here_unless_it_may_run_there(
    two, monkeypatch, gone, states, resumed, warnings
):
    monkeypatch.setattr(migration, "_leaves", lambda *_arguments: gone)
    domain, task = Domain(*states), FakeTask()
    moving(two)._mend(domain, two.there, [], task, ran=True)
    assert ("resume" in domain.calls, task.warnings) == (resumed, warnings)


def test_a_guest_whose_state_is_not_known_after_a_move_is_named(two, monkeypatch):
    monkeypatch.setattr(migration, "_leaves", lambda *_arguments: True)
    domain = SimpleNamespace(state=raising(failing(libvirt.VIR_ERR_RPC, "the way is cut")))
    task = FakeTask()
    moving(two)._mend(domain, two.there, [], task, ran=True)
    assert task.warnings == ["100 (web): its state is not known: the way is cut"]


@pytest.mark.parametrize(
    ("answers", "leaves"),
    [
        ([failing(libvirt.VIR_ERR_NO_DOMAIN)], True),
        ([failing(libvirt.VIR_ERR_RPC)], False),
        ([True, False], True),
        ([True], False),
    ],
)
def test_whether_a_target_is_rid_of_a_guest(two, monkeypatch, answers, leaves):
    monkeypatch.setattr(migration, "_LOOK_AROUND", 0.001)
    monkeypatch.setattr(migration, "_LEAVE_SECONDS", 0.05 if answers == [True] else 30.0)
    left = list(answers)

    def look(_uuid):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(isActive=lambda: answer)

    there = SimpleNamespace(lookupByUUIDString=look)
    assert migration._leaves(there, moving(two).guest) is leaves


def test_how_far_it_is_is_said_from_time_to_time(two, monkeypatch):
    monkeypatch.setattr(migration, "_REPORT_SECONDS", 0.0)
    domain = SimpleNamespace(jobStats=lambda: {"data_total": 8 << 20, "data_remaining": 2 << 20})
    task = FakeTask()
    moving(two, domain)._looks(task)()
    assert task.lines == ["100 (web): 6 of 8 MiB moved"]


def test_a_transient_guest_is_not_defined_anywhere(two):
    class Transient(Domain):
        def isPersistent(self):  # noqa: N802 - libvirt's name
            return 0

    flags = moving(two, online=True)._flags(Transient(RUNNING), [], [])
    assert flags == libvirt.VIR_MIGRATE_LIVE
    assert moving(two)._parameters([], online=True) == {}


# --- what prevents a move -------------------------------------------------------------------------


def definition(xml="", **attributes):
    root = ET.fromstring(f"<domain><os><type arch='x86_64'>hvm</type></os>{xml}</domain>")
    root.attrib.update(attributes)
    return Definition(root)


def test_firmware_that_the_target_does_not_offer():
    loaders = "<loader><value>/other.fd</value></loader>"
    offered = f"<domainCapabilities><os>{loaders}</os></domainCapabilities>"
    missing = raising(failing(libvirt.VIR_ERR_NO_STORAGE_POOL))
    there = SimpleNamespace(
        getDomainCapabilities=lambda *_: offered,
        storagePoolLookupByTargetPath=missing,
        storagePoolCreateXML=missing,
    )
    wanted = definition()
    ET.SubElement(wanted.root.find("os"), "loader").text = "/mine.fd"
    said = ["the target does not have its firmware (/mine.fd)"]
    assert obstacles._missing_loader(there, wanted) == said
    there.getDomainCapabilities = raising(failing(libvirt.VIR_ERR_INVALID_ARG, "no KVM"))
    assert obstacles._missing_loader(there, wanted) == []
    assert obstacles._refusal(lambda: obstacles._capabilities(there, wanted)) == ["no KVM"]


@pytest.mark.parametrize(
    ("cpu", "code", "said"),
    [
        ("<cpu mode='custom'/>", libvirt.VIR_ERR_CPU_INCOMPATIBLE, ["it lacks avx2"]),
        ("<cpu mode='host-passthrough'/>", libvirt.VIR_ERR_CPU_INCOMPATIBLE, ["it lacks avx2"]),
        ("<cpu mode='custom'/>", libvirt.VIR_ERR_NO_SUPPORT, []),
        ("", libvirt.VIR_ERR_CPU_INCOMPATIBLE, []),
    ],
)
def test_a_processor_that_lacks_what_the_guest_was_started_with(cpu, code, said):
    compare = raising(failing(code, "it lacks avx2"))
    there = SimpleNamespace(compareCPU=compare, compareHypervisorCPU=compare)
    host = "<capabilities><host><cpu><model>x</model></cpu></host></capabilities>"
    here = SimpleNamespace(getCapabilities=lambda: host)
    assert obstacles._missing_cpu(here, there, definition(cpu, type="kvm")) == said


def test_what_is_missing_at_the_target_is_named():
    gone = raising(failing(libvirt.VIR_ERR_NO_NWFILTER))
    there = SimpleNamespace(
        nwfilterLookupByName=gone, networkLookupByName=raising(failing(1, "no such network"))
    )
    made = Obstacles(None, None, SimpleNamespace(vmid=100), "n2", MigrateOptions(online=False))
    filtered = "<devices><interface><filterref filter='clean'/></interface></devices>"
    assert made._of_what_is_named(definition(filtered).root, there) == [
        "n2 does not have the network filter clean"
    ]
    assert made._of_network("lan", there) == ["no such network"]
    assert made._of_files(None, there, [File("", "state of its TPM", Role.STATE)]) == [
        "the state of its TPM stays on this node: move it while it runs"
    ]


def test_a_guest_that_is_defined_at_the_target_and_stopped_is_no_obstacle(node):
    there = libvirt.open(node("there"))
    domain = there.lookupByName("web")
    same = Definition.of(domain)
    made = Obstacles(None, None, SimpleNamespace(vmid=100), "n2", MigrateOptions())
    assert made._of_names(same, there) == ["web of n2 has its UUID"]
    domain.destroy()
    assert made._of_names(same, there) == []


@pytest.mark.parametrize(
    "device",
    [
        "<disk type='file' device='cdrom'><target dev='sda'/></disk>",
        "<input type='mouse' bus='ps2'/>",
        "<filesystem type='ram'><source usage='1'/></filesystem>",
        "<memory model='dimm'><target><size>1</size></target></memory>",
        "<serial type='dev'/>",
        "<smartcard mode='passthrough' type='tcp'/>",
        "<shmem name='m' role='master'><model type='ivshmem-plain'/></shmem>",
        "<lease><key>x</key></lease>",
        "<pstore/>",
    ],
)
def test_what_is_not_of_the_host_keeps_nobody(device):
    assert references(ET.fromstring(f"<domain><devices>{device}</devices></domain>")) == []


@pytest.mark.parametrize("element", ["<nvram/>", "<kernel> </kernel>", "<loader>/x</loader>"])
def test_an_os_element_without_a_path_is_no_file(element):
    assert references(ET.fromstring(f"<domain><os>{element}</os></domain>")) == []


@pytest.mark.parametrize(
    "shmem",
    [
        "<shmem name='m'><model type='ivshmem-plain'/></shmem>",
        "<shmem name='m' role='peer'><model type='ivshmem-plain'/></shmem>",
        "<shmem name='m' role='master'/>",
        "<shmem name='m' role='master'><model type='ivshmem'/></shmem>",
    ],
)
def test_shared_memory_that_qemu_does_not_take_along(shmem):
    [found] = references(ET.fromstring(f"<domain><devices>{shmem}</devices></domain>"))
    assert found == "it shares the memory m with others of this host"
