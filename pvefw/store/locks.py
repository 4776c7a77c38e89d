"""Locks that hold across processes, and across the nodes of a cluster.

Local locks are ``flock`` on a file: the kernel lets go when the holder dies. Cluster locks are
directories below ``/etc/pve/priv/lock``, as Proxmox VE's own: creating one is atomic in the whole
cluster, touching it renews it, and one that was not renewed for two minutes may be taken over. Where
Proxmox VE's own tools change the same file, the lock is theirs, by its name.
"""

import contextlib
import errno
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pvefw.core.errors import Locked, StoreError, UsageError
from pvefw.host import foreign
from pvefw.host.clock import SystemClock
from pvefw.host.durable import make_directory
from pvefw.store import files, pmxcfs
from pvefw.store.paths import Paths

_STALE = 120.0
"""Seconds after which pmxcfs, too, takes a lock for abandoned."""
_RENEW = 20.0
_RETRY = 0.05
_FIELDS = 8
"""Of a line of proc_locks(5)."""
_CLOCK = SystemClock()


@contextlib.contextmanager
def local_lock(paths: Paths, name: str, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold a lock of this host.

    :param timeout: seconds to wait for it; 0 to fail at once.
    :raises Locked: another process holds it; the message says which.
    """
    with _flocked(_below(paths.local_locks, f"{name}.lock"), name, timeout) as descriptor:
        _note_holder(descriptor)
        yield


@contextlib.contextmanager
def node_config_lock(paths: Paths, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock of this node's configuration: ours in the cluster, Proxmox VE's on this host.

    :raises Locked: another process or node holds one of them.
    """
    name = f"nodeconfig-{paths.node}"
    with (
        cluster_lock(paths, name, timeout=timeout),
        _proxmox_lock(paths, paths.pve_node_config_lock, name, timeout),
    ):
        yield


@contextlib.contextmanager
def certificate_lock(paths: Paths, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock of this node's certificate files: ours, and Proxmox VE's on this host.

    :raises Locked: another process holds one of them.
    """
    name = f"install-{paths.node}"
    with (
        local_lock(paths, name, timeout=timeout),
        _proxmox_lock(paths, paths.pve_certificate_lock, name, timeout),
    ):
        yield


def _proxmox_lock(
    paths: Paths, path: Path, name: str, timeout: float
) -> contextlib.AbstractContextManager[object]:
    """Proxmox VE's own lock, where it runs or somebody may follow its rules.

    Its directory is open to everybody: elsewhere, any user could keep us waiting there.
    """
    with contextlib.suppress(OSError):
        if path.lstat().st_uid in (0, os.geteuid()):
            return _flocked(path, name, timeout)
    if pmxcfs.is_mounted(paths.root):
        return _flocked(path, name, timeout)
    return contextlib.nullcontext()


def _below(directory: Path, name: str) -> Path:
    """The path of a lock. Its name may have come from the command line.

    :raises UsageError: the name would lead elsewhere.
    """
    if "/" in name or name in ("", ".", ".."):
        raise UsageError(f"'{name}' is not a valid lock name")
    return directory / name


@contextlib.contextmanager
def _flocked(path: Path, name: str, timeout: float) -> Iterator[int]:
    """The descriptor of a lock file in a directory of its owner's, locked."""
    try:
        make_directory(path.parent, private=True)
    except OSError as error:
        raise _cannot(path, error) from error
    with shared_file_lock(path, name, timeout=timeout) as descriptor:
        yield descriptor


@contextlib.contextmanager
def shared_file_lock(path: Path, name: str, *, timeout: float, mode: int = 0o600) -> Iterator[int]:
    """Hold a lock file that other programs lock, too; its directory is there.

    :param name: what it protects, for the error.
    :param timeout: seconds to wait for it; 0 to fail at once.
    :raises Locked: somebody holds it; the message says who, where that can be found out.
    :raises StoreError: it cannot be opened, or is a link.
    """
    try:
        descriptor = foreign.open_file(path, os.O_RDWR | os.O_CREAT, mode)
    except OSError as error:
        raise _cannot(path, error) from error
    try:
        _wait(lambda: _flock(descriptor, path), timeout, lambda: _holder(descriptor, name))
        yield descriptor
    finally:
        os.close(descriptor)  # releases it


def _cannot(path: Path, error: OSError) -> StoreError:
    return files.failed("lock", path, error)


def _flock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise _cannot(path, error) from error
    return True


def _note_holder(descriptor: int, mark: int | None = None) -> None:
    """Leave word in the lock file: who holds it, for the error message of those who wait.

    :param mark: the cluster lock's time stamp, for whoever finds it left behind.
    """
    note = f"{os.getpid()} {'' if mark is None else mark}".encode()
    with contextlib.suppress(OSError):  # what is lost is a better message, or two minutes
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)


def _noted(descriptor: int) -> tuple[str, str]:
    """Process id and mark, as they were left."""
    pid, _, mark = os.pread(descriptor, 60, 0).decode("ascii", "replace").partition(" ")
    return pid.strip(), mark.strip()


def _holder(descriptor: int, name: str) -> Locked:
    pid = _noted(descriptor)[0] or _holder_by_kernel(descriptor)
    command = _command(pid)
    who = (
        f"process {pid} ({command})" if command else f"process {pid}" if pid else "another process"
    )
    if _is_stopped(pid):
        return Locked(
            f"{name}: {who} is at work on this, and was stopped",
            hint=f"Let it go on: kill -CONT {pid}. Or end it: kill -KILL {pid}",
        )
    return Locked(
        f"{name}: {who} is at work on this", hint="Wait until it is done, then try again."
    )


def _is_stopped(pid: str) -> bool:
    """Whether a process was stopped, by SIGSTOP or a debugger: proc_pid_stat(5)."""
    try:
        said = Path(f"/proc/{int(pid)}/stat").read_bytes()
    except (OSError, ValueError):
        return False
    return said.rpartition(b") ")[2][:1] in (b"T", b"t")


def _holder_by_kernel(descriptor: int) -> str:
    """Who holds a lock that others made, Proxmox VE mostly: proc_locks(5); empty where it is not said."""
    inode = f":{os.fstat(descriptor).st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            fields = line.split()
            if len(fields) >= _FIELDS and fields[1] == "FLOCK" and fields[5].endswith(inode):
                return fields[4]
    return ""


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{int(pid)}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, ValueError):
        return ""


