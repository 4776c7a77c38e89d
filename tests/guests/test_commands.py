"""Bulk guest power as an administrator sees it: real processes, guests that are files."""

import json
import shutil
import socket

import documented
import pytest

from pvefw.cli import exit_codes
from pvefw.guests import units
from pvefw.store import guest_notes
from pvefw.store.paths import Paths


def test_guests_start_in_their_order(farm):
    farm.guest(102, order=1)
    farm.guest(101, order=2)
    farm.guest(100)
    farm.guest(103, onboot=False)
    said = farm.run("startall")
    assert farm.order("start") == [102, 101, 100]
    assert farm.state(103) == "stopped"
    assert "3 of 3 guests done" in said
    assert said.endswith("Task OK\n")


def test_a_group_starts_side_by_side(farm):
    for vmid in (100, 101, 102):
        farm.guest(vmid, start_secs=0.5, order=1)
    farm.guest(103, order=2)
    farm.run("startall", "--max-workers", 3)
    events = [event["event"] for event in farm.events("start", "started")]
    assert events == ["start"] * 3 + ["started"] * 3 + ["start", "started"]


def test_a_guest_that_fails_makes_the_task_fail_and_the_others_start(farm):
    farm.guest(100, fail=True)
    farm.guest(101)
    said = farm.fail("startall")
    assert farm.state(101) == "running"
    assert "Task ERROR: startall: 1 failed: 100 failed: farm: no bootable device" in said
    assert "WARNINGS" not in said
    status = json.loads(farm.run("task", "list", "--output-format", "json"))[0]["status"]
    assert "100 failed: farm: no bootable device" in status


def test_what_waits_for_a_guest_that_failed_is_blocked(farm):
    farm.guest(100, fail=True)
    farm.guest(101, after=[100])
    farm.guest(102, after=[101])
    farm.guest(103)
    said = farm.fail("startall")
    assert sorted(farm.order("start")) == [100, 103]
    assert "101 blocked: it waits for 100, which failed" in said
    assert "102 blocked: it waits for 101, which is blocked itself" in said


def test_guests_in_a_circle_are_refused_beforehand(farm):
    farm.guest(100, after=[101])
    farm.guest(101, after=[100])
    farm.guest(102)
    said = farm.fail("startall")
    assert "dependency cycle" in said
    assert farm.events() == []


def test_a_guest_that_stops_again_is_no_success(farm):
    farm.guest(100, dies=True)
    assert "100 failed: it ran, and has stopped again" in farm.fail("startall")


def test_a_guest_that_is_ready_early_ends_the_delay(farm):
    farm.guest(100, up=30, ready="agent", ready_secs=0.3)
    farm.guest(101, after=[100])
    farm.run("startall")
    assert farm.order("ready", "start") == [100, 100, 101]


def test_a_port_that_answers_ends_the_delay(farm):
    with socket.create_server(("127.0.0.1", 0)) as server:
        farm.guest(100, up=30, ready=f"tcp:127.0.0.1:{server.getsockname()[1]}")
        farm.guest(101)
        farm.run("startall")
    assert farm.order("start") == [100, 101]


def test_a_delay_ends_where_readiness_never_comes(farm):
    farm.guest(100, up=1, ready="tcp:127.0.0.1:1")
    farm.guest(101)
    farm.run("startall")
    first, second = farm.events("start")
    # the delay counts from when the scheduler began, a moment before the guest notes it
    assert 0.5 < second["time"] - first["time"] < 5


def test_guests_stop_in_the_reverse_order(farm):
    farm.guest(100, state="running", order=1)
    farm.guest(101, state="running", order=2, down=7)
    farm.guest(102, state="running")
    farm.guest(103)
    assert farm.run("stopall").endswith("Task OK\n")
    assert farm.order("shutdown") == [102, 101, 100]
    assert [event["timeout"] for event in farm.events("shutdown")] == [180, 7, 180]


