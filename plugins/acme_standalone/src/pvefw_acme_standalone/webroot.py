"""Answers as files below the document root of a web server that already runs."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from pvefw.api import ProviderError


class Webroot:
    """The challenge directory of one document root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root / ".well-known" / "acme-challenge"

    def add(self, answers: Mapping[str, str]) -> None:
        """Write one file a token, readable by everybody.

        :raises ProviderError: the document root is missing or cannot be written.
        """
        if not self._root.is_dir():
            raise ProviderError(f"webroot {self._root} is not a directory")
        try:
            for directory in (self._directory.parent, self._directory):
                self._make(directory)
            for token, answer in answers.items():
                self._write(self._directory / token, answer)
        except OSError as error:
            raise ProviderError(f"webroot {self._root}: {error.strerror}") from error

    def remove(self, tokens: Iterable[str]) -> None:
        """Remove these files, and the directories when nothing else is in them.

        :raises ProviderError: one cannot be removed; it says which.
        """
        for token in tokens:
            try:
                (self._directory / token).unlink(missing_ok=True)
            except OSError as error:
                raise ProviderError(
                    f"{self._directory / token} is left: {error.strerror}"
                ) from error
        for directory in (self._directory, self._directory.parent):
            try:
                directory.rmdir()
            except OSError:
                return  # others use it, or it was never made

    def unreadable(self) -> list[str]:
        """What the web server might not get at, from the document root down: a path and its mode each."""
        found = []
        for path in (self._root, self._directory.parent, self._directory):
            mode = path.stat().st_mode
            if not mode & stat.S_IXOTH:
                found.append(f"{path} ({stat.filemode(mode)})")
        return found

    @staticmethod
    def _make(directory: Path) -> None:
        """A directory that every user can enter, whatever the umask; one that is there stays as it is."""
        try:
            directory.mkdir()
        except FileExistsError:
            return
        directory.chmod(0o755)

    @staticmethod
    def _write(path: Path, answer: str) -> None:
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            staged.write_text(answer, encoding="ascii")
            staged.chmod(0o644)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
