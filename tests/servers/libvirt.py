"""Private libvirt daemons with real QEMU guests, as an ordinary user or as root, without systemd.

Each one lives in user, PID, mount and UTS namespaces of its own: it takes itself for another host, with
another name, and everything in it ends with it. ``NODE/local`` is mounted over one common path in each,
so that both have "the same" local directory; the shared one is really the same.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources import uses
from waiting import wait_until

from servers.boot_sector import write_image
from servers.machines import agent

_PORT_RANGES = range(15000, 32000, 50)  # below Linux' own range for outgoing connections
_INSIDE = """
hostname "$1"
mount --bind "$2/local-of-$1" "$2/local"
while :; do
    libvirtd -p "$XDG_RUNTIME_DIR/libvirtd.pid" & daemon=$!
    while kill -0 $daemon 2>/dev/null; do wait $daemon; done
    while [ -e "$XDG_RUNTIME_DIR/down" ]; do sleep 0.02; done
done
"""
"""Process 1 of the namespace: it reaps QEMU, and starts the daemon anew, as systemd would."""

DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><bios useserial='no'/>{boot}</os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {devices}
  </devices>
</domain>
"""
DISK = """
<disk type='file' device='disk'>
  <driver name='qemu' type='raw' cache='none'/>
  <source file='{}'/>
  <target dev='vda' bus='virtio'/>
</disk>
"""
_LINUX = "<kernel>{}</kernel><initrd>{}</initrd><cmdline>{}</cmdline>"
CONSOLE = "<serial type='file'><source path='{}' {}/></serial>"
_AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
_POOL = "<pool type='dir'><name>{0.name}</name><target><path>{0}</path></target></pool>"


@dataclass
class LibvirtNode:
    """A libvirt daemon that runs, and the guests below it."""

    name: str
    base: Path
    """What all nodes of one harness share, with ``shared`` and ``local`` in it."""
    supervisor: subprocess.Popen[bytes]
    log: Path
    _connection: Any = field(default=None, repr=False)

    @property
    def home(self) -> Path:
        return self.base / self.name

    @property
    def socket(self) -> Path:
        return self.home / "run/libvirt/libvirt-sock"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self.socket}"

    @property
    def connection(self) -> Any:
        """A connection for the test itself; a new one where the daemon was replaced."""
        import libvirt

        if self._connection is None or not _is_alive(self._connection):
            self._connection = libvirt.open(self.uri)
        return self._connection

    def define(
        self,
        name: str,
        *,
        memory: int = 16,
        local: bool = False,
        lingers: float = 0.0,
        deaf: bool = False,
        filler: int = 0,
        mute_agent: bool = False,
    ) -> Any:
        """A domain with a disk of its own; the parameters are those of the boot sector.

        :param memory: MiB.
        :param local: its disk is on the node's own directory, instead of the shared one.
        :param mute_agent: it has a channel for an agent, which nobody answers.
        """
        image = f"{name}.img"
        # seen from outside the node's mount namespace, its local directory has another path
        written = self.base / (f"local-of-{self.name}" if local else "shared") / image
        write_image(written, lingers=lingers, deaf=deaf, filler=filler)
        disk = self.base / ("local" if local else "shared") / image
        devices = DISK.format(disk) + (_AGENT if mute_agent else "")
        xml = DOMAIN.format(name=name, memory=memory, boot="", devices=devices)
        return self.connection.defineXML(xml)

    def define_with_agent(self, name: str) -> Any:
        """A domain of :mod:`servers.machines.agent`; what it says is in :meth:`console`."""
        kernel, initrd = agent.system()
        boot = _LINUX.format(kernel.image, initrd, agent.COMMAND_LINE)
        devices = _AGENT + CONSOLE.format(self._console(name), "")
        xml = DOMAIN.format(name=name, memory=128, boot=boot, devices=devices)
        return self.connection.defineXML(xml)

    def console(self, name: str) -> str:
        """What a domain has said on its console."""
        return self._console(name).read_text(errors="replace")

    def _console(self, name: str) -> Path:
        return self.base / "shared" / f"{name}.console"

    def pool(self) -> None:
        """Make the local directory a storage pool, as a target of local disks needs."""
        self.connection.storagePoolCreateXML(_POOL.format(self.base / "local"))

    def active(self) -> set[str]:
        """The names of the guests that run."""
        return {domain.name() for domain in self.connection.listAllDomains() if domain.isActive()}

    def wait_until_booted(self, *names: str) -> None:
        """Return when guests have read their boot sector: they obey the power button, or ignore it."""
        for name in names:
            domain = self.connection.lookupByName(name)
            wait_until(lambda domain=domain: domain.blockStats("vda")[0] > 0, f"{name} boots")

    def clear(self) -> None:
        """Stop and remove every guest."""
        import libvirt

        for domain in self.connection.listAllDomains():
            for act in (domain.destroy, domain.undefine):
                with contextlib.suppress(libvirt.libvirtError):  # it was just about to do so itself
                    act()

    # --- what goes wrong ------------------------------------------------------------------------

    def daemon_pid(self) -> int:
        """The daemon's process id, as we see it.

        :raises LookupError: it does not run.
        """
        for pid in self._inside():
            if _command_line(pid)[:1] == ["libvirtd"]:
                return pid
        raise LookupError("libvirtd")

    def guest_pid(self, name: str) -> int:
        """The process id of a guest's QEMU.

        :raises LookupError: it does not run.
        """
        for pid in self._inside():
            if any(word.startswith(f"guest={name},") for word in _command_line(pid)):
                return pid
        raise LookupError(name)

    def kill_guest(self, name: str) -> None:
        """End a guest from outside, as the kernel's OOM killer does."""
        os.kill(self.guest_pid(name), signal.SIGKILL)

    def kill_daemon(self, *, stay_down: bool = False) -> None:
        """Kill the daemon; its guests go on, and it is started anew, or when :meth:`allow` says so."""
        if stay_down:
            (self.home / "run/down").touch()
        os.kill(self.daemon_pid(), signal.SIGKILL)

    def allow(self) -> None:
        """Let a daemon come back that was told to stay down."""
        (self.home / "run/down").unlink()

    def wait_until_it_answers(self) -> None:
        """Return when a daemon that was away can be asked again."""

        def answers() -> bool:
            with contextlib.suppress(Exception):
                return self.connection.isAlive() == 1
            return False

        wait_until(answers, f"libvirtd {self.name}")

    @contextlib.contextmanager
    def hangs(self) -> Iterator[None]:
        """The daemon does nothing for the time of the block."""
        pid = self.daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def die(self) -> None:
        """The whole host is gone: daemon and guests, at once."""
        self.supervisor.kill()
        self.supervisor.wait()

    def _inside(self) -> list[int]:
        """The processes below the supervisor: process 1 of the namespace, and its children."""
        return [child for first in _children(self.supervisor.pid) for child in _children(first)]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _is_alive(connection: Any) -> bool:
    import libvirt

    try:
        return connection.isAlive() == 1 and connection.getLibVersion() > 0
    except libvirt.libvirtError:
        return False


