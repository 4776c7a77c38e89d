"""The files of a host and of its ESPs; whatever fails is a ProviderError that names the file."""

import os
from pathlib import Path

from pvefw.api import ProviderError, remove_file, replace_file


def read(path: Path) -> bytes | None:
    """A file's content, or ``None`` where there is none.

    :raises ProviderError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProviderError(f"{path}: cannot be read: {error.strerror}") from error


def replace(path: Path, data: bytes | None) -> None:
    """Replace a file and keep its mode, or create it and its directory; ``None`` removes it.

    :raises ProviderError: it cannot be written; the old content is still there.
    """
    try:
        if data is None:
            remove_file(path)
        else:
            replace_file(path, data)
    except OSError as error:
        raise _unwritten(path, error) from error


def overwrite(path: Path, data: bytes) -> None:
    """Write over a file of the same size, in place.

    :raises ProviderError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> ProviderError:
    return ProviderError(f"{path}: cannot be written: {error.strerror}")
