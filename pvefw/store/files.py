"""Reading and replacing files: atomic, durable, private from the first byte.

Everything here also works on pmxcfs, Proxmox VE's cluster file system, which has no hard links or
symlinks, refuses ``chmod``, and sets modes by itself.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pvefw.core.errors import DigestMismatch, NoQuorum, NotFound, StoreError
from pvefw.host import foreign, processes, reading
from pvefw.host.durable import create_file, make_directory, remove_file, sync_directory, sync_handle
from pvefw.store import oddities, pmxcfs, rehearsal, shared

_PRIVATE, _PUBLIC = 0o600, 0o644
_ABANDONED = 300.0
"""Seconds after which nobody is still writing a small file."""
_LEFT = re.compile(r"\.(?P<path>.+)\.tmp\.(?:(?P<by>[0-9a-f]{8}-[0-9]+-[0-9]+)-)?[0-9a-f]{8}")
"""The names of unfinished files: whose successor, and by which process."""
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What is raised by whoever makes something of JSON that is not as we wrote it: something is missing, of
another type, or out of range."""


def read(path: Path) -> bytes:
    """A file's content.

    :raises NotFound: there is no such file.
    :raises StoreError: it cannot be read.
    """
    data = read_if_exists(path)
    if data is None:
        raise NotFound(f"{path}: no such file")
    return data


def read_given(path: Path) -> bytes:
    """The content of a file that the user has named; a pipe may be meant.

    :raises NotFound: there is no such file.
    :raises StoreError: it cannot be read.
    """
    try:
        return path.read_bytes() if path.is_fifo() else read(path)
    except OSError as error:
        raise failed("read", path, error) from error


def read_if_exists(path: Path) -> bytes | None:
    """A file's content, or ``None`` where there is no such file.

    :raises StoreError: it cannot be read, is no regular file, or has more than 64 MiB.
    """
    if (watch := rehearsal.current()) and watch.dry and path in watch.after:
        return watch.after[path]
    shared.look(path)
    try:
        data: bytes | None = reading.whole(path)
    except (FileNotFoundError, NotADirectoryError):
        pmxcfs.check(path)
        data = None
    except OSError as error:
        raise failed("read", path, error) from error
    shared.note_read(path, data)
    return data