@contextlib.contextmanager
def cluster_lock(paths: Paths, name: str, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold a lock of the whole cluster; it is renewed for as long as it is held.

    :param timeout: seconds to wait for it; 0 to fail at once.
    :raises Locked: another node or process holds it.
    """
    path = _below(paths.cluster_locks, name)
    pmxcfs.check(path)
    try:
        make_directory(path.parent, private=True)
    except OSError as error:
        raise _cannot(path, error) from error
    take_over = _ask_pmxcfs if pmxcfs.is_mounted(paths.root) else _take_over
    local = _below(paths.local_locks, f"cluster-{name}.lock")
    # two processes of one node would both see the same owner: sort them out without the cluster
    with _flocked(local, name, timeout) as descriptor:
        _, left_behind = _noted(descriptor)
        if left_behind:
            _clear(path, left_behind)
        _note_holder(descriptor)
        _wait(lambda: _make(path, take_over), timeout, lambda: _elsewhere(path, name))
        _note_holder(descriptor, _mark(path))
        held = _Held(path, descriptor)
        try:
            yield
        finally:
            held.release()
            _note_holder(descriptor)
        if held.lost:
            raise Locked(
                f"{name}: this process was stopped, and its lock on {path} expired meanwhile",
                hint="Another node may have changed the same: see whether all is as it should be.",
            )


def _make(path: Path, take_over: Callable[[Path], None]) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        with contextlib.suppress(OSError):  # its holder, or another who waits, was faster
            take_over(path)
        return False
    except OSError as error:
        raise _cannot(path, error) from error
    return True


def _take_over(path: Path) -> None:
    """Remove a lock that nobody renews any more; whoever then creates it first has it.

    One from the future, of a host whose clock was wrong, gets the present time: it expires in two
    minutes, too, unless its holder renews it.
    """
    now = _CLOCK.now().timestamp()
    age = now - path.stat().st_mtime
    if age > _STALE:
        path.rmdir()
    elif age < -_STALE:
        os.utime(path, (now, now))


def _ask_pmxcfs(path: Path) -> None:
    """Ask pmxcfs to remove the lock: it does, if by its own clock nobody renewed it for two minutes."""
    os.utime(path, (0, 0))


def _clear(path: Path, mark: str) -> None:
    """Remove a lock that a process of this host left behind when it died.

    We have its local lock, so it is gone; the time stamp tells its lock from one made later elsewhere.
    """
    with contextlib.suppress(OSError):
        if str(_mark(path)) == mark:
            path.rmdir()


def _mark(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


class _Held:
    """A cluster lock that is ours, and is renewed.

    A process that was stopped finds out by the time that has passed: then the lock may be another's by
    now, and is neither renewed nor removed.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.lost = False
        self._path = path
        self._descriptor = descriptor
        self._renewed = _CLOCK.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Remove it."""
        self._done.set()
        self._thread.join()
        if self._is_ours():
            with contextlib.suppress(OSError):  # it expires
                self._path.rmdir()

    def _is_ours(self) -> bool:
        self.lost = self.lost or _CLOCK.monotonic() - self._renewed > _STALE
        return not self.lost

    def _renew(self) -> None:
        while not self._done.wait(_RENEW) and self._is_ours():
            now, began = _CLOCK.now().timestamp(), _CLOCK.monotonic()
            with contextlib.suppress(OSError):  # the next try may get through; else it expires
                os.utime(self._path, (now, now))
                self._renewed = began
                _note_holder(self._descriptor, _mark(self._path))


def _elsewhere(path: Path, name: str) -> Locked:
    return Locked(
        f"{name}: another node or program holds the lock {path} (this is {socket.gethostname()})",
        hint="Wait until it is done; a lock that is left behind expires after two minutes.",
    )


def _wait(attempt: Callable[[], bool], timeout: float, refusal: Callable[[], Locked]) -> None:
    deadline = _CLOCK.monotonic() + timeout
    while not attempt():
        if _CLOCK.monotonic() >= deadline:
            raise refusal()
        _CLOCK.wait(threading.Event(), _RETRY)
