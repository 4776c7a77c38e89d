"""A machine with real disks, file systems and boot loaders: this one's root under QEMU, copied on write.

Debian's full kernel is booted directly; its root is the root of this machine, over 9p and read-only,
below a tmpfs. So everything that is installed here runs there, as root and with disks of its own, and
nothing that it does is seen here but what it writes to the disks' images.
"""

import base64
import contextlib
import errno
import json
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources import uses

from servers.machines.kernels import Kernel, full_kernel, initrd
from servers.machines.power import PROCESSOR, disk_options, firmware_options, good_initrd

START_SECONDS = 300.0
"""It takes 8 on a quiet machine."""
RUN_SECONDS = 400.0
_CMDLINE = "console=ttyS0 panic=1 quiet norandmaps mitigations=off"
"""QEMU translates a program's code only once where it lies at the same address in every process."""
_SILENT_SECONDS = 60.0
"""As long as its kernel lives, a machine is heard of every second."""
_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p", "overlay")

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r module; do insmod "$module"; done </modules
mkdir /host /upper /root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /host
mount -t tmpfs upper /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/files,workdir=/upper/work root /root
mkdir -p "/root/lib/modules/$(uname -r)"
mount --bind "/host$modules" "/root/lib/modules/$(uname -r)"
umount /proc
exec switch_root /root /bin/bash "$agent"
"""
"""The kernel hands what it does not know on its command line to ``/init`` as environment."""

_AGENT = r"""
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
rm -f /.dockerenv /run/.containerenv  # by these systemd would take this machine for a container
export PATH=@PATH@ HOME=/root LANG=C.UTF-8
hostname workshop
ip link set lo up
for module in vfat nls_ascii nls_cp437 nls_utf8; do modprobe "$module"; done
if [ -d /sys/firmware/efi ]; then
    modprobe efivarfs
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
fi
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block --subsystem-match=virtio-ports
udevadm settle
if [ -b /dev/disk/by-id/virtio-host ]; then
    mount --mkdir /dev/disk/by-id/virtio-host /run/host
    for folder in @FOLDERS@; do mount --mkdir --bind "/run/host/$folder" "/$folder"; done
    for image in /boot/vmlinuz-*; do mkdir -p "/lib/modules/${image#/boot/vmlinuz-}"; done
fi
exec 3<>/dev/virtio-ports/agent </dev/null
while sleep 1; do printf '\0' >&3; done &
printf '\0360\n' >&3
while IFS= read -r -u 3 line; do
    base64 -d <<<"$line" >/run/script
    bash /run/script >&3 2>&1 3>&-
    printf '\036%d\n' $? >&3