def exists(path: Path) -> bool:
    """Whether there is a file.

    :raises StoreError: that cannot be found out, or the cluster file system is not mounted.
    """
    if (watch := rehearsal.current()) and watch.dry and path in watch.after:
        return watch.after[path] is not None
    shared.look(path)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pmxcfs.check(path)
        return False
    except OSError as error:
        raise failed("read", path, error) from error
    return True


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object that can be done without: an empty one where there is none, or it is damaged.

    :raises StoreError: the file cannot be read.
    """
    data = read_if_exists(path)
    try:
        document = parse_json(data) if data else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def parse_json(data: bytes | str) -> Any:
    """What a JSON text says.

    :raises ValueError: it is none, or is nested too deeply to be one of ours.
    """
    import json  # the Tab key seldom reads any

    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object_if_possible(path: Path) -> dict[str, Any]:
    """As :func:`read_object`, and an empty one, too, where the file cannot be read."""
    try:
        return read_object(path)
    except StoreError:
        return {}


def digest(data: bytes) -> str:
    """What guards changes: SHA-1 of the file's bytes in hex, as Proxmox VE's API has it."""
    import hashlib  # OpenSSL's: slow to import

    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def check_digest(path: Path, data: bytes, expected: str | None) -> None:
    """Refuse to change a file that is not what the caller has seen.

    :param expected: the digest that the caller saw; ``None`` if it did not look.
    :raises DigestMismatch: the file has changed since.
    """
    if expected is not None and expected != digest(data):
        raise DigestMismatch(
            f"{path}: the file was changed by somebody else (digest mismatch)",
            hint="Look at the current state and try again with its digest.",
        )


def replace(path: Path, data: bytes, *, private: bool = False) -> None:
    """Replace a file's content, or create it: a reader sees the old bytes or the new ones.

    Missing directories are created by :func:`~pvefw.host.durable.make_directory`, whatever the file is.

    :param private: readable by its owner only, from the first byte on.
    :raises StoreError: it cannot be written; the old content is untouched, unless only the sync of its
        directory failed.
    :raises Locked: it is the cluster's, and a lock of ours is lost.
    """
    _check(path)
    if _only_noted(path, data):
        return
    try:
        make_directory(path.parent)
        with foreign.parent(path) as there, _staged(there, path) as staged:
            create_file(there, staged, data, _PRIVATE if private else _PUBLIC)
            _remove_abandoned(there, path, staged)
            with shared.changing({path: data}):
                there.rename(staged, path.name)
            sync_handle(there)
    except OSError as error:
        raise failed("write", path, error) from error


def _only_noted(path: Path, data: bytes | None) -> bool:
    """Let whoever watches know of a write; whether that is all that is to be done.

    :param data: the new content; ``None`` for no file.
    """
    watch = rehearsal.current()
    if watch is None:
        return False
    watch.note(path, read_if_exists(path), data)
    return watch.dry


def _check(path: Path) -> None:
    """Whether this may be written to at all, and still by us; a store looks itself when it is changed."""
    pmxcfs.check(path)
    if pmxcfs.mount_point_of(path) is not None and shared.of(path) is None:
        from pvefw.store import leases

        leases.check()


@contextlib.contextmanager
def _staged(there: foreign.Directory, path: Path) -> Iterator[str]:
    """The name of a file's successor, which is gone in the end."""
    # by chance, too: other threads write here
    name = f"{_unfinished(path)}{processes.mark()}-{os.urandom(4).hex()}"
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            there.remove(name)


def check_writable(directory: Path) -> None:
    """Find out whether files can be written to a directory, before something is done that needs it.

    :raises StoreError: they cannot; the hint says why: no quorum, a full or a read-only file system.
    """
    probe = directory / "pvefw-probe"
    pmxcfs.check(probe)
    try:
        make_directory(directory)
        with foreign.parent(probe) as there, _staged(there, probe) as staged:
            create_file(there, staged, b"", _PRIVATE)
    except OSError as error:
        raise failed("write", probe, error) from error
    if (store := shared.of(probe)) is not None:
        store.check_writable(directory)


def tell_kernel(path: Path, text: str) -> None:
    """Write to a file of the kernel's (sysfs): it is no file that could be replaced.

    :raises NotFound: this kernel has no such file.
    :raises StoreError: the kernel refuses.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)  # no O_CREAT: never make one up
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path}: no such file") from error
    except OSError as error:
        raise failed("write", path, error) from error


def rewrite(path: Path, pieces: Iterable[bytes]) -> None:
    """Replace the content of a file, however large, as :func:`replace` does; owner and mode stay.

    :param pieces: the new content; they may be read from the old one.
    :raises StoreError: it cannot be read or written; the old content is untouched.
    """
    try:
        with foreign.parent(path) as there, _staged(there, path) as staged:
            stat = os.stat(path.name, dir_fd=there.descriptor)
            with os.fdopen(there.create(staged, _PRIVATE), "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fchown(file.fileno(), stat.st_uid, stat.st_gid)
                os.fchmod(file.fileno(), stat.st_mode & 0o7777)
                os.fsync(file.fileno())
            there.rename(staged, path.name)
            sync_handle(there)
    except OSError as error:
        raise failed("write", path, error) from error


def _unfinished(path: Path) -> str:
    """What the names of a file's unfinished successors begin with."""
    return f".{path.name}.tmp."


