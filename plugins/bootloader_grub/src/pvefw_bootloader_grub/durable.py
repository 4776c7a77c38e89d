"""Files that are there after a power cut: the old content or the new one."""

import contextlib
import os
from pathlib import Path

from pvefw.api import ProviderError


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
    staged = path.with_name(f".{path.name}.new")  # no *.cfg, so that nobody reads it meanwhile
    try:
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
            staged.unlink(missing_ok=True)
            _write(staged, data, os.O_CREAT | os.O_EXCL, mode)
            staged.replace(path)
        if path.parent.is_dir():
            _sync(path.parent)
    except OSError as error:
        raise ProviderError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def overwrite(path: Path, data: bytes) -> None:
    """Write over a file of the same size, in place.

    :raises ProviderError: it cannot be written.
    """
    try:
        _write(path, data, 0)
    except OSError as error:
        raise ProviderError(f"{path}: cannot be written: {error.strerror}") from error


def _write(path: Path, data: bytes, flags: int, mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
