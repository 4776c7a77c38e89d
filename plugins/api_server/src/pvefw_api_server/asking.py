"""How the front asks the helper: each call has a connection of its own, and equal ones share it.

Those who ask for the same, with the same ticket or token from the same address, and wait at the same
time, get one answer. It is made after the last of them has asked: nobody is shown what was before a
change that he knows of.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pvefw_api_server import wire

Answer = tuple[int, bytes]
"""The status of HTTP, and the body."""


class Asker:
    """Asks root's part.

    :param place: its socket.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._waiting: dict[bytes, asyncio.Task[Answer]] = {}
        """Questions that have not been asked yet: whoever comes may join."""
        self._asked: dict[bytes, asyncio.Task[Answer]] = {}

    async def answer(self, message: Mapping[str, Any]) -> Answer:
        """What it answers to a call.

        :raises OSError: it is not there, or has ended.
        :raises ValueError: it has ended half-way.
        """
        line = wire.encode(dict(message))
        if message["method"] != "GET":
            return await self._ask(line)
        if line not in self._waiting:
            asked = self._asked.get(line)
            self._waiting[line] = asyncio.create_task(self._ask_after(asked, line))
        return await asyncio.shield(self._waiting[line])  # if one leaves, the others stay

    async def _ask_after(self, before: "asyncio.Task[Answer] | None", line: bytes) -> Answer:
        if before is not None:
            await asyncio.wait([before])
        self._asked[line] = self._waiting.pop(line)
        try:
            return await self._ask(line)
        finally:
            del self._asked[line]

    async def _ask(self, line: bytes) -> Answer:
        reader, writer = await asyncio.open_unix_connection(self._place)
        try:
            writer.write(line)
            await writer.drain()
            return wire.answered(await reader.read())
        finally:
            writer.close()
