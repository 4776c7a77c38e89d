"""Clean-up after processes that were killed: exactly what their journals name."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from servers.world import ServerZones, Task, bound, challenge

from pvefw.core.errors import CredentialsRejected, NotFound, Unavailable
from pvefw.dns import journal
from pvefw.dns.cleanup import cleanup, forget
from pvefw.dns.journal import Entry, Journal
from pvefw.store import locks

CHILD = Path(__file__).with_name("order_child.py")
KILLED = [
    "amid journal",
    "before add",
    "amid add",
    "after add",
    "before wait",
    "before remove",
    "amid remove",
    "after remove",
    "before close",
    "amid close",
]


def start(world, paths, step, domains):
    servers = {"bind": world.primary.address, "knot": world.knot.address}
    resolver = json.loads(world.child_config())
    given = json.dumps([str(paths.root), step, resolver, servers, domains])
    tests = str(CHILD.parent.parent)
    return subprocess.Popen(
        [sys.executable, str(CHILD), given],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": tests},
    )


def bind_again(world):
    """Fresh plugins, as another process has them."""
    plugins = {"bind": ServerZones(world.primary), "knot": ServerZones(world.knot)}
    return lambda instance: bound(plugins[instance], instance), plugins


def names(domains):
    return [f"_acme-challenge.{domain}." for domain in domains]


@pytest.mark.parametrize("step", KILLED)
def test_killed_at_every_step_and_nothing_is_left(world, paths, task, step):
    label = step.replace(" ", "-")
    domains = [f"{label}.example.test", f"{label}.knot.test"]
    for name in names(domains):
        zone = "example.test." if "example" in name else "knot.test."
        world.zones[zone].update(zone, ("add", name, "foreign"))
    with start(world, paths, step, domains) as child:
        said, _ = child.communicate(timeout=60)
    assert (child.returncode, said) == (-signal.SIGKILL, "")
    named = {entry.value for entry in journal.open_entries(paths)}
    there = set().union(*(world.values(name) for name in names(domains))) - {"foreign"}
    assert there <= named
    bind_instance, _ = bind_again(world)
    assert cleanup(paths, bind_instance, task) == []
    for name in names(domains):
        assert world.values(name) == {"foreign"}
    assert journal.open_entries(paths) == []
    assert task.warnings == []


def test_a_process_that_lives_is_left_alone_until_it_is_dead(world, paths, task):
    domains = ["alive.example.test", "alive.knot.test"]
    bind_instance, plugins = bind_again(world)
    with start(world, paths, "hang", domains) as child:
        assert child.stdout.readline() == "waiting\n"
        try:
            assert cleanup(paths, bind_instance, task) == []
            assert forget(paths, "bind") == []
            assert len(world.values(names(domains)[0])) == 2
            assert plugins["bind"].calls == plugins["knot"].calls == []
        finally:
            child.kill()
    assert cleanup(paths, bind_instance, task) == []
    assert [world.values(name) for name in names(domains)] == [set(), set()]
    assert plugins["bind"].made("remove") == [("example.test.", 2)]


def abandoned(paths, clock, *entries):
    """A journal whose process is dead."""
    with subprocess.Popen(["true"]) as dead:
        pass
    written = Journal.begin(paths, entries, clock)
    said = json.loads(written.path.read_text())
    written.path.write_text(json.dumps({**said, "pid": dead.pid, "pstart": 1}))
    return written.path


def entry(label, value="value", instance="bind"):
    return Entry(instance, "example.test.", f"_acme-challenge.{label}.example.test.", value)


def add(world, *entries):
    world.primary.update("example.test.", *(("add", added.name, added.value) for added in entries))


def test_without_journals_no_plugin_is_bound(paths, task):
    def never(instance):
        raise AssertionError(instance)

    assert cleanup(paths, never, task) == []


def test_an_instance_that_is_gone_keeps_its_entries_and_says_what_to_do(world, paths, task, clock):
    mine, gone = entry("mine"), entry("orphaned", instance="removed")
    add(world, mine, gone)
    abandoned(paths, clock, mine, gone)
    plugin = ServerZones(world.primary)

    def bind_instance(instance):
        if instance == "removed":
            raise NotFound("there is no ACME plugin instance removed")
        return bound(plugin, instance)

    left = cleanup(paths, bind_instance, task)
    assert [leftover.entry for leftover in left] == journal.open_entries(paths) == [gone]
    reason = "there is no ACME plugin instance removed"
    assert task.warnings == [f'{gone.name} TXT "value" in zone example.test. is left: {reason}']
    assert "pvefw dns cleanup --forget removed" in task.lines[-1]
    assert world.primary.txt(mine.name) == set()
    assert forget(paths, "removed") == [gone]
    assert journal.open_entries(paths) == []
    assert world.primary.txt(gone.name) == {"value"}


def test_what_cannot_be_removed_stays_for_the_next_time(world, paths, task, clock):
    added = entry("stays")
    add(world, added)
    abandoned(paths, clock, added)
    plugin = ServerZones(world.primary)
    plugin.failures["remove"] = [CredentialsRejected("expired")]
    bind_instance = lambda instance: bound(plugin, instance)  # noqa: E731 - one line says it
    assert [left.reason for left in cleanup(paths, bind_instance, task)] == ["bind: expired"]
    plugin.failures["remove"] = [Unavailable("busy")]
    assert cleanup(paths, bind_instance, Task()) == []
    assert world.primary.txt(added.name) == set()


def test_several_journals_are_one_call_for_each_zone(world, paths, task, clock):
    entries = [entry(f"several{number}") for number in range(3)]
    add(world, *entries)
    for added in entries:
        abandoned(paths, clock, added)
    bind_instance, plugins = bind_again(world)
    cleanup(paths, bind_instance, task)
    assert plugins["bind"].made("remove") == [("example.test.", 3)]
    assert journal.open_entries(paths) == []


def test_a_resumed_order_keeps_its_values(world, paths, task, clock):
    """The authority gives the same token again, so the dead process' value is the living one's."""
    both, old = entry("both"), entry("old")
    add(world, both, old)
    abandoned(paths, clock, both, old)
    living = Journal.begin(paths, [both], clock)
    bind_instance, _ = bind_again(world)
    assert cleanup(paths, bind_instance, task) == []
    assert world.primary.txt(both.name) == {"value"}
    assert world.primary.txt(old.name) == set()
    assert journal.open_entries(paths) == [both]
    living.close([both])


def _directory(path):
    path.mkdir()


def _loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"{"), os.mkfifo, _directory, _loop],
    ids=["half", "pipe", "directory", "loop"],
)
def test_a_damaged_journal_is_a_warning_and_keeps_nobody(world, paths, task, clock, damage):
    added = entry("beside-damage")
    add(world, added)
    abandoned(paths, clock, added)
    damaged = paths.state_dir / "dns/0-damaged.json"
    damage(damaged)
    bind_instance, _ = bind_again(world)
    assert cleanup(paths, bind_instance, task) == []
    assert world.primary.txt(added.name) == set()
    assert any(str(damaged) in warning for warning in task.warnings)
    assert os.path.lexists(damaged)


def test_two_cleaners_do_not_meet(world, paths, clock):
    entries = [entry(f"meet{number}") for number in range(5)]
    add(world, *entries)
    abandoned(paths, clock, *entries)
    bind_instance, plugins = bind_again(world)
    with locks.local_lock(paths, "dns-cleanup"):
        threads = [
            threading.Thread(target=cleanup, args=(paths, bind_instance, Task())) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert plugins["bind"].made("remove") == [("example.test.", 5)]


def test_the_journal_names_no_credential(world, paths, task):
    from pvefw.dns.solver import DnsSolver

    key = world.primary.key.secret
    plugin = ServerZones(world.primary)
    solver = DnsSolver(paths, [world.route("secret.example.test", plugin)], world.resolver)
    solver.challenge_present(challenges=[challenge("secret.example.test")], task=task)
    (path,) = journal.files_of(paths)
    assert set(json.loads(path.read_text())) == {"pid", "pstart", "created", "entries"}
    assert key not in path.read_text()
    solver.challenge_cleanup(challenges=[challenge("secret.example.test")], task=task)
