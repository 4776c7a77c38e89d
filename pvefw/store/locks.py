"""Locks that hold across processes, and across the nodes of a cluster.

Local locks are ``flock`` on a file: the kernel lets go when the holder dies. Cluster locks are
directories below ``/etc/pve/priv/lock`` (:mod:`pvefw.store.leases`). Where Proxmox VE's own tools change
the same file, the lock is theirs, by its name.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pvefw.core.errors import Locked, NoQuorum, StoreError, UsageError
from pvefw.host import foreign
from pvefw.host.clock import SystemClock
from pvefw.host.durable import make_directory
from pvefw.store import files, leases, pmxcfs, rehearsal, shared
from pvefw.store.paths import Paths
from pvefw.store.shared_leases import SharedLease

Say = Callable[[str], None]
_RETRY, _LONGEST_RETRY = 0.05, 1.0
_REMARK = 3.0
"""Seconds after which who waits is told for whom; a holder has said by then who it is."""
_NOTE = 300
"""Bytes: what a holder leaves is shorter."""
_FIELDS = 8
"""Of a line of proc_locks(5)."""
_CLOCK = SystemClock()


@contextlib.contextmanager
def local_lock(paths: Paths, name: str, *, timeout: float = 10.0) -> Iterator[None]:
    """Hold a lock of this host.

    :param timeout: seconds to wait for it; 0 to fail at once.
    :raises Locked: another process holds it; the message says which.
    """
    if rehearsal.is_dry():  # it writes nothing, and leaves no traces
        yield
        return
    with (
        _flocked(_below(paths.local_locks, f"{name}.lock"), name, timeout) as descriptor,
        _former_lock(paths, name, timeout),
    ):
        _note_holder(descriptor)
        yield


@contextlib.contextmanager
def _former_lock(paths: Paths, name: str, timeout: float) -> Iterator[None]:
    """The same lock where a process of release 1.0 has it, which was started before an upgrade.

    The directory is gone after a boot. In a place that is open to everybody, only one of root's counts.

    :raises Locked: another process holds it.
    """
    try:
        folder = paths.former_locks.lstat()
    except OSError:
        yield
        return
    ours = folder.st_uid in (0, os.geteuid()) and not folder.st_mode & 0o022
    if not stat.S_ISDIR(folder.st_mode) or not ours:
        yield
        return
    path = _below(paths.former_locks, f"{name}.lock")
    with shared_file_lock(path, name, timeout=timeout) as descriptor:
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
    if rehearsal.is_dry():
        return contextlib.nullcontext()
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


def _note_holder(descriptor: int, mark: int | str | None = None) -> None:
    """Leave word in the lock file: who holds it, for the error message of those who wait.

    :param mark: what the cluster lock is known by, for whoever finds it left behind.
    """
    note = f"{os.getpid()} {'' if mark is None else mark}".encode()
    with contextlib.suppress(OSError):  # what is lost is a better message, or two minutes
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)


def _noted(descriptor: int) -> tuple[str, str]:
    """Process id and mark, as they were left."""
    pid, _, mark = os.pread(descriptor, _NOTE, 0).decode("ascii", "replace").partition(" ")
    return pid.strip(), mark.strip()


def _holder(descriptor: int, name: str) -> Locked:
    # what is noted may be of an earlier holder that was killed: Proxmox VE's tools note nothing
    known = (_noted(descriptor)[0], _holder_by_kernel(descriptor))
    pid, command = next(((pid, what) for pid in known if (what := _command(pid))), ("", ""))
    who = f"process {pid} ({command})" if command else "another process"
    if _is_stopped(pid):
        return Locked(
            f"{name}: {who} has locked this, and was stopped",
            hint=f"Let it go on: kill -CONT {pid}. Or end it: kill -KILL {pid}",
        )
    return Locked(f"{name}: {who} has locked this", hint="Wait until it is done, then try again.")


def _is_stopped(pid: str) -> bool:
    """Whether a process was stopped, by SIGSTOP or a debugger: proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_bytes()
    except (OSError, ValueError):
        return False
    return fields.rpartition(b") ")[2][:1] in (b"T", b"t")


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
def cluster_lock(
    paths: Paths, name: str, *, timeout: float = 10.0, say: Say | None = None
) -> Iterator[None]:
    """Hold a lock of the whole cluster; it is renewed for as long as it is held.

    :param timeout: seconds to wait for it; 0 to fail at once.
    :param say: is told who holds it, where that takes longer.
    :raises Locked: another node or process holds it.
    :raises NoQuorum: another node held it when this one lost sight of the cluster, or none can be taken.
    """
    path = _below(paths.cluster_locks, name)
    pmxcfs.check(path)
    if rehearsal.is_dry():
        yield
        return
    local = _below(paths.local_locks, f"cluster-{name}.lock")
    # two processes of one node would both see the same owner: sort them out without the cluster
    with _flocked(local, name, timeout) as descriptor:
        _, left_behind = _noted(descriptor)
        lease = _lease(paths, path, lambda mark: _note_holder(descriptor, mark))
        if left_behind:
            lease.remove_left_behind(left_behind)
        _note_holder(descriptor)
        _wait(
            lambda: _take(lease, path),
            timeout,
            lambda: _elsewhere(lease, path),
            _telling(lease, say) if say else None,
        )
        with lease.kept():
            yield


def _lease(
    paths: Paths, path: Path, remember: Callable[[int | str | None], None]
) -> leases.Lease | SharedLease:
    """A lock of the store that this node has, else a directory that is one."""
    if (store := shared.of(path)) is not None:
        return SharedLease(store, path.name, paths.node, remember)
    try:
        make_directory(path.parent, private=True)
    except OSError as error:
        raise _cannot(path, error) from error
    note = leases.Note(_below(paths.lock_holders, path.name))
    return leases.Lease(path, note, paths.node, remember)


def _take(lease: leases.Lease | SharedLease, path: Path) -> bool:
    """Try to take a lock.

    :raises NoQuorum: it is another's, and will be for as long as this node does not see the cluster.
    """
    try:
        taken = lease.take()
    except OSError as error:
        raise _cannot(path, error) from error
    if not taken and not pmxcfs.has_quorum(path):
        raise NoQuorum(
            f"{path.name}: the cluster has no quorum, and {lease.holder()} holds the lock {path}",
            hint=pmxcfs.NO_QUORUM,
        )
    return taken


def _telling(lease: leases.Lease | SharedLease, say: Say) -> Callable[[], None]:
    """Says for whom we wait, and says it again when another has the lock."""
    told = ""

    def tell() -> None:
        nonlocal told
        if (now := f"Waiting for {lease.holder()}") != told:
            told = now
            say(now)

    return tell


def _elsewhere(lease: leases.Lease | SharedLease, path: Path) -> Locked:
    return Locked(
        f"{path.name}: {lease.holder()} holds the lock {path} (this is {os.uname().nodename})",
        hint="Wait until it is done; a lock that is left behind expires after two minutes.",
    )


def _wait(
    attempt: Callable[[], bool],
    timeout: float,
    refusal: Callable[[], Locked],
    remark: Callable[[], None] | None = None,
) -> None:
    """Try until it works: often at first, later once a second, as every try is a message to all nodes."""
    began = _CLOCK.monotonic()
    while not attempt():
        waited = _CLOCK.monotonic() - began
        if waited >= timeout:
            raise refusal()
        if remark and waited >= _REMARK:
            remark()
        _CLOCK.wait(threading.Event(), min(max(waited / 20, _RETRY), _LONGEST_RETRY))
