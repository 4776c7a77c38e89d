"""One odd guest, backend, note or node keeps the others from nothing, and the end tells the truth."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pvefw.core.model import Guest, GuestState
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.guests.scheduler import Action, Job, Outcome, Result
from pvefw.store import drained, guest_notes
from pvefw.store.drained import Drained
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.testing.fakes import FakeTask

CIRCLE = "100 → 101 → 100: dependency cycle"


def states(farm, *vmids):
    return [farm.state(vmid) for vmid in vmids]


# --- odd guests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["startall"], ["boot-guests"], ["startall", "--dry-run"]])
def test_two_guests_of_one_number_are_named_and_the_others_start(farm, command):
    """They never had two outcomes: the command waited without end."""
    farm.guest(100)
    farm.guest(101)
    twin = json.loads((farm.directory / "100.json").read_text())
    (farm.directory / "twin.json").write_text(json.dumps({**twin, "name": "twin"}))
    said = farm.fail(*command)
    assert "vm100" in said
    assert "twin" in said
    assert "have the same number; neither is touched" in said
    assert farm.order("start") == ([] if "--dry-run" in command else [101])


def test_guests_in_a_circle_are_blocked_at_boot_and_the_others_start(farm):
    farm.guest(100, after=[101])
    farm.guest(101, after=[100])
    farm.guest(102)
    farm.guest(103, after=[100])
    said = farm.fail("boot-guests")
    assert states(farm, 100, 101, 102, 103) == ["stopped", "stopped", "running", "stopped"]
    assert f"100 blocked: {CIRCLE}" in said
    assert "103 blocked: it waits for 100, which is blocked itself" in said


@pytest.mark.parametrize("command", ["shutdown-guests", "stopall"])
def test_guests_in_a_circle_stop(farm, command):
    """Or the host would go down under them."""
    farm.guest(100, after=[101], state="running")
    farm.guest(101, after=[100], state="running")
    farm.guest(102, after=[101], state="running")
    said = farm.run(command)
    assert states(farm, 100, 101, 102) == ["stopped"] * 3
    order = farm.order("shutdown")
    assert order.index(102) < order.index(101)
    assert f"WARN: guests: {CIRCLE}" in said


def test_times_that_make_no_sense_are_none(farm):
    farm.guest(100, up=1e12)
    farm.guest(101, up=-5, down=-7)
    rows = json.loads(farm.run("startall", "--dry-run", "--output-format", "json"))
    assert [row["pause"] for row in rows] == [86400, 0]
    farm.guest(101, down=-7, state="running", down_secs=1)
    assert "shutting down, at most 0 s" in farm.run("stopall", "--vms", 101)


def test_a_kind_of_guest_that_is_not_known_starts(farm):
    farm.guest(100, kind="jail", up=None)
    assert farm.run("startall").endswith("Task OK\n")


@pytest.mark.parametrize(
    ("after", "reason"),
    [("paused", "it ran, and is paused now"), (None, "it ran, and is no longer on this node")],
)
def test_a_guest_that_does_not_run_at_the_end_was_not_started(farm, after, reason):
    """As where the disk of its host is full: QEMU pauses it."""
    farm.guest(100)
    farm.guest(101, start_secs=1)
    process = farm.start("startall")
    farm.wait_for("started")
    if after:
        farm.guest(100, state=after)
    else:
        (farm.directory / "100.json").unlink()
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1, said
    assert f"1 failed: 100 failed: {reason}" in said


@pytest.mark.parametrize(
    ("looks", "ended"),
    [(["paused", "running"], ["ok"]), (["paused", "paused"], ["failed"]), (["running"], ["ok"])],
)
def test_a_guest_that_is_paused_for_a_moment_was_started(paths, looks, ended):
    """As by a backup that begins just then."""
    guest = Guest(100, "db", "vm", GuestState.STOPPED)
    seen = iter(looks)

    def look():
        return [Listed(Reference(100), replace(guest, state=GuestState(next(seen))))], []

    bulk = Bulk(Node.open(paths), SimpleNamespace(list=look), 1, FakeTask(), "startall")
    done = Outcome(Job(Reference(100), guest, Action.START), Result.OK)
    assert [outcome.result.value for outcome in bulk._verified([done])] == ended
    assert next(seen, None) is None


# --- two backends ---------------------------------------------------------------------------------


@pytest.fixture
def half_dead(farm, tmp_path):
    """Guests 100 and 101 of backend a; b does not answer."""
    directory = tmp_path / "of-b"
    directory.mkdir()
    (directory / "gone").touch()
    farm.configure(
        f"guest: a\n\tapi farm\n\tdirectory {farm.directory}\n\n"
        f"guest: b\n\tapi farm\n\tdirectory {directory}\n"
    )
    farm.guest(100)
    farm.guest(101)
    return farm


@pytest.mark.parametrize("word", ["200", "b:200", "db"])
def test_guests_that_are_named_start_though_another_may_be_of_a_silent_backend(half_dead, word):
    said = half_dead.fail("startall", "--vms", f"100,{word}")
    assert states(half_dead, 100, 101) == ["running", "stopped"]
    assert f"{word}: it is no guest of the backends that answered" in said
    assert "b: the daemon does not answer" in said


def test_a_dry_run_that_does_not_know_all_guests_fails(half_dead):
    said = half_dead.fail("stopall", "--dry-run")
    assert "WARN: b: the daemon does not answer" in said


def test_a_hint_is_a_sentence_of_its_own(half_dead):
    said = half_dead.fail("guest", "show", "200")
    assert "See: pvefw guest list. One backend did not answer: b: the daemon" in said


# --- notes ----------------------------------------------------------------------------------------


def test_a_note_that_cannot_be_written_hides_no_guest_that_failed(farm):
    farm.guest(100, fail=True)
    farm.guest(101)
    farm.paths.boot_guests.mkdir(parents=True)
    said = farm.fail("boot-guests")
    assert "WARN: could not note what was done: " in said
    assert "Task ERROR: boot-guests: 1 failed: 100 failed: farm: no bootable device" in said


def test_a_guest_that_runs_again_is_not_started_by_every_boot(farm):
    """Somebody has resumed it by hand before we did."""
    farm.guest(100, onboot=False, state="running")
    guest_notes.note_suspended(farm.paths, [Reference(100), Reference(999)])
    farm.run("boot-guests")
    assert guest_notes.suspended(farm.paths) == set()


# --- drain and return -----------------------------------------------------------------------------


def others(farm, *nodes):
    for node in nodes:
        farm.paths.node_dir(node).mkdir(parents=True, exist_ok=True)


def rsh(tmp_path, script):
    """What stands for ssh: its arguments are the host and a command."""
    program = tmp_path / "rsh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_a_dead_node_keeps_nobody_from_the_others(farm):
    others(farm, "dead", "pve2")
    farm.guest(100, state="running")
    said = farm.run("node", "drain", "--dry-run")
    assert "WARN: no guest goes there: farm: dead cannot be reached" in said
    assert "pve2" in said
    assert "dead cannot be reached" in farm.fail("node", "drain", "--to", "dead,pve2")


def test_a_node_that_nobody_could_leave_is_not_drained(farm):
    others(farm, "dead")
    farm.guest(100, state="running")
    farm.fail("node", "drain")
    assert drained.read(farm.paths) is None


def test_a_drained_node_that_was_renamed_does_not_bar_the_others(farm):
    others(farm, "old", "pve2")
    drained.write(type(farm.paths)(farm.root, "old"), Drained("2026-01-01T00:00:00+00:00"))
    said = farm.fail("node", "drain")
    assert "pvefw --node old node return --leave" in said


def sent_away(farm, **more):
    names = {Reference(vmid): f"vm{vmid}" for vmid in (100, 101)}
    going = dict.fromkeys(names, "pve2")
    drained.write(farm.paths, Drained("2026-01-01T00:00:00+00:00", going, names, **more))


def test_who_is_no_longer_there_keeps_the_others_from_nothing(farm, tmp_path):
    sent_away(farm)
    program = rsh(
        tmp_path,
        f"""echo "$2" >> {tmp_path}/asked