def test_a_deaf_guest_is_stopped_hard_and_that_is_a_warning(farm):
    farm.guest(100, state="running", down_secs=None)
    said = farm.run("stopall", "--timeout", 1)
    assert farm.state(100) == "stopped"
    assert "100 (vm100): force-stopped: farm: it still runs after 1 s" in said
    assert said.endswith("Task WARNINGS: 1\n")


def test_without_force_a_deaf_guest_is_left_and_named(farm):
    farm.guest(100, state="running", down_secs=None)
    said = farm.fail("stopall", "-timeout", 1, "-force-stop", 0)
    assert farm.state(100) == "running"
    assert "Task ERROR: stopall: 1 failed: 100 failed: farm: it still runs after 1 s" in said


def test_a_daemon_that_comes_back_is_waited_for(farm):
    farm.guest(100, order=1, start_secs=1)
    farm.guest(101, order=2)
    process = farm.start("startall")
    farm.wait_for("start")
    gone = farm.directory / "gone"
    gone.touch()
    with process:
        for line in process.stdout:
            if "101 (vm101): starting again: farm: the daemon does not answer" in line:
                gone.unlink(missing_ok=True)
    assert process.returncode == 0
    assert farm.state(101) == "running"


def test_an_interruption_says_what_was_and_leaves_the_rest(farm):
    farm.guest(100, order=1)
    farm.guest(101, order=2, start_secs=60)
    farm.guest(102, order=3)
    process = farm.start("startall")
    farm.wait_for("start", count=2)
    status, said = farm.interrupt(process)
    assert status == 1
    assert "interrupted: done: 100" in said
    assert "101 (vm101): interrupted; it is stopped now" in said
    assert "interrupted: not begun: 102" in said
    assert farm.order("start") == [100, 101]


def test_a_dry_run_shows_the_plan_and_does_nothing(farm):
    farm.guest(100, order=1, up=5)
    farm.guest(101)
    farm.guest(102, after=[999])
    rows = json.loads(farm.run("startall", "--dry-run", "--output-format", "json"))
    assert [(row["id"], row["second"]) for row in rows] == [("100", 0), ("101", 5), ("102", None)]
    assert rows[2]["note"] == "it waits for 999, which does not exist"
    assert farm.events() == []
    assert json.loads(farm.run("task", "list", "--output-format", "json")) == []


def test_a_guest_whose_readiness_is_waited_for_is_in_the_plan_once(farm):
    farm.guest(100, ready="agent", up=5)
    farm.guest(101, after=[100])
    rows = json.loads(farm.run("startall", "--dry-run", "--output-format", "json"))
    assert [(row["id"], row["note"]) for row in rows] == [
        ("100", "ready: agent"),
        ("101", "after 100"),
    ]


def test_the_plan_of_a_stop_says_when_it_is_over_at_the_latest(farm):
    farm.guest(100, state="running", order=1)
    farm.guest(101, state="running", order=2, down=20)
    rows = json.loads(farm.run("stopall", "--dry-run", "--output-format", "json"))
    assert [(row["id"], row["second"], row["latest"]) for row in rows] == [
        ("101", 0, 20),
        ("100", 0, 200),
    ]


def test_an_unknown_guest_is_refused_beforehand(farm):
    farm.guest(100)
    assert "startall: 999: there is no such guest" in farm.fail("startall", "--vms", "100,999")
    assert farm.events() == []


# --- migrate --------------------------------------------------------------------------------------


def test_guests_move_and_those_that_cannot_are_named(farm):
    farm.guest(1000, state="running")
    farm.guest(101, state="running", fail=True)
    farm.guest(102, state="running", local_disk=True)
    farm.guest(103)
    said = farm.fail("migrateall", "big", "--max-workers", 1)
    assert farm.order("migrate") == [101, 103, 1000]
    assert [event["online"] for event in farm.events("migrate")] == [True, False, True]
    assert "101 failed: farm: the target has refused it" in said
    assert "102 blocked: big: disk sda is local" in said
    farm.run("migrateall", "big", "--vms", 102, "--with-local-disks")


