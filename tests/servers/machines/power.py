"""Switches a computer on, and reads from its serial console which kernels come up."""

import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources import uses

from servers.machines.kernels import ALL_SAID, BUSYBOX, KERNEL_SILENT, Kernel, initrd

FIRMWARE = Path("/usr/share/OVMF")
CONSOLE = "console=ttyS0 panic=1"
"""What a kernel's command line must hold for :func:`power_on`: it speaks there, and a panic restarts."""

PROCESSOR = ["-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1"]
"""QEMU's options: walks through page tables of four levels take it less time than through five."""
BOOT_SECONDS = 240.0
"""It takes 13 on a quiet machine, for each start of a kernel."""

_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
{KERNEL_SILENT}
exec >/dev/ttyS0 2>&1
echo
echo "{{word}} $(/bin/busybox uname -r) $(/bin/busybox cat /proc/cmdline)"
{ALL_SAID.format("/dev/ttyS0")}
{{end}}
"""
_PLATFORM_KEY = "PK\0".encode("utf-16-le")
"""The name of the variable that variables with Secure Boot have, and others do not."""
_SECURE_BOARD = ["-machine", "q35,smm=on"]
_SECURE_BOARD += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
"""What OVMF needs to refuse anything; since Debian 13 its other image refuses nothing."""
WATCHDOG = ["-device", "i6300esb", "-action", "watchdog=reset"]
"""QEMU's options for a watchdog on the board."""
_HANGS = """
while read -r module; do /bin/busybox insmod "$module" heartbeat=5; done </modules
echo 1 >/dev/watchdog
/bin/busybox tail -f /dev/null
"""
_STARTED = re.compile(r"^(BOOTED|PANICS|HANGS) (\S+) (.*?)\r*$", re.MULTILINE)


def good_initrd(console: str = "ttyS0", busybox: Path = BUSYBOX) -> Path:
    """An initrd that says ``BOOTED``, the kernel's version and its command line, and powers off."""
    init = _INIT.format(word="BOOTED", end="/bin/busybox poweroff -f").replace("ttyS0", console)
    return initrd(init, busybox=busybox)


def bad_initrd() -> Path:
    """An initrd that says ``PANICS``, the version and the command line, and ends: the kernel panics."""
    return initrd(_INIT.format(word="PANICS", end="exit 1"))


def hanging_initrd(kernel: Kernel) -> Path:
    """An initrd that says ``HANGS``, starts the board's watchdog and does nothing any more."""
    return initrd(_INIT.format(word="HANGS", end=_HANGS), kernel, ["i6300esb"])


@dataclass(frozen=True, slots=True)
class Start:
    """A kernel that came up as far as its initrd."""

    kernel: str
    cmdline: str
    panics: bool = False


@dataclass(frozen=True, slots=True)
class Boots:
    """What happened from power-on to power-off."""

    starts: tuple[Start, ...]
    console: str

    @property
    def last(self) -> Start:
        """The start with which it ended."""
        return self.starts[-1]

    @property
    def kernels(self) -> list[str]:
        """The versions in the order of their starts."""
        return [start.kernel for start in self.starts]


def new_variables(path: Path, *, secure_boot: bool = False) -> Path:
    """A UEFI computer's variables, as it leaves the factory.

    :param secure_boot: with Microsoft's keys, so that nothing starts that they do not vouch for.
    """
    template = "OVMF_VARS_4M.ms.fd" if secure_boot else "OVMF_VARS_4M.fd"
    shutil.copyfile(FIRMWARE / template, path)
    path.chmod(0o600)
    return path


