"""HTTP over one kept-alive session that takes nothing from the environment."""

from collections.abc import Mapping
from typing import Any

import requests

from pvefw.api import Unavailable, cause_of, read_answer

_SECONDS = 30.0
_LARGEST = 8 << 20
"""Bytes of an answer: the numbers of a million records."""


class Http:
    """Requests to one API; safe to use from several threads.

    :param ca_file: certificates to trust instead of the system's; empty for those.
    """

    def __init__(self, ca_file: str = "") -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or True

    def send(
        self,
        method: str,
        url: str,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> requests.Response:
        """One request; whatever the status of the answer is.

        No redirection is followed: what shows who we are is for the server that was asked.

        :raises Unavailable: no answer within 30 seconds, or none that this API gives.
        """
        try:
            with self._session.request(
                method,
                url,
                data=data,
                headers=headers,
                auth=auth,
                timeout=_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _read(answer)
        except requests.Timeout as error:
            raise Unavailable(f"{url}: no answer within {_SECONDS:g} seconds") from error
        except requests.RequestException as error:
            raise Unavailable(f"{url}: no answer: {cause_of(error)}") from error


def _read(answer: requests.Response) -> requests.Response:
    """An answer with its body.

    :raises Unavailable: it is a redirection, or larger than any of OVH's.
    """
    where = answer.url.partition("?")[0]
    if answer.is_redirect:
        raise Unavailable(f"{where}: it redirects, which OVH's API does not")
    if not read_answer(answer, _LARGEST):
        raise Unavailable(f"{where}: the answer is larger than {_LARGEST} bytes")
    return answer


def parsed(answer: requests.Response) -> Any:
    """The JSON of an answer.

    :raises Unavailable: it is none: a proxy or a maintenance page has answered.
    """
    try:
        return answer.json()
    except ValueError as error:
        where = answer.url.partition("?")[0]
        raise Unavailable(
            f"{where}: an answer that is not JSON (status {answer.status_code})"
        ) from error


def fields(answer: requests.Response) -> Mapping[str, Any]:
    """The members of a JSON object; empty where the answer is something else."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def retry_after(answer: requests.Response) -> float | None:
    """Seconds to wait before the next request, where the server says so (RFC 9110 section 10.2.3)."""
    header = answer.headers.get("Retry-After", "")
    return float(header) if header.isdecimal() else None
