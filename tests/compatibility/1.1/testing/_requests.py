"""What an API in this process is asked, and what it answers; :mod:`pvefw.testing.http_api` has both."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    """Without the query: ``/v1/zones``."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON; ``ValueError`` where it is none."""
        return json.loads(self.body)


Reply = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
"""The HTTP status, what is sent as JSON (bytes: as they are), and perhaps more headers."""

Answer = Callable[[Request], Reply]
"""What an API answers to a request. Never called twice at once."""


class ConnectionLost(Exception):
    """Raised by a fake: the connection is closed without an answer. Since 1.1."""
