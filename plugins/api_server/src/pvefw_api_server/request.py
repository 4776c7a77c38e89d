"""A call as it came through the front, which may be in the hands of an attacker."""

from collections.abc import Mapping
from typing import Any

from pvefw_api import schema


class Request:
    """A call, with nothing taken for granted."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        self._message = message
        self.method, self.path = self.text("method"), "/" + self.text("path").strip("/")
        self.client = self.text("client")
        given = message.get("parameters")
        self._pieces = {
            str(key): [*map(str, value)] if isinstance(value, list) else [str(value)]
            for key, value in (given.items() if isinstance(given, dict) else ())
        }
        self.parameters = {key: ",".join(pieces) for key, pieces in self._pieces.items()}

    def check_lists(self, properties: schema.Properties) -> None:
        """Nothing but a list may be given in several pieces.

        :raises ApiError: something else is.
        """
        schema.joined(properties, self._pieces)

    def text(self, key: str) -> str:
        """A member of the call, or ``parameters.KEY``; empty where it is missing, or no text."""
        if key.startswith("parameters."):
            return self.parameters.get(key.partition(".")[2], "")
        member = self._message.get(key)
        return member if isinstance(member, str) else ""
