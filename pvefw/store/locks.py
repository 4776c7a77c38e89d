"""Locks that hold across processes, and across the nodes of a cluster.

Local locks are ``flock`` on a file: the kernel lets go when the holder dies. Cluster locks are
directories below ``/etc/pve/priv/lock``, as Proxmox VE's own: creating one is atomic in the whole
cluster, touching it renews it, and one that was not renewed for two minutes may be taken over.
"""

import contextlib
import errno
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pvefw.errors import Locked, StoreError
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.system import SystemClock

_STALE = 120.0
"""Seconds after which pmxcfs, too, takes a lock for abandoned."""
_RENEW = 20.0
_RETRY = 0.05
_CLOCK = SystemClock()


@contextlib.contextmanager
def local_lock(paths: Paths, name: str, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold a lock of this host.

    :param timeout: seconds to wait for it; 0 to fail at once.
    :raises Locked: another process holds it; the message says which.
    """
    path = paths.local_locks / f"{name}.lock"
    try:
        files.make_directory(path.parent, private=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: could not lock: {error.strerror}") from error
    try:
        _wait(lambda: _flock(descriptor), timeout, lambda: _holder(descriptor, name))
        _write_holder(descriptor)
        yield
    finally:
        os.close(descriptor)  # releases it


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _write_holder(descriptor: int) -> None:
    """Leave word for the error message of those who wait; losing it costs nothing but that."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _holder(descriptor: int, name: str) -> Locked:
    pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    command = _command(pid)
    who = (
        f"process {pid} ({command})" if command else f"process {pid}" if pid else "another process"
    )
    return Locked(
        f"{name}: {who} is at work on this", hint="Wait until it is done, then try again."
    )


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
    path = paths.cluster_locks / name
    # two processes of one node would both see the same owner: sort them out without the cluster
    with local_lock(paths, f"cluster-{name}", timeout=timeout):
        _wait(lambda: _make(path), timeout, lambda: _elsewhere(path, name))
        done = threading.Event()
        renewal = threading.Thread(target=_renew, args=(path, done), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            done.set()
            renewal.join()
            with contextlib.suppress(OSError):
                path.rmdir()


def _make(path: Path) -> bool:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        return _take_over(path)
    except OSError as error:
        raise StoreError(f"{path}: could not lock: {error.strerror}") from error
    return True


def _take_over(path: Path) -> bool:
    """Remove a lock that nobody renews any more; whoever then creates it first has it."""
    try:
        if _CLOCK.now().timestamp() - path.stat().st_mtime > _STALE:
            path.rmdir()
    except OSError:
        pass  # its holder, or another who waits, was faster
    return False


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(_RENEW):
        with contextlib.suppress(OSError):
            os.utime(path)


def _elsewhere(path: Path, name: str) -> Locked:
    return Locked(
        f"{name}: another node holds the lock {path} (this is {socket.gethostname()})",
        hint="Wait until it is done; a lock that is left behind expires after two minutes.",
    )


def _wait(attempt: Callable[[], bool], timeout: float, refusal: Callable[[], Locked]) -> None:
    deadline = _CLOCK.monotonic() + timeout
    while not attempt():
        if _CLOCK.monotonic() >= deadline:
            raise refusal()
        _CLOCK.wait(threading.Event(), _RETRY)
