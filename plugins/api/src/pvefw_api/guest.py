"""``/nodes/{node}/qemu/{vmid}`` and ``…/lxc/{vmid}``: the state and the power of one guest.

What is asked of one guest is a bulk action of one: time-outs, new attempts and observers are the same.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pvefw_api.calls import Call, Handler, Job
from pvefw_api.errors import FAILED, ApiError, bad_parameters

if TYPE_CHECKING:
    from pvefw.guests.backends import Backends
    from pvefw.guests.plan import Listed
    from pvefw.guests.scheduler import Job as GuestJob

KINDS: Mapping[str, str] = {"qemu": "vm", "lxc": "container"}
"""Kinds of guests, by the word in a path."""
_CONFIG = {"qemu": "qemu-server", "lxc": "lxc"}
_TASK = {"qemu": "qm", "lxc": "vz"}
_START = ("order", "up", "down")
_SHUTDOWN_SECONDS = 180
_RUN_ON = ("start", "resume")
"""After these a guest runs here; after all others it is no loss that it does not."""
_Make = Callable[[Call, "Listed"], "GuestJob"]


def endpoints() -> Iterator[tuple[str, str, Handler]]:
    """Method, whole path and function of each, for both kinds."""
    for kind in KINDS:
        path = f"/nodes/{{node}}/{kind}/{{vmid}}"
        yield "GET", f"{path}/config", _of(kind, _config)
        yield "PUT", f"{path}/config", _of(kind, _set_config)
        yield "GET", f"{path}/status/current", _of(kind, _current)
        yield "GET", f"{path}/migrate", _of(kind, _obstacles)
        yield "POST", f"{path}/migrate", _power(kind, "migrate", _migrate)
        for action, make in _ACTIONS.items():
            yield "POST", f"{path}/status/{action}", _power(kind, action, make)


def row(guest: Any) -> dict[str, Any]:
    """A guest as lists have it."""
    return {
        "vmid": guest.vmid,
        "name": guest.name,
        "status": "stopped" if guest.state.value == "stopped" else "running",
        "maxmem": guest.memory,
        **({"template": 1} if guest.template else {}),
        **({"lock": "suspended"} if guest.saved else {}),
    }


# --- what it says about itself -------------------------------------------------------------------------


def _find(call: Call, kind: str) -> tuple["Backends", "Listed"]:
    """The guest of a call.

    :raises ApiError: this node has no such guest, or two of them.
    """
    from pvefw.guests.backends import Backends
    from pvefw.store.node import Node

    vmid, loaded = call.get("vmid"), Backends.load(Node.open(call.paths), needed=False)
    listed = loaded.list()[0] if loaded.bound else []
    matches = [
        entry
        for entry in listed
        if (entry.guest.vmid, entry.guest.kind) == (int(vmid), KINDS[kind])
    ]
    if len(matches) > 1:
        several = " and ".join(str(entry.id) for entry in matches)
        raise ApiError(FAILED, f"{vmid}: this may be {several}", hint="See: pvefw guest list")
    if not matches:
        place = f"nodes/{call.paths.node}/{_CONFIG[kind]}/{vmid}.conf"
        raise ApiError(FAILED, f"Configuration file '{place}' does not exist")
    return loaded, matches[0]


def _of(kind: str, answer: Callable[[Call, str, "Backends", "Listed"], Any]) -> Handler:
    return lambda call: answer(call, kind, *_find(call, kind))


def _current(_call: Call, kind: str, _loaded: "Backends", entry: "Listed") -> dict[str, Any]:
    qemu = {"qmpstatus": entry.guest.state.value} if kind == "qemu" else {}
    return {**row(entry.guest), **qemu, "ha": {"managed": int(entry.guest.managed_by_ha)}}


def _config(_call: Call, kind: str, _loaded: "Backends", entry: "Listed") -> dict[str, Any]:
    from pvefw.store import files

    guest = entry.guest
    values = {key: getattr(guest, key) for key in _START}
    startup = ",".join(f"{key}={value}" for key, value in values.items() if value is not None)
    config = {
        "name" if kind == "qemu" else "hostname": guest.name,
        "onboot": int(guest.onboot),
        **({"startup": startup} if startup else {}),
        **({"template": 1} if guest.template else {}),
    }
    return {**config, "digest": files.digest(json.dumps(config).encode())}


def _set_config(call: Call, kind: str, loaded: "Backends", entry: "Listed") -> None:
    """Keep how it starts; hardware is the hypervisor's own."""
    from pvefw.guests import backends
    from pvefw.store.section_config import split

    given = {key: option for key, option in call.options.items() if key not in ("vmid", "digest")}
    deleted = split(str(given.pop("delete", "")))
    wrong = [key for key in (*given, *deleted) if key not in ("onboot", "startup")]
    if wrong:
        raise bad_parameters(dict.fromkeys(wrong, "only onboot and startup can be set here"))
    now = _config(call, kind, loaded, entry)["digest"]
    if call.get("digest", now) != now:
        raise ApiError(FAILED, "detected modified configuration - file changed by other user?")
    values = {key: "" for key in deleted if key == "onboot"}
    if "onboot" in given:
        values["onboot"] = str(int(given["onboot"]))
    if "startup" in given or "startup" in deleted:
        values |= _startup(str(given.get("startup", "")))
    backends.change(loaded, str(entry.id), values)


