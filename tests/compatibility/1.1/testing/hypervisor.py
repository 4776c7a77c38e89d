"""A hypervisor in this process: guests that start, shut down when asked, or do not listen.

It has an HTTP API, so that a plugin in another process reaches it, too::

    with hypervisor(stubborn=[103]) as host:
        host.add(101)
        plugin = AcmeVirt(url=host.url)

| request | answer |
|---|---|
| ``GET /guests`` | ``[{"id": 101, "name": "vm101", "running": false, "suspended": ""}, …]`` |
| ``POST /guests/101/start`` | at once; it runs a moment later |
| ``POST /guests/101/shutdown`` | at once; it stops a moment later, or never |
| ``POST /guests/101/stop`` | at once; it has stopped |
| ``POST /guests/101/suspend`` | at once; it is paused, ``"suspended": "memory"`` |
| ``POST /guests/101/save`` | at once; it has stopped, ``"suspended": "disk"`` |

``start`` lets a suspended guest continue. To suspend one that does not run is status 409.
A guest that is not there is status 404 with ``{"error": …}``.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pvefw.testing.http_api import Request, http_api

_MOMENT = 0.05
"""Seconds from a request to its effect."""


@dataclass
class Hypervisor:
    """A hypervisor that answers."""

    url: str = ""
    stubborn: Sequence[int] = ()
    """Guests that run on when they are asked to shut down."""
    _running: dict[int, bool] = field(default_factory=dict, repr=False)
    _suspended: dict[int, str] = field(default_factory=dict, repr=False)
    _asked: dict[int, object] = field(default_factory=dict, repr=False)
    """What each guest was asked last: what it was asked before has no effect any more."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *ids: int) -> None:
        """Define guests, stopped."""
        with self._lock:
            self._running |= dict.fromkeys(ids, False)

    def runs(self, id_: int) -> bool:
        """Whether a guest runs now."""
        with self._lock:
            return self._running[id_]

    def _ask(self, id_: int) -> object:
        """Note that a guest is asked for something else now."""
        with self._lock:
            self._asked[id_] = mark = object()
        return mark

    def _turn(self, id_: int, asked: object, *, running: bool) -> None:
        with self._lock:
            if self._asked[id_] is asked:
                self._running[id_] = running
                self._suspended.pop(id_, None)

    def answer(self, request: Request) -> tuple[int, Any]:
        """The API."""
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "guests"]:
                with self._lock:
                    return 200, [
                        {
                            "id": id_,
                            "name": f"vm{id_}",
                            "running": on,
                            "suspended": self._suspended.get(id_, ""),
                        }
                        for id_, on in sorted(self._running.items())
                    ]
            case ["POST", "guests", text, ("start" | "shutdown" | "stop") as verb]:
                return self._act(text, verb)
            case ["POST", "guests", text, ("suspend" | "save") as verb]:
                return self._suspend(text, "memory" if verb == "suspend" else "disk")
        return 404, {"error": f"there is no {request.method} {request.path}"}

    def _act(self, text: str, verb: str) -> tuple[int, Any]:
        if not text.isdecimal() or int(text) not in self._running:
            return 404, {"error": f"there is no guest {text}"}
        id_ = int(text)
        if verb == "stop":
            self._turn(id_, self._ask(id_), running=False)
        elif verb == "start" or id_ not in self.stubborn:
            asked = [id_, self._ask(id_)]
            later = threading.Timer(_MOMENT, self._turn, asked, {"running": verb == "start"})
            later.daemon = True
            later.start()
        return 200, {}

    def _suspend(self, text: str, where: str) -> tuple[int, Any]:
        if not text.isdecimal() or int(text) not in self._running:
            return 404, {"error": f"there is no guest {text}"}
        with self._lock:
            if not self._running[int(text)]:
                return 409, {"error": f"guest {text} does not run"}
            self._running[int(text)] = where == "memory"
            self._suspended[int(text)] = where
        return 200, {}


@contextlib.contextmanager
def hypervisor(*, stubborn: Sequence[int] = ()) -> Iterator[Hypervisor]:
    """Serve a hypervisor on a free port; it begins with the stubborn guests only.

    :param stubborn: guests that run on when they are asked to shut down.
    """
    made = Hypervisor(stubborn=stubborn)
    made.add(*stubborn)
    with http_api(made.answer) as made.url:
        yield made
