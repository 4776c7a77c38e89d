"""The unprivileged part: HTTP, the page's files, and calls that are handed on to the helper.

It decides nothing. What it knows of a session is what each request brings.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pvefw_api import pieces
from pvefw_api_server import wire
from pvefw_api_server.asking import Asker

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pvefw_api_server.swap import Swap

API = "/api2/json"
LOGIN = "/access/ticket"
COOKIES = ("__Host-PVEAuthCookie", "PVEAuthCookie")
"""Where a ticket may be. The first is the page's own: no other host can set it, and no script."""
_WEB = Path(__file__).with_name("web")
_TRANSPORT = ("transport.js", "login.css")
"""Files of the page that are ours; all others are those that Cockpit serves, too."""
_METHODS = ["GET", "POST", "PUT", "DELETE"]
_LARGEST_BODY = 1 << 20
_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(helper: Path, page: Path, swap: "Swap") -> Starlette:
    """The web application.

    :param helper: the helper's socket.
    :param page: the folder of the page.
    :param swap: takes new certificates while the application runs.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(swap.follow())
        yield
        following.cancel()

    asker = Asker(helper)

    async def api(request: Request) -> Response:
        return await _api(asker, request)

    async def no_icon(_request: Request) -> Response:
        return Response(status_code=204)  # browsers ask for one by themselves

    own = [Route("/favicon.ico", no_icon)]
    own += [Route(f"/{name}", _file(_WEB / name), methods=["GET"]) for name in _TRANSPORT]
    routes = [
        Route(f"{API}/{{path:path}}", api, methods=_METHODS),
        *own,
        Mount("/", StaticFiles(directory=page, html=True)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(_Guarded)
    return app


def _file(path: Path) -> Any:
    async def answer(_request: Request) -> Response:
        return FileResponse(path)

    return answer


class _Guarded:
    """Headers that every answer has: what a browser may do with it."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


async def _api(asker: Asker, request: Request) -> Response:
    """Hand a call on, and its answer back."""
    try:
        parameters = await _parameters(request)
    except RecursionError:
        return _refused(400, "the body is nested too deeply")
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it; whoever leaves is no fault of ours
    except ValueError as error:
        return _refused(400, str(error))
    raw_path = request.scope["raw_path"].decode("ascii", "replace")
    if not raw_path.startswith(API):  # it begins so only when its escapes are undone
        return _refused(404, "no such file")
    path = raw_path.removeprefix(API)
    if (request.method, path) == ("DELETE", LOGIN):  # the page's session ends
        return _with_cookie(JSONResponse({"data": None}), "", 0)
    message = {
        "verb": wire.CALL,
        "method": request.method,
        "path": path,
        "parameters": {
            key: parameter for key, parameter in parameters.items() if key != "http-only"
        },
        "client": request.client.host if request.client else "",
        "ticket": _ticket(request),
        "csrf": request.headers.get("csrfpreventiontoken", ""),
        "authorization": request.headers.get("authorization", ""),
        "handed-on": request.headers.get("pvedisableproxy", ""),
    }
    try:
        status, body = await asker.answer(message)
    except (OSError, ValueError):
        return _refused(503, "The helper does not answer: see systemctl status pvefw-api-helper")
    if path == LOGIN and _is_page(request, parameters):
        return _for_page(status, body)
    return Response(body, status, media_type="application/json")


def _is_page(request: Request, parameters: Mapping[str, list[str]]) -> bool:
    """Whether our own page logs in: others could send its form, but not the header beside it."""
    return any(parameters.get("http-only", ())) and "csrfpreventiontoken" in request.headers


def _for_page(status: int, body: bytes) -> Response:
    """The answer to a login: a page keeps its ticket where no script can read it."""
    document = json.loads(body)
    data = document["data"] or {}
    # what a second factor has to answer is no ticket yet: the page sends it back with the code
    ticket = None if "NeedTFA" in data else data.pop("ticket", None)
    response = JSONResponse(document, status)
    return _with_cookie(response, quote(ticket, safe=""), None) if ticket else response


def _with_cookie(response: Response, value: str, age: int | None) -> Response:
    response.set_cookie(
        COOKIES[0], value, age, path="/", secure=True, httponly=True, samesite="strict"
    )
    return response


def _ticket(request: Request) -> str:
    """The ticket in the first cookie that can have one; some clients send it percent-encoded."""
    tickets = (request.cookies[cookie] for cookie in COOKIES if cookie in request.cookies)
    return unquote(next(tickets, ""))


async def _parameters(request: Request) -> dict[str, list[str]]:
    """The parameters of a request: those of its query, and of a body that is a form or a JSON object.

    :returns: the values of each; whoever knows what it is for refuses a second one.
    :raises ValueError: they cannot be read.
    """
    query = parse_qsl(request.scope["query_string"].decode("ascii", "replace"), True)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise ValueError("the request is too large")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind == "application/json":
        parameters = _members(json.loads(body, object_pairs_hook=_once))
    else:
        parameters = {}
        query += parse_qsl(body.decode(), True, max_num_fields=1000)
    for key, value in query:
        parameters.setdefault(key, []).append(value)
    return parameters


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, each once.

    :raises ValueError: one is given twice: whoever looks at it next may take the other value.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member of the body is given twice")
    return members


def _members(document: Any) -> dict[str, list[str]]:
    """The members of an object, as a form would have them."""
    try:
        given = pieces.of(document)
    except ValueError as error:
        raise ValueError(f"the body is {error}") from error
    if not wire.is_text(document):
        raise ValueError("the body is no text")
    return given


def _refused(status: int, message: str) -> Response:
    body = {"data": None, "message": f"{message}\n", "errors": {"message": message}}
    return JSONResponse(body, status)