done
"""
_MARK = b"\036"
_ALIVE = b"\0"
_BLOCKED = " blocked for more than "
"""The kernel says so of a program that waits for the firmware, or a disk, for two minutes."""
HOST_FOLDERS = ("boot", "etc/default", "etc/kernel", "var/lib/pvefw")
"""What a host keeps from one start to the next."""


class Hangs(AssertionError):
    """A machine that was there is silent, or something in it waits for ever.

    QEMU without KVM does that now and then, when the firmware is to keep a variable; such a test begins
    anew, see ``tests/machines/conftest.py``.
    """


@dataclass(frozen=True, slots=True)
class Done:
    """A script that ended."""

    status: int
    output: str
    """What it wrote to standard output and standard error."""


class Workshop:
    """A workshop that runs. Scripts are bash's; the checkout's ``pvefw`` is in the path."""

    def __init__(
        self, qemu: subprocess.Popen[bytes], agent: socket.socket, monitor: socket.socket, log: Path
    ) -> None:
        self._qemu, self._agent, self._log = qemu, agent, log
        self._monitor = _Monitor(monitor)
        self._read = bytearray()
        self._silent, self._usual = START_SECONDS, _SILENT_SECONDS
        self.hangs = False
        """Whether it has hung: nothing can be done with it any more."""

    @property
    def console(self) -> str:
        """What the kernel has said."""
        return self._log.read_text(errors="replace")

    def run(self, script: str, timeout: float = RUN_SECONDS) -> str:
        """Run a script that must succeed; what it wrote."""
        done = self.try_(script, timeout)
        assert done.status == 0, f"status {done.status}: {script}\n{done.output}"
        return done.output

    def fail(self, script: str, *, status: int = 1, timeout: float = RUN_SECONDS) -> str:
        """Run a script that must fail; what it wrote."""
        done = self.try_(script, timeout)
        assert done.status == status, f"status {done.status}: {script}\n{done.output}"
        return done.output

    def try_(self, script: str, timeout: float = RUN_SECONDS) -> Done:
        """Run a script, however it ends."""
        self.begin(script)
        return self.end(timeout)

    def begin(self, script: str) -> None:
        """Start a script; :meth:`wait_for` and :meth:`end` tell how it goes."""
        self._agent.sendall(base64.b64encode(script.encode()) + b"\n")

    def wait_for(self, text: str, timeout: float = RUN_SECONDS) -> None:
        """Wait until the script has written something.

        :raises AssertionError: it ended without.
        """
        deadline = time.monotonic() + timeout
        while text.encode() not in self._read:
            assert _MARK not in self._read, f"never said {text!r}: {self._read.decode()}"
            self._more(deadline)

    def end(self, timeout: float = RUN_SECONDS) -> Done:
        """Wait until the script ends."""
        deadline = time.monotonic() + timeout
        while not (_MARK in self._read and self._read.endswith(b"\n")):
            self._more(deadline)
        output, _, last = bytes(self._read).rpartition(_MARK)
        self._read.clear()
        return Done(int(last), output.decode(errors="replace"))

    def install_kernel(self, kernel: Kernel, ramdisk: Path | None = None) -> None:
        """Put a kernel where Debian's package puts it, with an initrd that says that it has booted."""
        self.run(f"""
            set -e
            mkdir -p /lib/modules/{kernel.version}
            cp {kernel.image} /boot/vmlinuz-{kernel.version}
            cp {ramdisk or good_initrd()} /boot/initrd.img-{kernel.version}
        """)

    def bytes_written(self, disk: int) -> int:
        """How many bytes the machine has written to a disk since it was switched on.

        :param disk: its place in the list of images.
        """
        (found,) = (
            device["stats"]["wr_bytes"]
            for device in self._monitor.ask("query-blockstats")
            if device["device"] == f"disk{disk}"
        )
        return int(found)

    def wait_for_bytes(self, disk: int, count: int, timeout: float = RUN_SECONDS) -> None:
        """Wait until so many bytes have been written to a disk.

        :raises AssertionError: not in time.
        """
        deadline = time.monotonic() + timeout
        while self.bytes_written(disk) < count:
            assert time.monotonic() < deadline, f"{self.bytes_written(disk)} bytes, not {count}"

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing happens in the machine for the time of the block: its disks can be copied.

        A copy holds what would be there if now the power were cut.
        """
        self._monitor.ask("stop")
        try:
            yield
        finally:
            self._monitor.ask("cont")

    def break_disk(self, disk: int) -> None:
        """From now on a disk answers every write with an I/O error; reads go well."""
        error = {"event": "none", "iotype": "write", "errno": errno.EIO, "once": False}
        node = {"driver": "blkdebug", "node-name": f"broken{disk}", "image": f"file{disk}"}
        self._monitor.ask("blockdev-add", **node, **{"inject-error": [error]})
        self._file_of(disk, f"broken{disk}")

    def mend_disk(self, disk: int) -> None:
        """A disk that was broken works again."""
        self._file_of(disk, f"file{disk}")
        self._monitor.ask("blockdev-del", **{"node-name": f"broken{disk}"})

    def _file_of(self, disk: int, node: str) -> None:
        options = {"driver": "raw", "node-name": f"raw{disk}", "file": node}
        self._monitor.ask("blockdev-reopen", options=[options])

    def kill(self) -> None:
        """Cut the power."""
        self._qemu.kill()
        self._qemu.wait()

    def reboot(self, timeout: float) -> None:
        """Restart it, as an administrator does, and wait until an agent listens again.

        :param timeout: seconds; they include kernels that come up meanwhile and hang.
        """
        self._silent = self._usual = timeout
        self.begin(
            "systemctl reboot; sleep infinity"
        )  # so the agent that is there has no more to say
        assert self.end(timeout).status == 0
        self._silent = self._usual = _SILENT_SECONDS

    def power_off(self) -> None:
        """Shut it down, as an administrator does, and wait until it is off."""
        self.begin("systemctl poweroff")
        self._qemu.wait(RUN_SECONDS)

    def switch_off(self) -> None:
        """Write what is not yet on the disks, and switch off."""
        self.run("umount --all --types vfat; sync")
        self.kill()

    def _more(self, deadline: float) -> None:
        """Wait until the machine is heard of.

        :raises AssertionError: it is off, or its time is over.
        :raises Hangs: it does nothing at all.
        """
        left = max(0.001, deadline - time.monotonic())
        self._agent.settimeout(min(left, self._silent))
        try:
            chunk = self._agent.recv(1 << 16)
        except TimeoutError:
            if self._silent < left:
                raise self._hung("it hangs") from None
            raise AssertionError(self._last_words("its time is over")) from None
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise AssertionError(self._last_words("it is off"))
        self._silent = self._usual
        self._read += chunk.replace(_ALIVE, b"")
        if _BLOCKED in self.console:
            raise self._hung("a program in it hangs")

    def _hung(self, why: str) -> Hangs:
        self.hangs = True
        return Hangs(self._last_words(why))

    def _last_words(self, why: str) -> str:
        return f"workshop: {why}: {self._read.decode()}\n{self.console[-3000:]}"


class _Monitor:
    """QEMU's machine protocol (QMP)."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = bytearray()
        self._ready = False

    def ask(self, command: str, **arguments: object) -> Any:
        if not self._ready:
            self._line()  # the greeting
            self._ready = True
            self.ask("qmp_capabilities")
        request = {"execute": command, "arguments": arguments}
        self._connection.sendall(json.dumps(request).encode())
        while "return" not in (answer := self._line()):
            assert "error" not in answer, answer  # else it is an event
        return answer["return"]

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._read:
            chunk = self._connection.recv(1 << 16)
            assert chunk, "workshop: it is off"
            self._read += chunk
        first, _, rest = self._read.partition(b"\n")
        self._read = rest
        line: dict[str, Any] = json.loads(first)
        return line


