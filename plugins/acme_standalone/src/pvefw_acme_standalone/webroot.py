"""Answers as files below the document root of a web server that already runs.

The root may belong to somebody else. So no step below it follows a link, and every change is made from
the handle of the directory that was looked at.
"""

import contextlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pvefw.api import ProviderError, open_directory

_PLACE = (".well-known", "acme-challenge")


class Webroot:
    """The challenge directory of one document root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root.joinpath(*_PLACE)

    def add(self, answers: Mapping[str, str]) -> None:
        """Write one file a token, readable by everybody.

        :raises ProviderError: the document root is missing or cannot be written, or a link is below it.
        """
        if not self._root.is_dir():
            raise ProviderError(f"webroot {self._root} is not a directory")
        try:
            with self._opened(make=True) as there:
                for token, answer in answers.items():
                    there.replace(token, answer.encode("ascii"), 0o644)
        except OSError as error:
            raise ProviderError(f"webroot {self._root}: {_explained(error)}") from error

    def remove(self, tokens: Iterable[str]) -> None:
        """Remove these files, and the directories when nothing else is in them.

        :raises ProviderError: one cannot be removed; it says which.
        """
        left = self._directory
        try:
            with self._opened() as there:
                for token in tokens:
                    left = self._directory / token
                    with contextlib.suppress(FileNotFoundError):
                        there.remove(token)
        except FileNotFoundError:
            return  # it was never made
        except OSError as error:
            raise ProviderError(f"{left} is left: {_explained(error)}") from error
        with contextlib.suppress(OSError), open_directory(self._root) as root:
            with root.entered(_PLACE[0]) as well_known:
                well_known.remove_directory(_PLACE[1])
            root.remove_directory(_PLACE[0])  # others may use it

    @contextlib.contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[Any]:
        """The challenge directory, open.

        :param make: make it where it is missing, for every user to enter; what is there stays as it is.
        """
        with contextlib.ExitStack() as stack:
            here = stack.enter_context(open_directory(self._root))
            for name in _PLACE:
                if make:
                    here.make(name, 0o755)
                here = stack.enter_context(here.entered(name))
            yield here

    def unreadable(self) -> list[str]:
        """What the web server might not get at, from the document root down: a path and its mode each."""
        closed = []
        for path in (self._root, self._directory.parent, self._directory):
            mode = path.stat().st_mode
            if not mode & stat.S_IXOTH:
                closed.append(f"{path} ({stat.filemode(mode)})")
        return closed


def _explained(error: OSError) -> str:
    """What is in the way, and where."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
