"""Hosts with a real systemd as process 1: namespaces over this machine's own root, no KVM, no image.

The lower layer is ``/``, the upper one a directory of the test, which survives a "reboot". Nothing that
is enabled on this machine is enabled in there; a test enables what it needs. It takes root. What is the
kernel's is the machine's: boot id, modules, clock.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environments import ROOT
from resources import uses

SYSTEMD = Path("/lib/systemd/systemd")
BOOT_SECONDS = 120.0
_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("systemd", "cpu", "cpuacct", "blkio", "freezer", "pids", "unified")
"""Version 1 of cgroups: libvirt registers no guest at machined without controllers."""
_VERSION_1 = "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OUTSIDE = """
for one in $CGROUPS; do mkdir -p "$one"; echo $BASHPID >"$one/cgroup.procs"; done
exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup --propagation private \
    bash -ec "$INSIDE"
"""
_INSIDE = """
mount -t overlay -o "lowerdir=/,upperdir=$UPPER,workdir=$WORK" overlay "$MERGED"
cd "$MERGED"
if [ ! -e etc/.booted-before ]; then
    # nothing that this machine has enabled
    rm -rf etc/systemd/system/*.wants usr/sbin/policy-rc.d .dockerenv
    rm -rf var/lib/systemd/timers var/log/journal
    echo "$NAME" >etc/hostname
    printf '127.0.0.1 localhost %s\\n' "$NAME" >etc/hosts
    touch etc/.booted-before
fi
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
for one in $CONTROLLERS; do
    mkdir "sys/fs/cgroup/$one"
    case $one in
        unified) mount -t cgroup2 cgroup2 sys/fs/cgroup/unified ;;
        systemd) mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd ;;
        *) mount -t cgroup -o "$one" cgroup "sys/fs/cgroup/$one" ;;
    esac
done
mount -t tmpfs -o mode=755 dev dev
for one in null zero full random urandom tty fuse; do
    [ ! -e /dev/$one ] || { touch dev/$one; mount --bind /dev/$one dev/$one; }
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs tmp tmp
if [ ! -e ".$CHECKOUT" ]; then  # it is below what was just hidden
    mkdir -p ".$CHECKOUT"
    mount --bind "$CHECKOUT" ".$CHECKOUT"
    mount -o remount,bind,ro ".$CHECKOUT"
fi
mkdir -p oldroot
hostname "$NAME"
ip link set lo up
pivot_root . oldroot
umount -l /oldroot
exec env -i PATH=$PATH container=unshare TERM=dumb /lib/systemd/systemd \
    systemd.unit=multi-user.target $OPTIONS
"""


def missing() -> str:
    """Why there can be no such host here; empty where there can."""
    if os.geteuid() != 0:
        return "only root can start a systemd of its own"
    return "" if SYSTEMD.exists() else "systemd is not installed"


@dataclass
class SystemdHost:
    """A host that can be booted and powered off."""

    name: str
    directory: Path
    controllers: Sequence[str] = _CONTROLLERS
    console: Path = field(init=False)
    """What systemd has said on its console."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _group: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.console = self.directory / "console"
        for folder in (self.files, self.directory / "work", self.directory / "merged"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def files(self) -> Path:
        """The files in which it differs from this machine; to be written only while it is off."""
        return self.directory / "upper"

    def write(self, name: str, text: str) -> None:
        """Write a file of its root, while it is off."""
        path = self.files / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        """A file of its root, whether it is on or off."""
        base = Path(f"/proc/{self.pid}/root") if self.is_on else self.files
        return (base / name.lstrip("/")).read_text(errors="replace")

    # --- power -----------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether its systemd lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of its systemd, as we see it.

        :raises RuntimeError: it is off.
        """
        if self._process is not None:
            above = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            with contextlib.suppress(OSError, IndexError):
                return int(above.read_text().split()[0])
        raise RuntimeError(f"{self.name} is off")

    def boot(self) -> str:
        """Switch it on; return when it has started what it starts: ``running``, or what has failed.

        :raises RuntimeError: it does not boot.
        """
        self._group = f"{self.name}-{uuid.uuid4().hex[:12]}"  # a new one each time
        groups = [_CGROUPS / controller / self._group for controller in self.controllers]
        env = {
            "PATH": _PATH,
            "NAME": self.name,
            "CHECKOUT": str(ROOT),
            "UPPER": str(self.files),
            "WORK": str(self.directory / "work"),
            "MERGED": str(self.directory / "merged"),
            "CGROUPS": " ".join(map(str, groups)),
            "CONTROLLERS": " ".join(self.controllers),
            "OPTIONS": "" if "unified" in self.controllers else _VERSION_1,
            "INSIDE": _INSIDE,
        }
        with self.console.open("ab") as output:
            self._process = subprocess.Popen(
                ["bash", "-ec", _OUTSIDE],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
            )
        return self._wait_until_booted()

    def _wait_until_booted(self) -> str:
        from servers.libvirt import wait_until

        def answers() -> bool:
            if not self.is_on:
                raise RuntimeError(f"{self.name} ended:\n{self.console.read_text()[-2000:]}")
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                return self.try_("test", "-S", "/run/dbus/system_bus_socket").returncode == 0
            return False

        wait_until(answers, f"{self.name} boots", BOOT_SECONDS)
        state = self.try_("systemctl", "is-system-running", "--wait").stdout.strip()
        if state == "running":
            return state
        return f"{state}: {self.try_('systemctl', '--failed', '--plain', '--no-legend').stdout}"

    def power_off(self) -> None:
        """Shut it down as ``systemctl poweroff`` does, and wait until it is off."""
        assert self._process is not None
        self.try_("systemctl", "poweroff", "--no-block")
        self._process.wait(BOOT_SECONDS)
        self._forget()

    def cut_power(self) -> None:
        """Everything in it is gone at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        for controller in self.controllers:
            top = _CGROUPS / controller / self._group
            below = sorted(top.rglob("*"), key=lambda path: -len(path.parts))
            for group in [*(path for path in below if path.is_dir()), top]:
                with contextlib.suppress(OSError):  # a process is just ending; it costs nothing
                    group.rmdir()

    # --- commands --------------------------------------------------------------------------------

    def try_(self, *argv: object, limit: float = BOOT_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a program in it, however that ends."""
        return subprocess.run(
            [
                *["nsenter", "--target", str(self.pid), "--all"],
                *["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", *map(str, argv)],
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def run(self, *argv: object) -> str:
        """Run a program in it that must succeed; what it printed."""
        done = self.try_(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def failed_units(self) -> list[str]:
        """The units that have failed."""
        lines = self.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        return [line.split()[0] for line in lines.splitlines()]


@contextlib.contextmanager
@uses("server")
def systemd_host(
    directory: Path, name: str = "box", *, unified: bool = True
) -> Iterator[SystemdHost]:
    """A host that is off; whatever it does at the end of the block, it ends.

    :param directory: where its files are; on a file system that overlayfs can write to.
    :param unified: whether it has version 2 of control groups beside version 1; where both are mounted,
        libvirt_lxc trips over the second.
    """
    made = SystemdHost(
        name,
        directory,
        [controller for controller in _CONTROLLERS if unified or controller != "unified"],
    )
    try:
        yield made
    finally:
        made.cut_power()
        shutil.rmtree(made.directory / "work", ignore_errors=True)
