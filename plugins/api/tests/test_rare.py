"""What a person gets to read, guests in all their states, and what a command refuses by itself."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pvefw.api import Guest, GuestState, hookimpl
from pvefw.cli.run import run
from pvefw.core import binding
from pvefw.core.families import GUEST
from pvefw.guests.backends import Backends
from pvefw.testing.fakes import FakeTask
from pvefw_api import call, node
from pvefw_api.calls import Command
from pvefw_api.errors import ApiError

RUNNING = GuestState.RUNNING
VM = "/nodes/pve1/qemu/100"


class Farm:
    """A hypervisor with these guests."""

    def __init__(self, *guests):
        self.guests, self.done = guests, []

    @hookimpl
    def guest_list(self):
        return self.guests

    @hookimpl
    def guest_start(self):
        self.done.append("start")

    @hookimpl
    def guest_shutdown(self):
        self.done.append("shutdown")

    @hookimpl
    def guest_stop(self):
        self.done.append("stop")

    @hookimpl
    def guest_migrate(self):
        self.done.append("migrate")

    @hookimpl
    def guest_set(self, values):
        self.done.append(dict(values))


@pytest.fixture
def farms(monkeypatch):
    """The hypervisors of the node."""

    def made(**named):
        bound = {name: binding.bind_object(GUEST, farm, name) for name, farm in named.items()}
        monkeypatch.setattr(Backends, "load", lambda _node, **_options: Backends(bound))

    return made


def web(state=RUNNING, **more):
    return Guest(100, "web", "vm", state, **more)


def refused(paths, method, path, **given):
    with pytest.raises(ApiError) as error:
        call.call(paths, method, path, given)
    return error.value


def test_a_number_that_two_hypervisors_have_is_nobodys(paths, farms):
    farms(one=Farm(web()), two=Farm(web()))
    error = refused(paths, "GET", f"{VM}/status/current")
    assert (error.status, error.message) == (500, "100: this may be one:100 and two:100")


def test_a_template_is_not_started(paths, farms):
    farms(one=Farm(web(GuestState.STOPPED, template=True)))
    error = refused(paths, "POST", f"{VM}/status/start")
    assert error.message == "100 is a template: it has no power"


@pytest.mark.parametrize(("state", "action"), [(RUNNING, "start"), (GuestState.STOPPED, "stop")])
def test_what_is_so_already_is_said_and_nothing_done(paths, farms, state, action):
    farm, task = Farm(web(state)), FakeTask()
    farms(one=farm)
    call.call(paths, "POST", f"{VM}/status/{action}", {}).work(task)
    assert (farm.done, task.lines) == ([], [f"100 is {state.value} already"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"delete": "startup"}, {"order": "", "up": "", "down": ""}),
        ({"delete": "onboot"}, {"onboot": ""}),
        (
            {"onboot": "0", "startup": "order=2"},
            {"onboot": "0", "order": "2", "up": "", "down": ""},
        ),
    ],
)
def test_how_a_guest_starts_is_set_and_taken_away(paths, farms, given, kept):
    farm = Farm(web(onboot=True, order=1, up=30, down=60))
    farms(one=farm)
    call.call(paths, "PUT", f"{VM}/config", given)
    assert farm.done == [kept]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["node", "node", "qemu"]),
        ({"type": "vm"}, ["qemu"]),
        ({"type": "node"}, ["node", "node"]),
    ],
)
def test_resources_are_nodes_and_guests(paths, farms, wanted, found):
    farms(one=Farm(web()))
    rows = call.call(paths, "GET", "/cluster/resources", wanted)
    assert [row["type"] for row in rows] == found


@pytest.mark.parametrize(
    ("given", "workers"),
    [({"maxworkers": "3"}, 3), ({"maxworkers": "3", "max-workers": "2"}, 2)],
)
def test_the_old_name_of_max_workers_is_taken(paths, farms, monkeypatch, given, workers):
    farms(one=Farm(web()))
    seen = []
    monkeypatch.setattr(
        "pvefw.guests.actions.migrate_all",
        lambda bulk, *_arguments: seen.append(bulk.workers) or [],
    )
    call.call(paths, "POST", "/nodes/pve1/migrateall", {"target": "pve2", **given}).work(FakeTask())
    assert seen == [workers]


@pytest.mark.parametrize(("command", "verb"), [("reboot", "reboot"), ("shutdown", "poweroff")])
def test_the_host_itself_is_powered_off_by_systemd(monkeypatch, command, verb):
    ran = []
    monkeypatch.setattr("pvefw.host.programs.run", ran.append)
    here = SimpleNamespace(paths=SimpleNamespace(root=Path("/")), get=lambda _key: command)
    node.power(here)
    assert ran == [["systemctl", verb]]


def test_what_a_command_refuses_by_itself_is_named_by_its_option(paths):
    with pytest.raises(ApiError) as error:
        Command("startall").run(paths, {"max-workers": "99"})
    assert error.value.status == 400
    assert list(error.value.errors) == ["max-workers"]
    assert "99" in error.value.errors["max-workers"]
    with pytest.raises(ApiError) as error:
        Command("startall").run(paths, {"nosuch": "1"})
    assert "nosuch" in error.value.errors["message"]


# --- what a person reads --------------------------------------------------------------------------


@pytest.fixture
def pvesh(paths, capsys):
    def said(*words, status=0):
        assert run(["--root", str(paths.root), "--node", "pve1", "api", *words]) == status
        return capsys.readouterr()

    return said


def test_answers_are_tables_for_people(pvesh):
    lines = pvesh("get", "/nodes").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["pve1", "node", "node/pve1", "online"],
        ["pve2", "node", "node/pve2", "unknown"],
    ]
    assert pvesh("get", "/nodes/pve1/tasks", "-since", "4000000000").out == ""


def test_usage_says_what_a_value_may_be_and_who_may(pvesh):
    said = pvesh("usage", "/nodes/pve1/status", "--verbose").out
    assert "USAGE: pvesh create /nodes/pve1/status --command <string>" in said
    assert "  --command                  <string> one of reboot, shutdown required" in said
    assert "Permission: Sys.PowerMgmt on /nodes/{node}" in said
    returns = pvesh("usage", "/nodes", "--command", "get", "--returns").out
    assert returns.partition("\nReturns:\n")[2].lstrip().startswith("{")


def test_a_task_that_cannot_be_entered_is_an_error_of_the_call(pvesh, paths):
    """There is no UPID by which anybody could find out how it ended."""
    (paths.task_dir / "active").mkdir()
    said = pvesh("create", "/nodes/pve1/startall", status=1)
    assert said.out == ""
    assert "active" in said.err