def _startup(text: str) -> dict[str, str]:
    """``order=1,up=30,down=60``; what is not named is taken away.

    :raises ApiError: it is not of that form.
    """
    from pvefw.store.node_config import parse_property_string

    order = parse_property_string(text, "order") if text else {}
    if not set(order) <= set(_START):
        raise bad_parameters({"startup": "it is not of the form order=N,up=SECONDS,down=SECONDS"})
    return {key: order.get(key, "") for key in _START}


def _obstacles(call: Call, kind: str, loaded: "Backends", entry: "Listed") -> dict[str, Any]:
    """What is against its move to a node."""
    from pvefw.guests import plan

    target, running = call.get("target"), entry.guest.state.value != "stopped"
    options = plan.migrate_options(entry.guest.state, with_local_disks=True)
    against = loaded.obstacles(entry, target, options) if target else ()
    refused = {target: "; ".join(against)} if against else {}
    if kind == "lxc":
        return {"running": running, "not-allowed-nodes": refused}
    nothing: dict[str, Any] = {"local_disks": [], "local_resources": [], "mapped-resources": []}
    known = {"running": running, "not_allowed_nodes": refused, "has-dbus-vmstate": False}
    return {**nothing, "mapped-resource-info": {}, **known}


# --- power ------------------------------------------------------------------------------------------


def _power(kind: str, action: str, make: _Make) -> Handler:
    """An endpoint that answers with the task which does something to a guest."""

    def run(call: Call) -> Job:
        loaded, entry = _find(call, kind)
        if entry.guest.template and action != "migrate":
            raise ApiError(FAILED, f"{call.get('vmid')} is a template: it has no power")
        type_ = f"{_TASK[kind]}{action}"

        def work(task: Any) -> None:
            from pvefw.guests import bulk
            from pvefw.store import guest_notes
            from pvefw.store.node import Node

            made = bulk.Bulk(Node.open(call.paths), loaded, 1, task, type_)
            made.with_local_disks = call.get("with-local-disks", False)
            job = make(call, entry)
            if _is_so(job):
                task.log(f"{entry.id} is {entry.guest.state.value} already")
                return
            made.run([job])
            if job.action.value not in _RUN_ON:
                guest_notes.note_stopped(call.paths, made.good())

        return Job(type_, work, str(call.get("vmid")))

    return run


def _is_so(job: "GuestJob") -> bool:
    """Whether there is nothing to do: a guest that has stopped cannot be asked to."""
    wanted = {"start": "running", "shutdown": "stopped", "stop": "stopped"}
    return wanted.get(job.action.value) == job.guest.state.value


def _start(_call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.plan import START_SECONDS
    from pvefw.guests.scheduler import Action, Job

    return Job(entry.id, entry.guest, Action.START, timeout=START_SECONDS)


def _shutdown(call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.scheduler import Action, Job

    seconds = float(call.get("timeout", entry.guest.down or _SHUTDOWN_SECONDS))
    hard = call.get("forceStop", False)
    return Job(entry.id, entry.guest, Action.SHUTDOWN, timeout=seconds, hard=hard)


def _stop(_call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.scheduler import HARD_STOP_SECONDS, Action, Job

    return Job(entry.id, entry.guest, Action.STOP, timeout=HARD_STOP_SECONDS)


def _suspend(call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.actions import SUSPEND_SECONDS
    from pvefw.guests.scheduler import Action, Job

    to_disk = call.get("todisk", False)
    return Job(entry.id, entry.guest, Action.SUSPEND, timeout=SUSPEND_SECONDS, to_disk=to_disk)


def _resume(_call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.actions import RESUME_SECONDS
    from pvefw.guests.scheduler import Action, Job

    return Job(entry.id, entry.guest, Action.RESUME, timeout=RESUME_SECONDS)


def _migrate(call: Call, entry: "Listed") -> "GuestJob":
    from pvefw.guests.scheduler import Action, Job

    return Job(entry.id, entry.guest, Action.MIGRATE, target=call.get("target"))


_ACTIONS: Mapping[str, _Make] = {
    "start": _start,
    "shutdown": _shutdown,
    "stop": _stop,
    "suspend": _suspend,
    "resume": _resume,
}