@contextlib.contextmanager
@uses("machine")
def workshop(
    folder: Path,
    disks: Sequence[Path],
    variables: Path | None = None,
    host: Path | None = None,
    *,
    bytes_per_second: int | None = None,
) -> Iterator[Workshop]:
    """Switch a workshop on for the time of the block; then its power is cut.

    :param folder: for its console and its agent; made where it is missing.
    :param disks: raw images: ``/dev/vda``, ``/dev/vdb``, … in this order.
    :param variables: those of UEFI; without them it has a BIOS.
    :param host: the image of one more disk, an ext4 file system with :data:`HOST_FOLDERS`, which are
        mounted over those of this machine. Without it nothing that is written there survives.
    :param bytes_per_second: how fast its disks are written; without it, as fast as they can.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kernel = full_kernel()
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    script = folder / "agent"
    agent = _AGENT.replace("@PATH@", shlex.quote(path)).replace("@FOLDERS@", " ".join(HOST_FOLDERS))
    script.write_text(agent)
    argv = [
        *["qemu-system-x86_64", *PROCESSOR],
        *[
            "-m",
            "1024",
            "-nodefaults",
            "-nographic",
            "-no-reboot",
            "-net",
            "none",
        ],
        *["-kernel", kernel.image, "-initrd", initrd(_INIT, kernel, _MODULES)],
        *["-append", f"{_CMDLINE} agent={script} modules={kernel.modules}"],
        *["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"],
        *["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"],
        *firmware_options(variables),
        *disk_options(disks, bytes_per_second),
    ]
    if host:
        argv += ["-drive", f"if=none,id=host,format=raw,file={host}"]
        argv += ["-device", "virtio-blk-pci,drive=host,serial=host"]
    with with_agent(folder, argv) as started:
        yield started


@contextlib.contextmanager
def with_agent(folder: Path, argv: Sequence[object]) -> Iterator[Workshop]:
    """Switch a machine on for the time of the block; an agent in it runs scripts. Then its power is cut.

    :param folder: for its console; made where it is missing.
    :param argv: what starts QEMU, but for the console, the agent's port and the monitor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "console"
    ours, its = zip(*(socket.socketpair() for _ in range(2)), strict=True)
    agent_at, monitor_at = (end.fileno() for end in its)
    ports = [
        *["-serial", f"file:{log}"],
        *["-chardev", f"socket,id=agent,fd={agent_at}", "-device", "virtio-serial-pci"],
        *["-device", "virtserialport,chardev=agent,name=agent"],
        *["-chardev", f"socket,id=monitor,fd={monitor_at}", "-mon", "monitor,mode=control"],
    ]
    with contextlib.ExitStack() as stack:
        for end in ours:
            stack.enter_context(end)
        with contextlib.ExitStack() as only_qemus:
            for end in its:
                only_qemus.enter_context(end)
            qemu = subprocess.Popen(
                [*map(str, argv), *ports],
                stdin=subprocess.DEVNULL,
                stdout=only_qemus.enter_context((folder / "qemu").open("wb")),
                stderr=subprocess.STDOUT,
                pass_fds=(agent_at, monitor_at),
            )
        started = Workshop(qemu, *ours, log)
        stack.callback(started.kill)
        assert started.end(START_SECONDS).status == 0
        yield started
