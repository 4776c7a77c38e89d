"""Runs the front: its certificate, its sockets, its page."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from pvefw.core.errors import ProgramError, UsageError
from pvefw.host.listening import listen
from pvefw_api_server import bounds, wire
from pvefw_api_server.front import application
from pvefw_api_server.swap import Swap

_SHARE = "share/cockpit/pvefw"
_PATIENCE = 20.0
"""Seconds that the helper, which is started at the same time, may take."""
_GRACE = 3
"""Seconds that open requests get when the service stops."""


def serve(place: Path | None, addresses: Sequence[str], port: int, page: Path | None) -> None:
    """Serve until a signal ends it.

    :param place: the helper's socket.
    :param addresses: none for all that this host has.
    :param page: the folder of the page; ``None`` to look for it.
    :raises UsageError: it is run by root, or the page is not installed.
    :raises ProgramError: it cannot listen, or the helper does not answer.
    :raises CertificateError: there is no certificate.
    """
    if os.geteuid() == 0:
        raise UsageError(
            "api serve: it must not run as root",
            hint="Install the units, which run it as a user of its own: pvefw api install-service",
        )
    helper = place or wire.SOCKET
    swap = Swap(helper, _PATIENCE)
    app = application(helper, page or _page(), swap)
    config = uvicorn.Config(
        app,
        ssl_context_factory=lambda _config, _usual: swap.context,
        http=bounds.Protocol,
        ws="none",
        log_config=None,
        log_level="error",  # what clients do wrong is not for the journal
        access_log=False,
        server_header=False,
        limit_concurrency=bounds.MOST,  # calls go on when those who made them have left
        timeout_graceful_shutdown=_GRACE,
        proxy_headers=False,
    )
    try:
        sockets = listen(addresses, port, "stop it, or use another one: --port")
    except OSError as error:
        explanation = str(error)  # it names the address, and whoever has the port
        raise ProgramError(f"api serve: {explanation}") from error
    with asyncio.Runner(loop_factory=bounds.Loop) as runner:
        runner.run(uvicorn.Server(config).serve(bounds.shared(sockets)))


def _page() -> Path:
    """The page of pvefw-api, which Cockpit serves, too.

    :raises UsageError: it is not installed.
    """
    for place in _places():
        if (place / "index.html").is_file():
            return place
    raise UsageError("api serve: the page is not installed", hint="Say where it is: --page DIR")


def _places() -> Iterator[Path]:
    import pvefw_api

    yield Path(pvefw_api.__file__).parents[2] / "page"  # of a checkout: a copy of it may be old
    yield Path(sys.prefix, _SHARE)
    yield Path("/usr", _SHARE)
