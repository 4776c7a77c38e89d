"""Root's part: answers calls that the front hands on, each in a process of its own but the lists that
everybody asks for all the time.

The front may be in the hands of an attacker. So nothing that it says is believed but what came from the
client: every call brings its ticket or token, which is checked here, as are the request against
cross-site forgery, the permissions and the parameters. What can be called is the table, the login, and
the pair that the front serves. Who may connect is a user id, which the kernel tells (SO_PEERCRED).

A call that starts a task answers with its UPID, and its process becomes the task: it goes on when the
helper is restarted, and calls do not wait for each other.
"""

import contextlib
import gc
import importlib
import os
import pwd
import socket
import socketserver
import struct
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pvefw.cli.streams import say
from pvefw.core.errors import PvefwError
from pvefw.host.clock import SystemClock
from pvefw.host.durable import make_directory
from pvefw.store import files
from pvefw.store.paths import Paths
from pvefw.tasks.task import run_task
from pvefw_api import call, schema, table
from pvefw_api.calls import Job
from pvefw_api.errors import FAILED, ApiError, bad_parameters, from_core
from pvefw_api_server import login, pair, permissions, tickets, users, wire
from pvefw_api_server.users import Identity

_PEER = struct.Struct("3i")
"""pid, uid, gid (unix(7))."""
_PATIENCE = 5.0
"""Seconds that the front may take for the next piece of a call."""
_OFTEN = ("pvefw.cli.task", "pvefw.tasks.history")
"""Modules that are loaded before a call needs them: whoever waits for a task asks once a second."""
_AT_ONCE = {
    "/version",
    "/cluster/tasks",
    "/nodes/{node}/tasks",
    "/nodes/{node}/tasks/{upid}/status",
}
"""What only reads an index and is asked for all the time: a process for each call would cost more."""
_OK = 200
LOGIN = ("POST", "/access/ticket")


