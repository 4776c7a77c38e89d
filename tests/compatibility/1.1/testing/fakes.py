"""Stand-ins for what core hands to plugins."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pvefw import seam
from pvefw.api import Cancelled, Esp, Kernel


class FakeTask:
    """A task that keeps what it is told; waiting takes no time unless that is wanted.

    :param longest: seconds that one wait takes at most, however long it was to be.
    """

    def __init__(self, longest: float = 0.0) -> None:
        self._longest = longest
        self.lines: list[str] = []
        """What was logged."""
        self.warnings: list[str] = []
        self.secrets: list[str] = []
        """What was declared to be secret."""
        self.waited = 0.0
        """Seconds that :meth:`wait` was asked for, in total."""
        self.cancelled = False
        """Set it to see what the plugin does when the user has enough."""

    def log(self, message: str) -> None:
        """Keep a line."""
        self.lines.append(message)

    def warn(self, message: str) -> None:
        """Keep a warning."""
        self.warnings.append(message)

    def secret(self, value: str) -> None:
        """Keep a secret."""
        self.secrets.append(value)

    def wait(self, seconds: float) -> None:
        """Return soon, or raise :class:`Cancelled` where the task is cancelled."""
        if self.cancelled:
            raise Cancelled
        self.waited += seconds
        if self._longest:
            seam.sleep(min(seconds, self._longest))


class FakeClock:
    """A clock that advances only when somebody waits.

    :param start: the time of day to begin with; aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> datetime:
        """The time of day."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the time pass at once."""
        if not event.is_set():
            self.advance(max(seconds, 0.0))
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let some time pass."""
        self._passed += seconds


def fake_esp(mountpoint: Path, uuid: str = "ABCD-1234") -> Esp:
    """An EFI system partition that is a directory: 512 MB, half of them free.

    :param mountpoint: it need not exist.
    """
    return Esp(uuid, Path("/dev/sdz2"), Path("/dev/sdz"), mountpoint, 512 << 20, 256 << 20)


def fake_kernel(root: Path, version: str, build: str = "1") -> Kernel:
    """A kernel and its initrd below ``root/boot``, which say what they are.

    :param build: put into the files: another one is the same version, built again.
    """
    folder = root / "boot"
    folder.mkdir(parents=True, exist_ok=True)
    kernel = Kernel(version, folder / f"vmlinuz-{version}", folder / f"initrd.img-{version}")
    kernel.vmlinuz.write_text(f"kernel {version} build {build}\n")
    kernel.initrd.write_text(f"initrd {version} build {build}\n")
    return kernel
