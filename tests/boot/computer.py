"""Changes of an ESP that end in the middle: the power fails, the disk is full or breaks."""

import errno
import os
import shutil

from pvefw.boot.esp_files import EspFiles, Piece
from pvefw.host.durable import unfinished


class PowerCut(BaseException):
    """The machine is off. Nothing that runs after it may change anything."""


class Steps:
    """Counts the steps of a change, and ends it before one of them.

    :param stop: the step that does not happen any more; ``None`` for none.
    :param failure: what happens instead; ``None`` for a power cut.
    :param lossy: whether a power cut undoes what was done to names and not synced.
    """

    def __init__(self, stop=None, failure=None, lossy=False):
        self.lossy = lossy
        self._unsynced = []
        self.stop = stop
        self.failure = failure
        self.done = []
        self.off = False

    def step(self, what, half=lambda: None):
        """One step is about to happen.

        :param half: does a part of it.
        """
        if self.off:
            raise PowerCut
        if self.stop is not None and len(self.done) == self.stop:
            half()
            if self.failure is None:
                self._switch_off()
                raise PowerCut(what)
            self.done.append(what)
            raise OSError(self.failure, os.strerror(self.failure))
        self.done.append(what)

    def may_be_lost(self, path, undo):
        """A name was changed, and its folder not synced."""
        self._unsynced.append((path.parent, undo))

    def synced(self, folder):
        self._unsynced = [step for step in self._unsynced if step[0] != folder]

    def _switch_off(self):
        self.off = True
        for _, undo in reversed(self._unsynced if self.lossy else []):
            undo()

    def files(self, root):
        return _Watched(root, self)


class _Watched(EspFiles):
    def __init__(self, root, steps):
        super().__init__(root)
        self._steps = steps

    def make_directory(self, directory):
        self._steps.step(f"mkdir {directory}")
        super().make_directory(directory)
        path = self.root / directory
        self._steps.may_be_lost(path, lambda: shutil.rmtree(path))

    def create(self, target, chunks):
        self._steps.step(f"create {target}")
        super().create(target, chunks)

    def write(self, descriptor, data):
        content = data.read() if isinstance(data, Piece) else data
        self._steps.step("write", lambda: os.write(descriptor, content[: len(content) // 2]))
        super().write(descriptor, data)

    def sync_file(self, target):
        self._steps.step(f"fsync {target}")
        super().sync_file(target)

    def put_in_place(self, target):
        self._steps.step(f"rename {target}")
        path, staged = self.root / target, self.root / unfinished(target)
        before = path.read_bytes() if path.is_file() else None
        super().put_in_place(target)

        def undo():
            path.rename(staged)
            if before is not None:
                path.write_bytes(before)

        self._steps.may_be_lost(path, undo)

    def remove(self, target):
        self._steps.step(f"unlink {target}")
        path = self.root / target
        before = path.read_bytes()
        super().remove(target)
        self._steps.may_be_lost(path, lambda: path.write_bytes(before))

    def remove_directory(self, directory):
        self._steps.step(f"rmdir {directory}")
        path = self.root / directory
        super().remove_directory(directory)
        self._steps.may_be_lost(path, path.mkdir)

    def sync(self, directory):
        self._steps.step(f"sync {directory}")
        super().sync(directory)
        self._steps.synced(self.root / directory)


FAULTS = (errno.ENOSPC, errno.EIO)