class Helper(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Accepts the front's connections; a process for each.

    :param front: the name of the user that the front runs as.
    """

    max_children = 200
    block_on_close = False
    request_queue_size = 128

    def __init__(self, place: Path, paths: Paths, front: str) -> None:
        self.paths = paths
        self.front = front
        super().__init__(str(place), _Connection)

    def server_bind(self) -> None:
        mask = os.umask(0o111)  # everybody may try; who may connect is looked at then
        try:
            super().server_bind()
        finally:
            os.umask(mask)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """Let in the front, and root, who gains nothing here."""
        peer = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(peer)
        return uid in (0, _uid(self.front))

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Answer a call here, or in a process of its own, where it may take its time."""
        request.settimeout(_PATIENCE)
        try:
            said = wire.receive(request)
        except ValueError as error:
            _send(request, bad_parameters({"message": str(error)}))
            self.shutdown_request(request)
            return
        request.settimeout(None)
        if _is_at_once(said):
            answer(self.paths, said, partial(_send, request))
            self.shutdown_request(request)
        else:
            super().process_request(request, said)  # in place of the address, which is empty

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Say what went wrong: to the journal what it was, to the front only that."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            say(f"a call failed: {type(error).__name__}: {error}", err=True)
        _send(request, ApiError(FAILED, "the call failed: see the journal of pvefw-api-helper"))


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


class _Connection(socketserver.BaseRequestHandler):
    server: Helper
    request: socket.socket

    def handle(self) -> None:
        self.server.socket.close()  # a task must not keep it open
        if self.client_address.get("verb") == wire.PAIR:
            pair.hand_over(self.request, self.server.paths)
        else:
            answer(self.server.paths, self.client_address, partial(_send, self.request))


def _is_at_once(said: Mapping[str, Any]) -> bool:
    """Whether a call is of :data:`_AT_ONCE`, with nothing beyond the published parameters."""
    what = _Said(said)
    if what.method != "GET":
        return False
    with contextlib.suppress(PvefwError):
        endpoint, _ = table.find(what.method, what.path)
        return endpoint.path in _AT_ONCE and not endpoint.is_beyond(what.parameters)
    return False


def _send(connection: socket.socket, found: Any) -> None:
    """Send an answer or an error; it is the last that the front hears."""
    if isinstance(found, ApiError):
        status, body = found.status, found.as_dict()
    else:
        status, body = _OK, {"data": found}
    with contextlib.suppress(OSError):  # whoever called has left, and what is done is done
        connection.sendall(wire.answer(status, body))
        connection.shutdown(socket.SHUT_RDWR)


def answer(paths: Paths, said: Mapping[str, Any], reply: Callable[[Any], None]) -> None:
    """Answer one call, and do the work that it starts.

    :param said: ``method``, ``path``, ``parameters``, ``client``, and what shows who calls: ``ticket``
        and ``csrf``, or ``authorization``.
    :param reply: gets what the endpoint answers, the UPID of what it starts, or an :class:`ApiError`.
    """
    who, what = None, _Said(said)
    try:
        if (what.method, what.path) == LOGIN:
            reply(login.login(paths, what.parameters, what.client))
            _audit(what, what.text("parameters.username"), "OK")
            return
        who = identify(paths, what)
        found = _called(paths, what, who)
    except PvefwError as error:
        refusal = from_core(error)
        _audit(what, who.name if who else "-", f"{refusal.status} {refusal.message}")
        reply(refusal)
        return
    if what.method != "GET":
        _audit(what, who.name, "OK")
    if isinstance(found, Job):
        _work(paths, found, who, reply)
    else:
        reply(found)


class _Said:
    """A call, with nothing taken for granted."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said
        self.method, self.path = self.text("method"), "/" + self.text("path").strip("/")
        self.client = self.text("client")
        given = said.get("parameters")
        self.parameters: dict[str, str] = (
            {str(key): str(one) for key, one in given.items()} if isinstance(given, dict) else {}
        )

    def text(self, key: str) -> str:
        if key.startswith("parameters."):
            return self.parameters.get(key.partition(".")[2], "")
        found = self._said.get(key)
        return found if isinstance(found, str) else ""


def identify(paths: Paths, what: _Said) -> Identity:
    """Who makes a call.

    :raises ApiError: 401: nobody who is known, or, with a ticket, without the token that shows that it
        was our page, or a program, and no other page.
    """
    now = SystemClock().now().timestamp()
    found, who = users.load(paths), None
    kind, _, words = what.text("authorization").partition("=")
    if kind == "PVEAPIToken":
        who = users.by_token(found, words, now)
    elif ticket := what.text("ticket"):
        secret = tickets.key(paths)
        name = tickets.holder(secret, ticket, now) or ""
        who = users.by_password(found, name)
        ours = what.method == "GET" or tickets.is_of(secret, what.text("csrf"), name, now)
        if who and not ours:
            raise ApiError(login.UNAUTHORIZED, "Permission denied - invalid csrf token")
    if who is None:
        shown = words or what.text("ticket")
        raise ApiError(login.UNAUTHORIZED, "invalid ticket or token" if shown else "No ticket")
    return who


def _called(paths: Paths, what: _Said, who: Identity) -> Any:
    """What the endpoint answers, as much of it as may be seen.

    :raises PvefwError: it is refused, or fails.
    """
    endpoint, named = table.find(what.method, what.path)
    permissions.check(who, endpoint, {**what.parameters, **named}, paths)
    found = call.call(paths, what.method, what.path, what.parameters, user=who.name)
    return permissions.visible(who, endpoint, found, paths)


def _work(paths: Paths, job: Job, who: Identity, reply: Callable[[Any], None]) -> None:
    """Become the task; how it ends is in its log."""
    begun = False
    try:
        with run_task(paths, job.type, job.id, user=who.name) as task:
            os.setsid()
            begun = True
            reply(str(task.upid))
            job.work(task)
    except PvefwError as error:
        if not begun:
            reply(from_core(error))


def _audit(what: _Said, who: str, outcome: str) -> None:
    """Put a call into the journal: who, from where, what, how it went; never a parameter's value."""
    keys = " ".join(sorted(what.parameters))
    say(f"{who} {what.client} {what.method} {what.path} [{keys}] {outcome}", err=True)


def run(place: Path, paths: Paths, front: str) -> None:
    """Answer calls until a signal ends it.

    :raises StoreError: the socket cannot be made there.
    """
    table.table()
    schema.published()
    for module in _OFTEN:
        importlib.import_module(module)
    try:
        make_directory(place.parent)
        files.remove(place)  # of one that was killed
        helper = Helper(place, paths, front)
    except OSError as error:
        raise files.failed("make", place, error) from error
    gc.freeze()  # calls share this memory for as long as nobody writes to it
    helper.serve_forever()