def test_moved_nothing_to_move_to_be_moved_and_failed_are_told_apart(farm):
    def status(*arguments):
        return farm.try_("migrateall", "big", "--detailed-exitcode", *arguments)[0]

    assert status("--dry-run") == exit_codes.NOTHING
    farm.guest(100, state="running")
    assert (status("--dry-run"), status()) == (exit_codes.PENDING, exit_codes.DONE)
    assert farm.order("migrate") == [100]
    farm.guest(101, state="running", fail=True)
    assert status() == exit_codes.FAILED


def test_a_target_that_cannot_be_reached_moves_nothing(farm):
    farm.guest(100, state="running")
    assert "dead cannot be reached" in farm.fail("migrateall", "dead")
    assert farm.events() == []


def test_a_node_is_drained_within_the_free_memory_of_several(farm):
    for vmid, gigabytes in ((100, 1), (101, 2), (102, 1), (103, 4)):
        farm.guest(vmid, state="running", memory=gigabytes << 30)
    said = farm.fail("migrateall", "--spread", "small,big")
    where = {event["vmid"]: event["target"] for event in farm.events("migrate")}
    assert where == {101: "big", 100: "small", 102: "big"}
    assert "103 blocked: big: it needs 4096 MiB of memory" in said


@pytest.mark.parametrize(
    "arguments", [(), ("pve1",), ("big", "--spread", "small"), ("--spread", ",")]
)
def test_wrong_targets(farm, arguments):
    farm.guest(100)
    farm.fail("migrateall", *arguments, status=2)


# --- configuration --------------------------------------------------------------------------------


def test_settings_of_a_guest(farm):
    farm.guest(100, onboot=False)
    farm.run("guest", "set", 100, "--onboot", 1, "--order", 5, "--ready", "tcp:192.0.2.1:80")
    farm.run("guest", "set", 100, "--delete", "up")
    shown = json.loads(farm.run("guest", "show", 100, "--output-format", "json"))
    assert (shown["onboot"], shown["order"], shown["up"]) == (True, 5, None)
    assert shown["ready"] == "tcp:192.0.2.1:80"
    assert farm.run("guest", "list").splitlines()[1].split()[:2] == ["100", "vm100"]


@pytest.mark.parametrize(
    "setting",
    [
        ("--order", "first"),
        ("--onboot", "2"),
        ("--ready", "tcp:host"),
        ("--ready", "tcp:host:99999"),
        ("--after", "101,x"),
        ("--after", "100"),
        ("--vmid", ""),
        ("--delete", "name"),
    ],
)
def test_settings_that_make_no_sense(farm, setting):
    farm.guest(100)
    farm.fail("guest", "set", 100, *setting, status=2)


def test_a_secret_in_the_file_that_others_read_is_refused(farm):
    farm.guest(100)
    farm.configure(f"guest: farm\n\tdirectory {farm.directory}\n\ttoken s3cr3t-t0ken\n")
    said = farm.fail("guest", "list")
    assert "token is a secret in plain text" in said
    assert "s3cr3t-t0ken" not in said
    file = farm.root / "token"
    file.write_text("s3cr3t-t0ken\n")
    farm.configure(f"guest: farm\n\tdirectory {farm.directory}\n\ttoken file:{file}\n")
    farm.run("guest", "list")


