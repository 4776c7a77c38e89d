"""Mounts that nobody else sees, and that end with the process: mount_namespaces(7).

The work runs in a thread that has left the host's mount namespace. Hooks and the programs that they start
are begun by that thread, so they see its mounts. When it ends, or the process is killed, the namespace
goes, and every mount with it.
"""

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from pvefw.core.errors import Cancelled, StoreError
from pvefw.core.model import Task
from pvefw.host import concurrency
from pvefw.host.durable import make_directory

_Result = TypeVar("_Result")

# <linux/mount.h>, <linux/sched.h>
_CLONE_NEWNS = 0x0002_0000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 4096, 16384, 1 << 18
_SAFE = _NO_SUID | _NO_DEVICES | _NO_PROGRAMS
_DETACH = 2
_FAT, _OPTIONS = "vfat", "umask=0077"


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    """A system call that returns 0, or sets errno.

    :raises OSError: it did.
    """
    if getattr(_libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: Path, fstype: str, flags: int, data: str = "") -> None:
    texts = (source.encode(), os.fsencode(target), fstype.encode())
    _call("mount", *texts, ctypes.c_ulong(flags), data.encode())


def privately(work: Callable[[], _Result], task: Task) -> _Result:
    """Do some work in a mount namespace of its own.

    :param task: when it is cancelled, the work is expected to end soon by itself.
    :raises StoreError: only root can have one.
    """

    def inside() -> _Result:
        try:
            _call("unshare", _CLONE_NEWNS)
            _mount("none", Path("/"), "none", _RECURSIVE | _PRIVATE)
        except OSError as error:
            raise StoreError(
                f"ESPs: cannot mount them privately: {error.strerror}",
                hint="Run the command as root."
                if error.errno == errno.EPERM
                else "This kernel offers no mount namespaces.",
            ) from error
        return work()

    return concurrency.call_within(inside, None, "boot", lambda: task.cancelled)


class Mount:  # pragma: no cover - it needs a disk: tests/machines has some
    """A FAT file system that is mounted: read-only, until it has to be written."""

    def __init__(self, device: Path, path: Path) -> None:
        self.path = path
        self._device = device
        self._shared = False
        """Whether it is mounted elsewhere, too, and writable there."""

    def make_writable(self) -> None:
        """Allow writing from now on.

        :raises StoreError: the device is read-only, or the file system is damaged.
        """
        flags = _REMOUNT | _SAFE | (_BIND if self._shared else 0)
        try:
            _mount(str(self._device), self.path, _FAT, flags)
        except OSError as error:
            raise _cannot_mount(self._device, "for writing", error) from error

    def open(self) -> None:
        """Mount it read-only.

        :raises StoreError: it cannot be mounted.
        """
        try:
            self._open()
        except OSError as error:
            raise _cannot_mount(self._device, "", error) from error

    def _open(self) -> None:
        source = str(self._device)
        try:
            _mount(source, self.path, _FAT, _READ_ONLY | _SAFE, _OPTIONS)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self._shared = True
            _mount(source, self.path, _FAT, _SAFE, _OPTIONS)
            _mount(source, self.path, _FAT, _REMOUNT | _BIND | _READ_ONLY | _SAFE)

    def close(self) -> None:
        """Write everything out, and unmount it.

        :raises StoreError: not everything could be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _call("syncfs", descriptor)
            finally:
                os.close(descriptor)
            self._unmount()
        except OSError as error:
            self.abandon()
            raise StoreError(
                f"{self._device}: could not write everything: {error.strerror}",
                hint="See the kernel's log for errors of that disk: dmesg",
            ) from error

    def _unmount(self) -> None:
        try:
            _call("umount2", os.fsencode(self.path), 0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self.abandon()  # something still has a file open; all is written

    def abandon(self) -> None:
        """Unmount it without a word."""
        with contextlib.suppress(OSError):
            _call("umount2", os.fsencode(self.path), _DETACH)


def _cannot_mount(  # pragma: no cover - as for Mount
    device: Path, how: str, error: OSError
) -> StoreError:
    hint = {
        errno.ENODEV: "This kernel cannot mount FAT file systems: modprobe vfat",
        errno.EINVAL: "There is no FAT file system on it, or it is damaged: fsck.vfat -n PARTITION",
        errno.EROFS: "The disk is write-protected.",
        errno.EACCES: "The disk is write-protected.",
    }.get(error.errno or 0, "See the kernel's log: dmesg")
    what = f"cannot be mounted {how}".rstrip()
    return StoreError(f"{device}: {what}: {error.strerror}", hint=hint)


@contextlib.contextmanager
def mounted(  # pragma: no cover - as for Mount
    device: Path, path: Path
) -> Iterator[Mount]:
    """Mount a FAT file system read-only; only inside of :func:`privately`.

    :param path: a directory, made where it is missing.
    :raises StoreError: it cannot be mounted, or in the end not everything could be written.
    """
    try:
        make_directory(path, private=True)
    except OSError as error:
        raise StoreError(
            f"{device}: cannot be mounted on {path}: {error.strerror}",
            hint="That directory has to be on a file system that is writable and not full.",
        ) from error
    mount = Mount(device, path)
    mount.open()
    try:
        yield mount
    except (Exception, Cancelled):
        mount.abandon()
        raise
    mount.close()
