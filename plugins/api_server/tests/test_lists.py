"""Lists of tasks that many ask for: read once, and again as soon as anything has changed."""

import json
import os
import subprocess

import full_node
import pytest

from pvefw.host.clock import SystemClock
from pvefw.tasks import registry, upid
from pvefw_api import call
from pvefw_api_server import answering, tickets, users, wire

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
    [rows] = answers(paths, of(paths, user), **given)
    return [row["upid"] for row in rows]


def of(paths, user):
    """What shows who calls."""
    ticket, _ = tickets.issue(tickets.key(paths), user, SystemClock().now().timestamp())
    return {"ticket": ticket}


def answers(paths, says, **given):
    found = []
    said = {"method": "GET", "path": "/nodes/pve1/tasks", "parameters": given, **says}
    answering.answer(paths, said, found.append)
    return found


def answered(paths, user="root@pam"):
    """An answer as it goes to the front."""
    [rows] = answers(paths, of(paths, user))
    return wire.answer(200, {"data": rows})


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
    for _ in range(2):
        assert listed(paths, BOB) == [], "who may see it is looked at each time"
    assert len(reads) == 3, "his own are a list of their own"


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


def test_a_task_that_runs_is_read_once_as_well(paths, reads):
    begun = entered(paths, os.getpid(), "one")
    for _ in range(3):
        assert listed(paths, **ALL) == [str(begun), full_node.UPID]
    assert len(reads) == 1


def test_a_list_that_is_kept_is_written_as_json_once(paths, reads, monkeypatch):
    """And who may not see all of it gets what is theirs only."""
    first, second = answered(paths), answered(paths)
    monkeypatch.setattr(wire.json, "dumps", lambda _body: pytest.fail("it is written again"))
    assert answered(paths) == second == first
    assert json.loads(first.partition(b"\n")[2])["data"][0]["upid"] == full_node.UPID
    monkeypatch.undo()
    assert answered(paths, BOB) == b'200\n{"data": []}'


def test_a_token_that_is_removed_is_refused_though_its_file_looks_the_same(paths, reads):
    """What a file system says of a file may be too coarse, so nothing is kept by that."""
    with users.changing(paths) as found:
        found[BOB], secret = users.new_token(found[BOB], "one", None, 0)
    says = {"authorization": f"PVEAPIToken={BOB}!one={secret}"}
    assert answers(paths, says) == [[]]
    before, data = paths.api_users.stat(), paths.api_users.read_bytes()
    paths.api_users.write_bytes(data.replace(b'"one"', b'"two"'))
    os.utime(paths.api_users, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = paths.api_users.stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    [refused] = answers(paths, says)
    assert refused.status == 401


def test_long_lists_are_not_kept(paths, reads, monkeypatch):
    monkeypatch.setattr(answering, "_MOST_ROWS", 0)
    assert [listed(paths), listed(paths)] == [[full_node.UPID]] * 2
    assert len(reads) == 2
