"""``/nodes/{node}``: certificates, guests, tasks and the node itself."""

from typing import TYPE_CHECKING, Any

from pvefw_api import guest
from pvefw_api.calls import Call, Job
from pvefw_api.errors import bad_parameters

if TYPE_CHECKING:
    from pvefw.certs.certificate import Certificate
    from pvefw.core.model import Guest


# --- certificates ---------------------------------------------------------------------------------


def upload_certificate(call: Call) -> dict[str, Any]:
    """Install a certificate and its key; the answer comes when it is done."""
    from pvefw.certs import chain
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    _install(call, Certificate.own(Node.open(call.paths)))
    installed = call.paths.proxy_certificate
    return chain.describe(installed, installed.read_bytes()).as_dict()


def upload_pair(call: Call) -> None:
    """Install a certificate and its key as a named certificate; the answer comes when it is done."""
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    _install(call, Certificate.load(Node.open(call.paths), call.get("name")))


def _install(call: Call, target: "Certificate") -> None:
    from pvefw.certs import custom
    from pvefw.host.clock import SystemClock
    from pvefw.tasks.task import run_task

    key = call.get("key")
    with run_task(call.paths, "certset", target.task_id, user=call.user) as task:
        custom.set_pair(
            target,
            call.get("certificates").encode(),
            key.encode() if key else None,
            task,
            SystemClock().now(),
            force=call.get("force", False),
            restart=call.get("restart", False),
        )


def delete_certificate(call: Call) -> None:
    """Remove the certificate of the node's services; the answer comes when it is done."""
    from pvefw.tasks.task import run_task

    job: Job = call.command("cert delete", restart=call.get("restart"))
    with run_task(call.paths, job.type, job.id, user=call.user) as task:
        job.work(task)


# --- guests ---------------------------------------------------------------------------------------


def virtual_machines(call: Call) -> list[dict[str, Any]]:
    """The virtual machines."""
    return guests(call, "qemu")


def containers(call: Call) -> list[dict[str, Any]]:
    """The containers."""
    return guests(call, "lxc")


def guests(call: Call, kind: str) -> list[dict[str, Any]]:
    """The guests of a kind; none where no hypervisor is configured."""
    return [
        guest.row(listed_guest)
        for listed_guest in listed(call)
        if listed_guest.kind == guest.KINDS[kind]
    ]


def listed(call: Call) -> "list[Guest]":
    """This node's guests, whatever their kind."""
    from pvefw.guests.backends import Backends
    from pvefw.store.node import Node

    loaded = Backends.load(Node.open(call.paths), needed=False)
    return [entry.guest for entry in loaded.list()[0]] if loaded.bound else []


def migrate_all(call: Call) -> Any:
    """Move guests; ``maxworkers`` is what ``max-workers`` was called before."""
    options = call.options
    if "maxworkers" in options:
        options.setdefault("max-workers", options["maxworkers"])
        del options["maxworkers"]
    return Call(call.paths).command("migrateall", **options)


# --- tasks ----------------------------------------------------------------------------------------


def task_log(call: Call) -> list[dict[str, Any]]:
    """Lines of a task's log, numbered from 1."""
    from pvefw.tasks import history
    from pvefw.tasks.upid import Upid

    start, limit = call.get("start", 0), call.get("limit", 50)
    log = history.log(call.paths, Upid.parse(call.get("upid")), start=start, limit=limit or None)
    lines = [{"n": number, "t": text} for number, text in enumerate(log, start + 1)]
    return lines or ([] if start else [{"n": 1, "t": "no content"}])


# --- the node itself ------------------------------------------------------------------------------


def status(call: Call) -> dict[str, object]:
    """Hardware and load."""
    from pvefw_api import machine

    return machine.status(call.paths)


def power(call: Call) -> None:
    """Reboot the node, or shut it down."""
    from pvefw.host import programs

    if str(call.paths.root) != "/":
        raise bad_parameters({"command": f"{call.paths.root} is not the tree of this host"})
    verb = {"reboot": "reboot", "shutdown": "poweroff"}[call.get("command")]
    programs.run(["systemctl", verb])


def wake(call: Call) -> str:
    """Wake another node; the answer is the address of its card."""
    from pvefw.node import wakeonlan

    packet = wakeonlan.prepare(call.paths, call.get("node"))
    wakeonlan.send(packet)
    return packet.mac
