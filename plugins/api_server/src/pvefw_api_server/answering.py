"""What a call gets that the front hands on: an answer, a refusal, or a task.

The front may be in the hands of an attacker. So nothing that it says is believed but what came from the
client: every call brings its ticket or token, which is checked here, as are the request against
cross-site forgery, the permissions and the parameters. What can be called is the table, and the login.
"""

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from pvefw.cli.streams import say
from pvefw.core import text
from pvefw.core.errors import PvefwError
from pvefw.host.clock import SystemClock
from pvefw.store.paths import Paths
from pvefw.tasks import registry
from pvefw.tasks.task import run_task
from pvefw_api import call, cluster, schema, table
from pvefw_api.calls import Job
from pvefw_api.errors import FAILED, ApiError, from_core
from pvefw_api_server import login, permissions, tickets, users, wire
from pvefw_api_server.request import Request
from pvefw_api_server.users import Identity

LOGIN = ("POST", "/access/ticket")
_OF_LOGIN = {"username", "password", "realm", "tfa-challenge", "new-format", "otp", "path", "privs"}
"""What clients send there; some of it is Proxmox VE's only."""
_UNKNOWN = "?"
"""What stands in the journal for names of parameters that do not exist."""
_OFTEN = ("pvefw.cli.task", "pvefw.tasks.history", "pvefw.guests.backends", "pvefw.guests.bulk")
"""Modules that are loaded before a call needs them: whoever waits for a task asks once a second, and
whoever lists guests asks for each of them.
"""
_AT_ONCE = {
    "/version",
    "/cluster/tasks",
    "/nodes/{node}/tasks",
    "/nodes/{node}/tasks/{upid}/status",
}
"""What only reads an index and is asked for all the time: a process for each call would cost more."""
_LISTS = {"/cluster/tasks", "/nodes/{node}/tasks"}
_COUNTS, _FEW = ("limit", "start"), "[0-9]{1,3}"
"""Parameters of a list that say how much of it is looked at, and what is little."""
_KEPT: dict[object, tuple[object, Any]] = {}
"""Lists that were asked for lately, each with what the files were then."""
_MOST_LISTS, _MOST_ROWS = 16, 100


def prepare() -> None:
    """Load what calls need: the processes that answer them share it."""
    table.table()
    schema.published()
    for module in _OFTEN:
        importlib.import_module(module)


def is_at_once(paths: Paths, message: Mapping[str, Any]) -> bool:
    """Whether a call is of :data:`_AT_ONCE`, to this node, and has only published parameters."""
    request = Request(message)
    if request.method != "GET":
        return False
    with contextlib.suppress(PvefwError):
        endpoint, named = table.find(request.method, request.path)
        here = call.is_here(paths, named.get("node", paths.node))
        at_once = here and endpoint.path in _AT_ONCE and not endpoint.is_beyond(request.parameters)
        return at_once and not (endpoint.path in _LISTS and _is_searched(paths, request))
    return False


def _is_searched(paths: Paths, request: Request) -> bool:
    """Whether all tasks that there are may be looked at, while everybody else would wait: for a long
    list, or that of one user, who may have few.
    """
    few = all(re.fullmatch(_FEW, request.parameters.get(key, "0")) for key in _COUNTS)
    who = identify(paths, request)
    return (
        not few or "userfilter" in request.parameters or not permissions.sees_all_tasks(who, paths)
    )


def answer(
    paths: Paths, message: Mapping[str, Any], reply: Callable[[Any], None], peers: int = wire.PORT
) -> None:
    """Answer one call, and do the work that it starts.

    :param message: ``method``, ``path``, ``parameters``, ``client``, and what shows who calls: ``ticket``
        and ``csrf``, or ``authorization``; ``handed-on`` where another node has sent it.
    :param reply: gets what the endpoint answers, the UPID of what it starts, or an :class:`ApiError`.
    :param peers: the port on which other nodes serve the API.
    """
    who, request = None, Request(message)
    try:
        if (request.method, request.path) == LOGIN:
            request.check_lists({})
            reply(login.login(paths, request.parameters, request.client))
            _audit(request, request.text("parameters.username"), "OK")
            return
        who = identify(paths, request)
        answered = _called(paths, request, who, peers)
    except PvefwError as error:
        refusal = from_core(error)
        _audit(request, who.name if who else "-", f"{refusal.status} {refusal.message}")
        reply(_for_strangers(refusal) if who is None else refusal)
        return
    if request.method != "GET":
        _audit(request, who.name, "OK")
    if isinstance(answered, Job):
        _work(paths, answered, who, reply)
    else:
        reply(answered)


