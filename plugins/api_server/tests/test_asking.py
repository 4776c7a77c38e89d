"""Equal questions that wait together are asked once; none is answered by what was before it."""

import asyncio
import json

import pytest

from pvefw_api_server import wire
from pvefw_api_server.asking import Asker

LIST = {"method": "GET", "path": "/nodes/pve1/tasks", "ticket": "root's"}


class Root:
    """A helper whose answers are in the test's hands."""

    def __init__(self):
        self.asked = []
        self.answering = asyncio.Event()
        self._arrived = asyncio.Event()

    async def serve(self, reader, writer):
        line = await reader.readline()
        self.asked.append(json.loads(line))
        self._arrived.set()
        number = len(self.asked)
        await self.answering.wait()
        writer.write(wire.answer(200, {"data": number}) if line else b"")
        writer.close()

    async def was_asked(self, times):
        while len(self.asked) < times:
            await self._arrived.wait()
            self._arrived.clear()


def ask(tmp_path, conversation):
    """What a conversation with a helper of ours comes to."""

    async def run():
        root = Root()
        server = await asyncio.start_unix_server(root.serve, tmp_path / "helper")
        async with server:
            return await conversation(root, Asker(tmp_path / "helper"))

    return asyncio.run(run())


def data(answers):
    return [json.loads(body)["data"] for _, body in answers]


def test_those_who_wait_together_get_one_answer_that_was_made_after_they_asked(tmp_path):
    async def conversation(root, asker):
        first = asyncio.create_task(asker.answer(LIST))
        await root.was_asked(1)
        others = [asyncio.create_task(asker.answer(dict(LIST))) for _ in range(50)]
        await asyncio.wait(others, timeout=0)  # each has asked
        assert len(root.asked) == 1
        root.answering.set()
        return data([await first, *await asyncio.gather(*others)])

    assert ask(tmp_path, conversation) == [1] + [2] * 50


def test_what_differs_or_changes_something_is_asked_by_itself(tmp_path):
    """Another's ticket, another address, another list; and of changes each."""
    change = {**LIST, "method": "POST"}
    different = [LIST, {**LIST, "ticket": "another's"}, {**LIST, "client": "192.0.2.1"},
                 {**LIST, "parameters": {"limit": "1"}}, change, change]  # fmt: skip

    async def conversation(root, asker):
        asked = [asyncio.create_task(asker.answer(call)) for call in different]
        await root.was_asked(len(different))
        root.answering.set()
        await asyncio.gather(*asked)
        return root.asked

    asked = ask(tmp_path, conversation)
    assert sorted(map(str, asked)) == sorted(map(str, different))


def test_who_leaves_takes_no_answer_from_the_others(tmp_path):
    async def conversation(root, asker):
        leaving, staying = (asyncio.create_task(asker.answer(LIST)) for _ in range(2))
        await root.was_asked(1)
        leaving.cancel()
        root.answering.set()
        return data([await staying])

    assert ask(tmp_path, conversation) == [1]


def test_a_helper_that_is_gone_is_looked_for_again(tmp_path):
    async def conversation(root, asker):
        root.answering.set()
        return data([await asker.answer(LIST)])

    asker = Asker(tmp_path / "helper")
    for _ in range(2):
        with pytest.raises(OSError, match="No such file"):
            asyncio.run(asker.answer(LIST))
    assert ask(tmp_path, conversation) == [1]