def _remove_abandoned(there: foreign.Directory, path: Path, staged: str) -> None:
    """Remove what killed writers have left in a directory: others may be writing to it just now.

    Those of this host are known to have ended. What is from elsewhere goes by its age, by the clock of
    the file system, which in a cluster is not that of this host; so does what 1.0 left of this file.
    """
    with contextlib.suppress(OSError):  # the next writer finds them, too
        now = (path.parent / staged).stat().st_mtime
        for left in path.parent.glob(".*.tmp.*"):
            made = _LEFT.fullmatch(left.name)
            if made is None or (not made["by"] and made["path"] != path.name):
                continue
            ended = processes.has_ended(made["by"]) if made["by"] else None
            if ended is None:
                ended = now - left.stat().st_mtime > _ABANDONED
            if ended:
                there.remove(left.name)


def remove_unfinished(path: Path) -> None:
    """Remove what a killed :func:`replace` of this file left; its caller is the only one who writes it.

    :raises StoreError: it cannot be removed.
    """
    if path.parent.is_dir():
        for left in path.parent.glob(f"{_unfinished(path)}*"):
            remove(left)


def rename(source: Path, target: Path) -> None:
    """Put one file in another's place, durably.

    :raises StoreError: it cannot be done; both are as they were.
    :raises Locked: it is the cluster's, and a lock of ours is lost.
    """
    _check(target)
    if rehearsal.current() and _only_noted(target, read(source)) and _only_noted(source, None):
        return
    try:
        with foreign.parent(source) as there, foreign.parent(target) as here:
            with _moving(source, target):
                there.rename(source.name, target.name, here)
            sync_handle(here)
    except OSError as error:
        raise failed("replace", target, error) from error


def _moving(source: Path, target: Path) -> contextlib.AbstractContextManager[None]:
    """Change a store as the rename will change the files."""
    if shared.of(target) is None:
        return contextlib.nullcontext()  # it may be a directory
    return shared.changing({target: read(source), source: None})


def replace_if_possible(path: Path, data: bytes, assumed: str) -> None:
    """As :func:`replace`, for what can be done without: where it cannot be kept, that is a warning.

    :param assumed: what comes of it, for the warning: ``it is found out again``.
    """
    try:
        replace(path, data)
    except StoreError as error:
        oddities.report(path, 0, error.message, assumed)


def remove(path: Path) -> None:
    """Remove a file, durably. One that is not there is not an error.

    :raises StoreError: it cannot be removed.
    """
    pmxcfs.check(path)
    if _only_noted(path, None):
        return
    try:
        with shared.changing({path: None}):
            remove_file(path)
    except OSError as error:
        raise failed("remove", path, error) from error


def remove_all(paths: Iterable[Path]) -> None:
    """Remove many files, durably; those that are not there are not an error.

    :raises StoreError: one cannot be removed; those before it are gone.
    """
    directories = set()
    for path in paths:
        try:
            with foreign.parent(path) as there:
                there.remove(path.name)
            directories.add(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise failed("remove", path, error) from error
    for directory in directories:
        try:
            sync_directory(directory)
        except OSError as error:
            raise failed("remove", directory, error) from error


def failed(action: str, path: Path, error: OSError) -> StoreError:
    """What to raise when the operating system refuses.

    :param action: a verb: ``write``.
    """
    mount_point = pmxcfs.mount_point_of(path)
    if mount_point is not None and pmxcfs.is_dead(error):
        return pmxcfs.not_mounted(mount_point)
    what = f"{path}: could not {action} the file: {error.strerror or error}"
    denied = error.errno in (errno.EACCES, errno.EPERM)
    if denied and os.geteuid() == 0 and mount_point and not pmxcfs.shows_quorum(mount_point):
        return NoQuorum(f"{what}, as the cluster has no quorum", hint=pmxcfs.NO_QUORUM)
    hint = {
        errno.ENOSPC: "The file system is full.",
        errno.EDQUOT: "The quota is used up.",
        errno.EROFS: "The file system is read-only.",
        errno.EACCES: _denied(),
        errno.EPERM: _denied(),
    }.get(error.errno or 0, "")
    return StoreError(what, hint=hint)


def _denied() -> str:
    if os.geteuid() == 0:
        return "Root is refused, too: see the attributes (lsattr) and the mount options (findmnt)."
    return "Run the command as root."
