"""Guests that are killed; daemons that are killed, stay away, or hang: what the command says then."""

import pytest

from pvefw.api import Unavailable
from pvefw_guest_libvirt import Libvirt

WORKERS = ("--max-workers", 8)


def settle(host, *wanted):
    for name in wanted:
        host.daemon.connection.lookupByName(name).create()
    host.daemon.wait_until_booted(*wanted)


def test_a_guest_that_is_killed_while_its_delay_runs_is_noticed_at_once(host):
    """Nobody waits for the end of its ten minutes, and what needs it does not start."""
    for order, name in enumerate(("db", "web", "mail")):
        host.daemon.define(name)
        host.give(name, onboot=1, order=order, up=600 if name == "db" else 0)
    host.give("web", after=host.vmid("db"))
    with host.start("startall") as process:
        host.read_until(process, "(db): started")
        host.daemon.kill_guest("db")
        status, said = host.end(process)
    assert status == 1
    db, web = host.vmid("db"), host.vmid("web")
    assert f"{db} failed: it ran, and has stopped again" in said
    assert f"{web} blocked: it waits for {db}, which failed" in said
    assert host.daemon.active() == {"mail"}


def test_a_guest_that_is_killed_while_it_shuts_down_is_noticed_at_once(host):
    host.daemon.define("db", deaf=True)
    settle(host, "db")
    with host.start("stopall", "--timeout", 600) as process:
        host.read_until(process, "shutting down")
        host.daemon.kill_guest("db")
        status, said = host.end(process)
    assert status == 0
    assert "100 (db): it has ended without shutting down" in said
    assert said.endswith("Task WARNINGS: 1\n")


def test_a_daemon_that_is_killed_during_a_stopall_and_comes_back(host):
    wanted = [f"web{number}" for number in range(4)]
    for name in wanted:
        host.daemon.define(name, lingers=3)
    settle(host, *wanted)
    with host.start("stopall", *WORKERS) as process:
        host.read_until(process, "(web0): shutting down")
        host.daemon.kill_daemon()
        status, said = host.end(process)
    assert status == 0, said
    assert "again: libvirt: " in said
    assert "4 of 4 guests done" in said
    assert host.daemon.active() == set()


def test_a_daemon_that_is_killed_and_stays_away_is_named_for_every_guest(host):
    for name in ("web0", "web1"):
        host.daemon.define(name, deaf=True)
    settle(host, "web0", "web1")
    with host.start("stopall", "--timeout", 3, "--force-stop", 0, *WORKERS) as process:
        host.read_until(process, "(web0): shutting down")
        host.daemon.kill_daemon(stay_down=True)
        status, said = host.end(process)
    assert status == 1
    assert "stopall: 2 failed: 101 failed: libvirt: " in said
    with pytest.raises(Unavailable, match=r"Connection refused|No such file"):
        Libvirt(uri=host.daemon.uri).guest_list()
    host.daemon.allow()
    host.daemon.wait_until_it_answers()
    assert host.daemon.active() == {"web0", "web1"}


def test_a_daemon_that_hangs_for_a_while_is_waited_for(host, monkeypatch):
    monkeypatch.setattr("pvefw_guest_libvirt.connections.OPEN_SECONDS", 2.0)
    for name in ("web0", "web1"):
        host.daemon.define(name, lingers=1)
    settle(host, "web0", "web1")
    with host.start("stopall", *WORKERS) as process:
        host.read_until(process, "(web0): shutting down")
        with host.daemon.hangs(), pytest.raises(Unavailable, match="does not answer within"):
            Libvirt(uri=host.daemon.uri).guest_list()
        status, said = host.end(process)
    assert status == 0, said
    assert "2 of 2 guests done" in said


def test_a_daemon_that_hangs_for_good_is_given_up(host):
    host.daemon.define("web", deaf=True)
    settle(host, "web")
    with host.start("stopall", "--timeout", 1, "--force-stop", 0) as process:
        host.read_until(process, "(web): shutting down")
        with host.daemon.hangs():
            status, said = host.end(process)
    assert status == 1
    assert "stopall: 1 failed: 100 failed: " in said
    assert "answer" in said or "lost" in said


def test_nobody_there(tmp_path):
    with pytest.raises(Unavailable, match="No such file"):
        Libvirt(uri=f"qemu+unix:///session?socket={tmp_path}/nothing").guest_list()