def as_nobody() -> list[str]:
    """The beginning of a command in namespaces of its own, as an ordinary user who has a name.

    libvirtd 11 crashes as a user who has no line in ``/etc/passwd``, and its tools give up.
    """
    nobody = pwd.getpwnam("nobody")
    argv = ["unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    return [*argv, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def accepts(path: Path) -> bool:
    """Whether somebody listens at a socket; that comes a moment after there is one."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0


@contextlib.contextmanager
def _ports() -> Iterator[tuple[int, int]]:
    """A range of ports for arriving guests that no other node has, of this test run or another.

    All nodes share this machine's network, and each daemon believes that its ports are its own.
    """
    with contextlib.ExitStack() as stack:
        for first in random.sample(_PORT_RANGES, len(_PORT_RANGES)):
            mark = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                mark.bind(("127.0.0.1", first))
                yield first + 1, first + _PORT_RANGES.step - 1
                return
    raise RuntimeError("no range of ports is free")


@contextlib.contextmanager
def _node(base: Path, name: str, ports: tuple[int, int]) -> Iterator[LibvirtNode]:
    home = base / name
    for folder in ("run", "conf/libvirt", "cache", "data", f"../local-of-{name}"):
        (home / folder).mkdir(parents=True)
    (home / "conf/libvirt/qemu.conf").write_text(
        'stdio_handler="file"\nsecurity_driver="none"\n'
        f"migration_port_min={ports[0]}\nmigration_port_max={ports[1]}\n"
    )
    (home / "conf/libvirt/libvirtd.conf").write_text(
        f'host_uuid="{uuid.uuid4()}"\nmax_client_requests=64\n'
    )
    env = {
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
    } | {
        f"XDG_{key}": str(home / folder)
        for key, folder in (
            ("RUNTIME_DIR", "run"),
            ("CONFIG_HOME", "conf"),
            ("CACHE_HOME", "cache"),
            ("DATA_HOME", "data"),
        )
    }
    argv = [*as_nobody(), "--keep-caps", "--uts"]
    log = home / "log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [*argv, "bash", "-c", _INSIDE, "bash", name, str(base)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    node = LibvirtNode(name, base, supervisor, log)
    try:
        wait_until(
            lambda: accepts(node.socket) or supervisor.poll() is not None, f"libvirtd {name}"
        )
        if supervisor.poll() is not None:
            raise RuntimeError(f"libvirtd {name} ended:\n{log.read_text()[-2000:]}")
        yield node
    finally:
        node.die()


@contextlib.contextmanager
@uses("server")
def libvirt_nodes(*names: str) -> Iterator[list[LibvirtNode]]:
    """Start private libvirt daemons that can reach each other.

    :param names: their hosts' names.
    """
    base = Path(tempfile.mkdtemp(prefix="lv-"))  # a socket's path must be short
    for folder in ("shared", "local"):
        (base / folder).mkdir()
    try:
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(_node(base, name, stack.enter_context(_ports())))
                for name in names
            ]
    finally:
        shutil.rmtree(base, ignore_errors=True)
