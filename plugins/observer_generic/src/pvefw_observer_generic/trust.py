"""The certificates that are trusted."""

import ssl
from pathlib import Path

from pvefw.api import ProviderError, cause_of

__all__ = ["context"]


def context(ca_file: Path | None) -> ssl.SSLContext:
    """For connections to servers that these certificates vouch for.

    :param ca_file: ``None`` for the system's.
    :raises ProviderError: the file cannot be read, or holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except ssl.SSLError as error:
        raise ProviderError(f"ca_file {ca_file}: the file holds no certificates in PEM") from error
    except OSError as error:
        raise ProviderError(f"ca_file {ca_file}: {cause_of(error)}") from error
