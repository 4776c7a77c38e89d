"""The front's TLS: the pair that the helper hands over, and a new one at once when it changes.

A context is never changed while it is used. A new pair gets a context of its own, and where it does not
fit together, the old one goes on being served; each handshake takes the newest (``sni_callback``, which
is called for clients without a server name, too).
"""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from pathlib import Path

from pvefw.core.errors import CertificateError, ProgramError
from pvefw_api_server import wire

_AGAIN = 1.0
"""Seconds until the helper is looked for again."""
_TRY = 0.02
"""Seconds between two attempts to reach a helper that is just starting."""
_FIRST = 30.0
"""Seconds that it may take to hand over the first pair."""


class Swap:
    """Serves the newest pair.

    :param helper: the helper's socket.
    :param patience: seconds that the helper may take to be there: both are started at once.
    :raises ProgramError: the helper does not answer.
    :raises CertificateError: it has no pair, or one that does not fit together.
    """

    def __init__(self, helper: Path, patience: float = 0.0) -> None:
        self._helper = helper
        self._connection = self._connect_soon(patience)
        self._newest: ssl.SSLContext | None = None
        with contextlib.ExitStack() as failed:
            failed.callback(self._connection.close)
            self._connection.settimeout(_FIRST)
            try:
                self._take()
            except OSError as error:
                raise self._silent(error) from error
            self.context = self._listening()
            failed.pop_all()

    def _listening(self) -> ssl.SSLContext:
        """The context that listens: it hands each connection to the newest."""
        if self._newest is None:
            raise CertificateError(
                "api serve: this node has no certificate",
                hint="Order one (pvefw acme cert order), or have the cluster's authority make one: "
                "pvefw cert node refresh",
            )
        context = self._newest

        def choose(connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
            connection.context = self._newest or context

        context.sni_callback = choose
        return context

    async def follow(self) -> None:
        """Take each new pair; for as long as the service runs."""
        loop = asyncio.get_running_loop()
        while True:
            ready = asyncio.Event()
            loop.add_reader(self._connection, ready.set)
            await ready.wait()
            loop.remove_reader(self._connection)
            try:
                self._take()
            except OSError:
                await self._reconnect()

    async def _reconnect(self) -> None:
        self._connection.close()
        while True:
            await asyncio.sleep(_AGAIN)
            with contextlib.suppress(ProgramError):
                self._connection = self._connect()
                return

    def _connect_soon(self, patience: float) -> socket.socket:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            with contextlib.suppress(ProgramError):
                return self._connect()
            time.sleep(_TRY)
        return self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(0)  # where the helper accepts nobody, others must not wait with us
        try:
            connection.connect(str(self._helper))
            connection.sendall(wire.encode({"verb": wire.PAIR}))
            connection.settimeout(_FIRST)
        except OSError as error:
            connection.close()
            raise self._silent(error) from error
        return connection

    def _silent(self, error: OSError) -> ProgramError:
        return ProgramError(
            f"api serve: the helper does not answer on {self._helper}: {error.strerror or error}",
            hint="Start it: systemctl start pvefw-api-helper, or, as root, pvefw api helper",
        )

    def _take(self) -> None:
        """Take what the helper has sent.

        :raises OSError: it has left.
        """
        byte, descriptors, _, _ = socket.recv_fds(self._connection, 1, 1)
        if not byte:
            raise ConnectionResetError("it has closed the connection")
        for descriptor in descriptors:
            try:
                self._newest = _context(descriptor)
            except ssl.SSLError:
                pass  # one of the two is new, and the other one comes
            finally:
                os.close(descriptor)


def _context(descriptor: int) -> ssl.SSLContext:
    """A context for the pair in a memfd.

    :raises ssl.SSLError: the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # a key with a pass phrase does not fit either: nobody is asked for it, and no client waits meanwhile
    context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    return context