def _for_strangers(refusal: ApiError) -> ApiError:
    """What somebody hears who is not known yet: of faults of this host, that there is one."""
    if refusal.status != FAILED:
        return refusal
    return ApiError(FAILED, "nobody can log in now: see the journal of pvefw-api-helper")


def identify(paths: Paths, request: Request) -> Identity:
    """Who makes a call.

    :raises ApiError: 401: nobody who is known, or, with a ticket, without the token that shows that it
        was our page, or a program, and no other page.
    """
    now = SystemClock().now().timestamp()
    accounts, who = users.load(paths), None
    kind, _, words = request.text("authorization").partition("=")
    if kind == "PVEAPIToken":
        who = users.by_token(accounts, words, now)
    elif ticket := request.text("ticket"):
        secret = tickets.key(paths)
        name = tickets.holder(secret, ticket, now) or ""
        who = users.by_password(accounts, name)
        ours = request.method == "GET" or tickets.is_of(secret, request.text("csrf"), name, now)
        if who and not ours:
            raise ApiError(login.UNAUTHORIZED, "Permission denied - invalid csrf token")
    if who is None:
        shown = words or request.text("ticket")
        raise ApiError(login.UNAUTHORIZED, "invalid ticket or token" if shown else "No ticket")
    return who


def _called(paths: Paths, request: Request, who: Identity, peers: int) -> Any:
    """What the endpoint answers, as much of it as may be seen.

    :raises PvefwError: it is refused, or fails.
    """
    endpoint, named = table.find(request.method, request.path)
    request.check_lists(endpoint.parameters)
    if request.method == "GET" and endpoint.of_node and not call.is_here(paths, named["node"]):
        from pvefw_api_server import elsewhere  # few calls need a client of HTTPS

        return elsewhere.hand_on(paths, named["node"], request, peers)
    given = permissions.pinned(who, endpoint, request.parameters, paths)
    permissions.check(who, endpoint, {**given, **named}, paths)
    if request.method == "GET" and endpoint.path in _LISTS:
        answered = _list(paths, request, who)
    else:
        answered = call.call(paths, request.method, request.path, given, user=who.name)
    return permissions.visible(who, endpoint, answered, paths)


def _list(paths: Paths, request: Request, who: Identity) -> Any:
    """A list of tasks: from memory, if it was asked for before and nothing has changed since."""
    path: str = request.path
    parameters: Mapping[str, str] = request.parameters
    if not permissions.sees_all_tasks(who, paths):
        path, parameters = _own_tasks(paths, request, who)
    key = paths, path, tuple(sorted(parameters.items()))
    stamp = registry.stamp(paths)
    if stamp is not None and key in _KEPT and _KEPT[key][0] == stamp:
        return _KEPT[key][1]
    rows = call.call(paths, request.method, path, parameters)
    if len(rows) <= _MOST_ROWS:
        if len(_KEPT) >= _MOST_LISTS:
            _KEPT.clear()
        rows = wire.Written(rows)
        _KEPT[key] = stamp, rows
    return rows


def _own_tasks(paths: Paths, request: Request, who: Identity) -> tuple[str, Mapping[str, str]]:
    """The call that lists somebody's own: those of others must not use up the length of the list."""
    endpoint, _ = table.find(request.method, request.path)
    given = request.parameters
    if not endpoint.of_node:
        call.call(paths, request.method, request.path, given)  # it refuses what it does not know
        given = {"source": "all", "limit": str(cluster.RECENT)}
    word = given.get("userfilter", "")
    wanted = who.name if word.lower() in who.name.lower() else word
    return f"/nodes/{paths.node}/tasks", {**given, "userfilter": wanted}


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


def _audit(request: Request, who: str, outcome: str) -> None:
    """Put a call into the journal: who, from where, what, how it went; never a parameter's value.

    Nor a name that is none: of JSON that is sent as a form, all is the name of one parameter.
    """
    known = _names(request)
    keys = " ".join(sorted({key if known(key) else _UNKNOWN for key in request.parameters}))
    words = f"{who} {request.client} {request.method} {request.path} [{keys}] {outcome}"
    say(text.one_line(words), err=True)  # a line break in a name would begin an entry of its own


def _names(request: Request) -> Callable[[str], bool]:
    """Whether something is the name of a parameter of a call."""
    if (request.method, request.path) == LOGIN:
        return _OF_LOGIN.__contains__
    with contextlib.suppress(PvefwError):
        endpoint, _ = table.find(request.method, request.path)
        return lambda key: schema.find(endpoint.parameters, key) is not None
    return lambda _: False
