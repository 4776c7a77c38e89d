"""The kit's part on suspended guests, with a plugin for the kit's own hypervisor, and with bad ones."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from _pytest.outcomes import Skipped

from pvefw.core import binding
from pvefw.core.errors import ProviderError, Unsupported
from pvefw.core.families import GUEST
from pvefw.core.hookspecs import hookimpl
from pvefw.core.model import Guest, GuestState
from pvefw.core.settings import setting
from pvefw.testing.guest import GuestConformance, PatientTask
from pvefw.testing.hypervisor import hypervisor


@dataclass
class Good:
    """A plugin for the hypervisor of the kits."""

    url: str = setting(help="Where.")

    def call(self, method, path):
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=b"")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ProviderError(json.loads(error.read())["error"]) from error

    def row(self, vmid):
        return next((row_ for row_ in self.call("GET", "/guests") if row_["id"] == vmid), None)

    def until(self, guest, verb, running, task):
        self.call("POST", f"/guests/{guest.vmid}/{verb}")
        while self.row(guest.vmid)["running"] is not running or self.row(guest.vmid)["suspended"]:
            task.wait(0.01)

    @hookimpl
    def guest_list(self):
        return [
            Guest(
                vmid=row["id"],
                name=row["name"],
                kind="vm",
                state=GuestState.PAUSED
                if row["suspended"] == "memory"
                else (GuestState.RUNNING if row["running"] else GuestState.STOPPED),
                saved=row["suspended"] == "disk",
            )
            for row in self.call("GET", "/guests")
        ]

    @hookimpl
    def guest_start(self, guest, task):
        self.until(guest, "start", True, task)

    @hookimpl
    def guest_shutdown(self, guest, task):
        self.until(guest, "shutdown", False, task)

    @hookimpl
    def guest_stop(self, guest, task):
        self.until(guest, "stop", False, task)

    @hookimpl
    def guest_migrate(self, target):
        raise ProviderError(f"there is no node {target}")

    @hookimpl
    def guest_suspend(self, guest, to_disk):
        if self.row(guest.vmid)["suspended"] != ("disk" if to_disk else "memory"):
            self.call("POST", f"/guests/{guest.vmid}/{'save' if to_disk else 'suspend'}")

    @hookimpl
    def guest_resume(self, guest, task):
        row = self.row(guest.vmid)
        if not row["running"] and not row["suspended"]:
            raise ProviderError("it was not suspended")
        self.until(guest, "start", True, task)


class StopsInstead(Good):
    @hookimpl
    def guest_suspend(self, guest, task):
        self.until(guest, "stop", False, task)


class DoesNothing(Good):
    @hookimpl
    def guest_suspend(self):
        pass


class StartsAfresh(Good):
    @hookimpl
    def guest_resume(self, guest, task):
        self.until(guest, "start", True, task)


class ResumesNothing(Good):
    @hookimpl
    def guest_resume(self, guest):
        if not self.row(guest.vmid)["running"] and not self.row(guest.vmid)["suspended"]:
            raise ProviderError("it was not suspended")


class CannotToDisk(Good):
    @hookimpl
    def guest_suspend(self, guest, to_disk):
        if to_disk:
            raise Unsupported("never")
        super().guest_suspend(guest, to_disk)


class TestGood(GuestConformance):
    @pytest.fixture
    def host(self):
        with hypervisor() as host:
            host.add(101, 102)
            yield host

    @pytest.fixture
    def plugin(self, host):
        return Good(host.url)

    @pytest.fixture
    def vmids(self):
        return [101, 102]

    @pytest.fixture
    def look(self, host):
        return lambda vmid: GuestState.RUNNING if host.runs(vmid) else GuestState.STOPPED


def findings(made):
    """What the kit's tests on suspended guests say of a plugin, each with a hypervisor of its own."""
    kit, said = GuestConformance(), {}
    kit.seconds = 5.0
    names = ("to_memory_is_paused_and_continues", "to_disk_is_saved_and_continues")
    tests = [f"test_a_guest_that_is_suspended_{name}" for name in names]
    for name in [*tests, "test_a_stopped_guest_cannot_be_resumed"]:
        with hypervisor() as host:
            host.add(101, 102)
            bound = binding.bind_object(GUEST, made(host.url), "it")
            given = {
                "bound": bound,
                "hooks": bound.hooks,
                "vmids": [101, 102],
                "task": PatientTask(),
            }
            if "resumed" not in name:
                given["look"] = lambda vmid, host=host: (
                    GuestState.RUNNING if host.runs(vmid) else GuestState.STOPPED
                )
            try:
                getattr(kit, name)(**given)
            except (AssertionError, ProviderError) as error:
                said[name] = str(error)
            except Skipped as skipped:
                said[name] = f"skipped: {skipped}"
    return " / ".join(said.values())


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (StopsInstead, "was suspended to disk, and guest_list does not say that it is saved"),
        (DoesNothing, "was suspended to memory, and guest_list says that it is running"),
        (StartsAfresh, "which is stopped and not saved, returned"),
        (ResumesNothing, "does not run although guest_resume has returned"),
        (CannotToDisk, "skipped: the plugin cannot suspend guests in this way"),
    ],
)
def test_each_fault_is_found(plugin, said):
    assert said in findings(plugin)


def test_a_good_plugin_has_none():
    assert findings(Good) == ""
