"""One request, and what went wrong with it in words of pvefw's."""

from collections.abc import Mapping
from pathlib import Path

import requests

from pvefw.api import CredentialsRejected, ProviderError, Unavailable, cause_of

__all__ = ["send"]

_SECONDS = 30.0
_TOO_MANY, _SERVER_ERROR, _GOOD = 429, 500, 400
_REFUSED = (401, 403)
_SAID = 200


def send(
    method: str, url: str, body: bytes, headers: Mapping[str, str], ca_file: Path | None = None
) -> None:
    """Send a request that must be accepted. Redirections are followed, as for a GET, by their rules.

    :raises Unavailable: it may be accepted later.
    :raises CredentialsRejected: it is refused for want of rights.
    :raises ProviderError: it is refused.
    """
    try:
        answer = requests.request(
            method,
            url,
            data=body,
            headers=dict(headers),
            timeout=_SECONDS,
            verify=str(ca_file) if ca_file else True,
        )
    except requests.ConnectionError as error:
        raise Unavailable(cause_of(error)) from error
    except requests.Timeout as error:
        raise Unavailable(f"no answer within {_SECONDS:g} seconds") from error
    except (requests.RequestException, ValueError) as error:
        raise ProviderError(f"it cannot be sent: {cause_of(error)}") from error
    if answer.status_code < _GOOD:
        return
    text = " ".join(answer.text[:_SAID].split())
    words = f"status {answer.status_code} {answer.reason}" + (f": {text}" if text else "")
    if answer.status_code in _REFUSED:
        raise CredentialsRejected(words)
    if answer.status_code == _TOO_MANY or answer.status_code >= _SERVER_ERROR:
        raise Unavailable(words)
    raise ProviderError(words)