def test_two_backends_at_once(farm, tmp_path):
    farm.guest(100, state="running")
    other = tmp_path / "other"
    shutil.copytree(farm.directory, other)
    farm.guest(101, state="running")
    farm.configure(
        f"guest: one\n\tapi farm\n\tdirectory {farm.directory}\n\n"
        f"guest: two\n\tapi farm\n\tdirectory {other}\n\tnodes pve1,pve2\n\n"
        "guest: elsewhere\n\tapi farm\n\tnodes pve2\n\n"
        "guest: off\n\tapi farm\n\tdisable 1\n"
    )
    ids = [row["id"] for row in json.loads(farm.run("guest", "list", "--output-format", "json"))]
    assert ids == ["one:100", "two:100", "one:101"]
    assert "this may be one:100 and two:100" in farm.fail("stopall", "--vms", 100)
    farm.run("stopall", "--vms", "two:100,101")
    assert farm.state(100) == "running"
    assert farm.state(101) == "stopped"
    assert json.loads((other / "100.json").read_text())["state"] == "stopped"


def test_one_backend_that_is_broken_keeps_the_other_from_nothing(farm):
    farm.guest(100)
    farm.configure(f"guest: farm\n\tdirectory {farm.directory}\n\nguest: nothing\n\tapi nothing\n")
    said = farm.fail("startall")
    assert farm.state(100) == "running"
    assert "there is no guest plugin named nothing" in said


def test_no_backend_at_all(farm):
    farm.configure("")
    assert "node pve1 has no guest backend" in farm.fail("startall")


# --- boot and shutdown ----------------------------------------------------------------------------


def test_boot_waits_once_before_the_first_guest(farm):
    farm.guest(100)
    farm.guest(101)
    farm.run("config", "set", "--startall-onboot-delay", 1)
    said = farm.run("boot-guests")
    assert said.count("waiting 1 s before the first guest") == 1
    first, second = farm.events("start")
    assert second["time"] - first["time"] < 1
    assert "waiting" not in farm.run("startall")
    farm.run("shutdown-guests")
    assert farm.state(100) == farm.state(101) == "stopped"


def test_the_units_please_systemd(farm):
    said = farm.run("install-units")
    for name in units.texts("pvefw"):
        text = (farm.root / "etc/systemd/system" / name).read_text()
        assert name in said
        assert "boot-guests" in text or "shutdown-guests" in text


def test_the_units_stop_before_and_start_after_the_hypervisors(tmp_path):
    for path in units.install(Paths(tmp_path, "pve1")):
        assert "libvirtd.service" in path.read_text().partition("After=")[2].partition("\n")[0]


@pytest.mark.parametrize("command", [["guest", "list"], ["startall", "--dry-run"], ["startall"]])
def test_which_guests_there_are_is_noted_for_the_tab_key(farm, command):
    farm.guest(100)
    farm.guest(101)
    farm.run(*command)
    assert [id_ for id_, _ in guest_notes.read(Paths(farm.root, "pve1"))] == ["100", "101"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("guest list", []),
        ("guest show", ["100"]),
        ("startall", ["--dry-run"]),
        ("stopall", ["--dry-run"]),
        ("migrateall", ["big", "--dry-run"]),
    ],
)
def test_json_is_as_documented(farm, command, arguments):
    farm.guest(100, order=1, state="running")
    farm.guest(101, after=[999])
    farm.guest(102, onboot=False, ready="agent")
    printed = json.loads(farm.run(*command.split(), *arguments, "--output-format", "json"))
    assert printed
    assert documented.faults(command, printed) == []


def test_set_says_whether_anything_changed(farm):
    farm.guest(100, onboot=False)
    words = ("guest", "set", 100, "--order", 5, "--after", "102,101", "--output-format", "json")

    def said(*more):
        return json.loads(farm.run(*words, *more))

    assert said("--dry-run") == {"changed": True, "dry-run": True}
    before = farm.run("guest", "show", 100)
    assert said() == {"changed": True, "dry-run": False}
    assert farm.run("guest", "show", 100) != before
    assert said("--dry-run") == {"changed": False, "dry-run": True}
    assert said("--after", "101,102") == {"changed": False, "dry-run": False}
    assert said("--delete", "order")["changed"]
    assert not said("--delete", "order")["changed"]
