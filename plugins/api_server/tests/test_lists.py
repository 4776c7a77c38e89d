"""Lists of tasks that many ask for: read once, and again as soon as anything has changed."""

import subprocess

import full_node
import pytest

from pvefw.host.clock import SystemClock
from pvefw.tasks import registry, upid
from pvefw_api import call
from pvefw_api_server import answering, tickets, users

ALL = {"source": "all"}
BOB = "bob@pam"


@pytest.fixture
def reads(paths, monkeypatch):
    """How often something was read."""
    full_node.fill(paths)
    with users.changing(paths) as found:
        found[BOB] = users.User(BOB)
    counted, really = [], call.call

    def read(*arguments, **options):
        counted.append(arguments)
        return really(*arguments, **options)

    monkeypatch.setattr(call, "call", read)
    return counted


def listed(paths, user="root@pam", **given):
    ticket, _ = tickets.issue(tickets.key(paths), user, SystemClock().now().timestamp())
    said = {"method": "GET", "path": "/nodes/pve1/tasks", "parameters": given, "ticket": ticket}
    answers = []
    answering.answer(paths, said, answers.append)
    return [row["upid"] for row in answers[0]]


def entered(paths, pid, name):
    """A task that has begun, of a process."""
    begun = upid.Upid(
        "pve1", pid, upid.process_start(pid) or 1, 1_700_000_000, name, "", "root@pam"
    )
    log = begun.log_path(paths)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("TASK OK\n")
    registry.begin(paths, begun)
    return begun


def test_it_is_read_once_while_nothing_changes(paths, reads):
    for _ in range(5):
        assert listed(paths) == [full_node.UPID]
    assert len(reads) == 1
    assert listed(paths, limit="0") == []
    assert len(reads) == 2
    assert listed(paths, BOB) == [], "who may see it is looked at each time"
    assert len(reads) == 2


def test_whatever_changes_is_seen_at_once(paths, reads):
    listed(paths, **ALL)
    with subprocess.Popen(["sleep", "infinity"]) as process:
        first = entered(paths, process.pid, "one")
        assert str(first) in listed(paths, **ALL)
        registry.finish(paths, first, 1_700_000_001, "OK")
        assert listed(paths) == [str(first), full_node.UPID]
        assert listed(paths) == [str(first), full_node.UPID]
        second = entered(paths, process.pid, "two")
        assert listed(paths) == [str(first), full_node.UPID]
        process.kill()
    assert set(listed(paths)) == {str(first), str(second), full_node.UPID}, "it has ended unseen"
    registry.remove(paths, [str(first).encode()])
    assert str(first) not in listed(paths)


def test_long_lists_are_not_kept(paths, reads, monkeypatch):
    monkeypatch.setattr(answering, "_MOST_ROWS", 0)
    assert [listed(paths), listed(paths)] == [[full_node.UPID]] * 2
    assert len(reads) == 2
