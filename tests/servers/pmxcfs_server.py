"""A file system in user space that answers as pmxcfs does, for one node; :mod:`servers.pmxcfs` starts it.

python pmxcfs_server.py NODE MOUNT_POINT SHARED STATE
"""

import errno
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy

LOCKS = "/priv/lock/"
STALE = 120.0
UNCACHED = {"entry_timeout": 0, "attr_timeout": 0, "negative_timeout": 0, "ac_attr_timeout": 0}


def refused(number: int) -> OSError:
    return mfusepy.FuseOSError(number)  # type: ignore[no-any-return]  # it has no types


class Pmxcfs(mfusepy.Operations):  # type: ignore[misc]  # as above
    """What a node sees of the shared directory, or of its copy while it is cut off."""

    use_ns = True

    def __init__(self, node: str, shared: Path, state: Path) -> None:
        self.node = node
        self.shared = shared
        self.away = state / node
        self.writers = state / "writers"
        self.writers.mkdir(exist_ok=True)

    @property
    def quorate(self) -> bool:
        return not self.away.exists()

    def at(self, path: str) -> Path:
        return (self.shared if self.quorate else self.away / "copy") / path.lstrip("/")

    def changed(self, path: str) -> Path:
        """As :meth:`at`, for a change."""
        if not self.quorate or path in self.shown():
            raise refused(errno.EACCES)
        return self.at(path)

    def shown(self) -> dict[str, str]:
        """The files that pmxcfs makes up."""
        cluster = {"name": "test", "nodes": 3, "quorate": int(self.quorate)}
        members = {"nodename": self.node, "version": 1, "cluster": cluster, "nodelist": {}}
        return {"/.version": "{}\n", "/.members": f"{json.dumps(members)}\n"}

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, Any]:
        if path == "/local":
            return {"st_mode": stat.S_IFLNK | (0o777 if self.quorate else 0o555), "st_nlink": 1}
        text = self.shown().get(path)
        if text is not None:
            return {"st_mode": stat.S_IFREG | 0o440, "st_nlink": 1, "st_size": len(text)}
        found = self.at(path).lstat()
        private = path == "/priv" or path.startswith("/priv/")
        directory = stat.S_ISDIR(found.st_mode)
        kind = stat.S_IFDIR | 0o755 if directory else stat.S_IFREG | 0o640
        second = int(found.st_mtime) * 10**9
        return {
            "st_mode": kind & ~0o077 if private else kind,
            "st_nlink": 2 if directory else 1,
            "st_size": found.st_size,
            **{f"st_{stamp}": second for stamp in ("atime", "mtime", "ctime")},
        }

    def readlink(self, _path: str) -> str:
        return f"nodes/{self.node}"

    def readdir(self, path: str, _fh: int) -> list[str]:
        more = [*(path_[1:] for path_ in self.shown()), "local"] if path == "/" else []
        return [".", "..", *more, *(file.name for file in self.at(path).iterdir())]

    def mkdir(self, path: str, _mode: int) -> int:
        self.changed(path).mkdir()
        if path.startswith(LOCKS):
            self.writer_of(path).write_text(self.node)
        return 0

    def rmdir(self, path: str) -> int:
        self.changed(path).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        self.changed(path).unlink()
        return 0

    def rename(self, old: str, new: str, _flags: int = 0) -> int:
        self.changed(old).replace(self.changed(new))
        return 0

    def create(self, path: str, _mode: int, _fi: object = None) -> int:
        return os.open(self.changed(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self, path: str, flags: int) -> int:
        if path in self.shown():
            return 0
        writing = flags & (os.O_WRONLY | os.O_RDWR)
        return os.open(self.changed(path) if writing else self.at(path), flags & ~os.O_EXCL)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        text = self.shown().get(path)
        return os.pread(fh, size, offset) if text is None else text.encode()[offset:][:size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.changed(path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, _fh: int | None = None) -> int:
        os.truncate(self.changed(path), length)
        return 0

    def release(self, _path: str, fh: int) -> int:
        if fh:
            os.close(fh)
        return 0

    def fsync(self, _path: str, _datasync: int, _fh: int) -> int:
        return 0

    def chmod(self, _path: str, _mode: int) -> int:
        raise refused(errno.EPERM)

    def chown(self, _path: str, _uid: int, _gid: int) -> int:
        raise refused(errno.EPERM)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        target = self.changed(path)
        second = times[1] // 10**9 if times else int(time.time())
        if path.startswith(LOCKS):
            self.check_lock(path, target, second)
        os.utime(target, (second, second))
        return 0

    def check_lock(self, path: str, target: Path, second: int) -> None:
        """To date a lock to 0 asks for its removal, and is refused even so."""
        there = target.stat().st_mtime
        if second == 0 and time.time() - there > STALE:
            target.rmdir()
        if second < int(there) or self.writer_of(path).read_text() != self.node:
            raise refused(errno.EACCES)

    def writer_of(self, path: str) -> Path:
        """Where it is kept which node made a lock."""
        return self.writers / Path(path).name


if __name__ == "__main__":
    name, mount_point, shared_directory, kept = sys.argv[1:]
    file_system = Pmxcfs(name, Path(shared_directory), Path(kept))
    mfusepy.FUSE(file_system, mount_point, foreground=True, nothreads=True, **UNCACHED)
