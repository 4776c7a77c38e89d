"""What guests are after may be on other nodes, and goes where they go."""

from types import SimpleNamespace

import pytest

from pvefw.core.errors import Locked, ProviderError, Unavailable
from pvefw.core.model import Guest, GuestState, MigrateTarget
from pvefw.guests import draining, elsewhere, plan, targets
from pvefw.guests.bulk import Bulk
from pvefw.guests.plan import Listed
from pvefw.store import drained
from pvefw.store.guest_reference import Reference
from pvefw.store.node import Node
from pvefw.testing.fakes import FakeTask

RUNNING, STOPPED = GuestState.RUNNING, GuestState.STOPPED


def guest(vmid, state=RUNNING, **more):
    return Guest(vmid, f"vm{vmid}", "vm", state, onboot=True, **more)


def listed(*guests):
    return [Listed(Reference(guest_.vmid), guest_) for guest_ in guests]


class Site:
    """The only backend of a node, and what other nodes have."""

    name = "farm"

    def __init__(self, there=(), memory=None, stays=()):
        self.there, self.memory, self.stays = dict(there), memory or {}, stays
        self.asked = []
        self.bound = {self.name: self}

    def of(self, _id):
        return self

    def id(self, _backend, vmid):
        return Reference(vmid)

    def elsewhere(self, _backend, node):
        self.asked.append(node)
        if isinstance(self.there[node], Exception):
            raise self.there[node]
        return self.there[node]

    def target(self, _id, name):
        return MigrateTarget(name, self.memory[name])

    def obstacles(self, entry, _target, _options):
        return ["it has local disks"] if entry.id.vmid in self.stays else []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([guest(200)], ""),
        ([guest(200, STOPPED)], "it waits for 200, which is stopped on pve2"),
        ([], "it waits for 200, which does not exist"),
        (Unavailable("no route"), "this node does not have; pve2 could not be asked: no route"),
    ],
)
def test_what_runs_on_another_node_counts(paths, there, said):
    paths.node_dir("pve2").mkdir(parents=True)
    paths.node_dir().mkdir(exist_ok=True)
    here = listed(guest(100, STOPPED, after=[200]))
    absence = elsewhere.look(paths, Site({"pve2": there}), here).absence
    [job] = plan.to_start(here, absence=absence)
    assert said in job.blocked
    assert bool(job.blocked) == bool(said)
    assert plan.waits_for(here[0], here, absence) == ([Reference(200)] if said else [])


def test_nobody_is_asked_where_nothing_is_missing(paths):
    paths.node_dir("pve2").mkdir(parents=True)
    site = Site()
    elsewhere.look(paths, site, listed(guest(100), guest(101, after=[100])))
    assert site.asked == []


def places(site, here, *names):
    jobs = targets.to_migrate(site, here, here, names, with_local_disks=False)
    return {job.id.vmid: (job.target if not job.blocked else "", job.note) for job in jobs}


def test_a_guest_goes_where_what_it_is_after_goes():
    site = Site(memory={"a": 100, "b": 90})
    here = listed(guest(100, memory=30), guest(101, memory=30, after=[100]), guest(102, memory=50))
    found = places(site, here, "a", "b")
    assert found == {100: ("a", ""), 101: ("a", ""), 102: ("b", "")}


def test_those_that_no_target_takes_together_go_apart_and_that_is_said():
    site = Site(memory={"a": 35, "b": 35})
    here = listed(guest(100, memory=30), guest(101, memory=30, after=[100]))
    found = places(site, here, "a", "b")
    assert found == {100: ("a", ""), 101: ("b", "it is after 100, which moves to a")}


def test_what_stays_is_said_of_who_goes():
    site = Site(memory={"a": 100}, stays={100})
    here = listed(guest(100), guest(101, after=[100]))
    assert places(site, here, "a") == {
        100: ("", ""),
        101: ("a", "it is after 100, which stays"),
    }


def test_a_drain_takes_what_runs_and_what_that_is_after(paths):
    here = listed(
        guest(100, STOPPED),
        guest(101, STOPPED, after=[100]),
        guest(102, after=[101]),
        guest(103, STOPPED, after=[102]),
    )
    bulk = SimpleNamespace(
        backends=Site(memory={"pve2": 1 << 30}),
        guests=lambda **_options: (here, []),
        with_local_disks=False,
    )
    jobs, _ = draining.to_drain(bulk, ["pve2"])
    assert [job.id.vmid for job in jobs] == [100, 101, 102]


def test_two_nodes_that_begin_at_once_are_not_both_drained(paths, monkeypatch):
    """The look at the others, and the note, are one step of the cluster."""
    looked = []
    monkeypatch.setattr(drained, "others", lambda of: looked.append(is_locked(of)) or [])
    write = drained.write
    monkeypatch.setattr(
        drained, "write", lambda *note: looked.append(is_locked(paths)) or write(*note)
    )
    draining._claim(Bulk(Node.open(paths), None, 1, FakeTask(), "drain"))
    assert looked == [True, True]
    assert drained.read(paths).since
    monkeypatch.setattr(drained, "others", lambda _paths: ["pve2"])
    with pytest.raises(Locked, match="pve2 is drained; only one node at a time may be"):
        draining._claim(Bulk(Node.open(paths), None, 1, FakeTask(), "drain"))


def test_a_number_that_another_guest_got_meanwhile_is_no_guest_that_is_back(paths):
    """Its number is free while a guest is away, and a hypervisor may give it to the next new one."""
    away = Reference(100)
    drained.write(paths, drained.Drained("", {away: "pve2"}, {away: "db"}))
    here = [Listed(away, guest(100))]
    bulk = SimpleNamespace(paths=paths, guests=lambda: (here, []), task=FakeTask())
    with pytest.raises(ProviderError) as raised:
        draining.bring_back(bulk, remote=None)
    assert str(raised.value) == (
        f"node return: {paths.node}: not all guests are back: db cannot come back from pve2: "
        "its number, 100, has another guest here, vm100; move that one away or remove it"
    )
    assert drained.read(paths).guests == {away: "pve2"}


def is_locked(paths):
    return (paths.cluster_locks / "pvefw-drain").is_dir()