case "$2" in
*"guest list"*) echo '[{{"id": "101"}}]';;
*100*) echo "migrateall: 100: there is no such guest on this node" >&2; exit 1;;
*) echo '{{"vmid": 101, "name": "vm101", "kind": "vm", "state": "running"}}' > {farm.directory}/101.json;;
esac""",
    )
    farm.directory.mkdir(exist_ok=True)
    said = farm.fail("node", "return", "--rsh", program)
    assert "not all guests are back: 100: no longer on pve2\n" in said
    assert farm.state(101) == "running"
    assert drained.read(farm.paths) is not None


def test_guests_that_are_said_to_be_back_and_are_not(farm, tmp_path):
    sent_away(farm)
    farm.guest(101)
    said = farm.fail("node", "return", "--rsh", rsh(tmp_path, "exit 0"))
    assert "100: pve2 has sent them, but they are not here" in said


def test_a_guest_that_was_renamed_is_the_same_guest(farm, tmp_path):
    own = {Reference(100): "uuid-of-100", Reference(101): "uuid-of-101"}
    sent_away(farm, backend_ids=own)
    farm.guest(100, name="renamed", backend_id="uuid-of-100")
    farm.guest(101, name="another", backend_id="uuid-of-another")
    said = farm.fail("node", "return", "--rsh", rsh(tmp_path, "exit 1"))
    assert "renamed" not in said
    assert "vm101 cannot come back from pve2: its number, 101, has another guest here" in said


def test_a_dry_run_of_the_return_says_who_comes_back(farm, tmp_path):
    assert json.loads(farm.run("node", "return", "--dry-run", "--output-format", "json")) == []
    sent_away(farm)
    farm.guest(101)
    before = drained.read(farm.paths)
    said = farm.run(
        *("node", "return", "--dry-run", "--output-format", "json"),
        *("--rsh", rsh(tmp_path, f"touch {tmp_path}/asked")),
    )
    assert json.loads(said) == [{"id": "100", "name": "vm100", "from": "pve2", "note": ""}]
    assert drained.read(farm.paths) == before
    assert not (tmp_path / "asked").exists()
    assert "leave out --dry-run" in farm.fail("node", "return", "--leave", "--dry-run", status=2)