def firmware_options(variables: Path | None) -> list[str]:
    """QEMU's options for UEFI with these variables; without them it has a BIOS."""
    if variables is None:
        return []
    secure = _PLATFORM_KEY in variables.read_bytes()
    image = FIRMWARE / f"OVMF_CODE_4M{'.secboot' if secure else ''}.fd"
    code = f"if=pflash,format=raw,unit=0,readonly=on,file={image}"
    board = _SECURE_BOARD if secure else []
    return [*board, "-drive", code, "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


def disk_options(disks: Sequence[Path], bytes_per_second: int | None = None) -> list[str]:
    """QEMU's options for disks: ``/dev/vda``, ``/dev/vdb``, … in this order.

    :param bytes_per_second: how fast each is written; without it, as fast as it can.
    """
    options: list[str] = []
    speed = f",throttling.bps-write={bytes_per_second}" if bytes_per_second else ""
    for number, disk in enumerate(disks):
        file = f"file.driver=file,file.node-name=file{number},file.filename={disk}"
        drive = f"if=none,id=disk{number},node-name=raw{number},driver=raw,{file}{speed}"
        options += ["-drive", drive]
        options += ["-device", f"virtio-blk-pci,drive=disk{number},bootindex={number + 1}"]
    return options


@uses("machine")
def power_on(
    disks: Sequence[Path],
    variables: Path | None = None,
    *,
    restarts: int = 0,
    board: Sequence[str] = (),
    timeout: float = BOOT_SECONDS,
) -> Boots:
    """Switch a computer on that has these disks, and wait until it is off again.

    It goes off when an initrd says ``BOOTED``, and with the restart after the last one that is allowed.

    :param disks: raw images; the firmware tries them in this order.
    :param variables: those of UEFI, kept from start to start; without them the computer has a BIOS.
    :param restarts: how often a kernel may panic or hang and the computer start anew.
    :param board: QEMU's options for what else is in the computer.
    :param timeout: seconds for each start.
    :raises AssertionError: no kernel came up; with the end of the console.
    """
    options = [*board, *([] if restarts else ["-no-reboot"])]
    return boots_of(_computer(disks, variables, *options), restarts=restarts, timeout=timeout)


def boots_of(argv: Sequence[str], *, restarts: int = 0, timeout: float = BOOT_SECONDS) -> Boots:
    """Run a QEMU that has its console on standard output, as :func:`power_on` does."""

    def one_too_many(said: str) -> bool:
        return len(_starts(said)) > restarts + 1

    console = _console(argv, one_too_many, timeout * (restarts + 1))
    starts = _starts(console)
    assert starts, f"no kernel came up:\n{console[-3000:]}"
    return Boots(starts, console)


@uses("machine")
def say_until(disk: Path, variables: Path, words: Sequence[str]) -> str:
    """Switch a computer with UEFI on until one of these words is on its console; what it has said."""

    def said_one(said: str) -> bool:
        return any(word in said for word in words)

    return _console(_computer([disk], variables), said_one, BOOT_SECONDS)


def _computer(disks: Sequence[Path], variables: Path | None, *options: str) -> list[str]:
    """What starts QEMU with these disks, and with its console on standard output."""
    return [
        *["qemu-system-x86_64", *PROCESSOR, "-m", "512"],
        *["-display", "none", "-monitor", "none", "-serial", "stdio", "-net", "none"],
        *firmware_options(variables),
        *disk_options(disks),
        *options,
    ]


def _console(argv: Sequence[str], enough: Callable[[str], bool], timeout: float) -> str:
    """Run QEMU until it ends, its time is over or it has said enough; what it has said."""
    said = bytearray()
    deadline = time.monotonic() + timeout
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as qemu:
        assert qemu.stdout
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(qemu.stdout, selectors.EVENT_READ)
                while selector.select(max(0.0, deadline - time.monotonic())):
                    chunk = qemu.stdout.read1(1 << 16)  # type: ignore[attr-defined]  # it is buffered
                    if not chunk:
                        break
                    said += chunk
                    if enough(said.decode(errors="replace")):
                        break
                else:
                    said += b"\n(stopped: its time was over)\n"
        finally:
            qemu.kill()
    return said.decode(errors="replace")


def _starts(console: str) -> tuple[Start, ...]:
    return tuple(
        Start(match[2], match[3], panics=match[1] == "PANICS")
        for match in _STARTED.finditer(console)
    )
