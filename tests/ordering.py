"""What tests of the ACME client share: tasks, solvers, and one order from nothing to a certificate."""

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from pvefw.acme.choice import Way
from pvefw.acme.client import Client, Order
from pvefw.acme.jws import AccountKey
from pvefw.acme.order import OrderFlow
from pvefw.acme.transport import Transport
from pvefw.certs import keys
from pvefw.core.errors import Cancelled
from pvefw.core.model import Challenge, Identifier


class Patient:
    """A task that really waits, but never for long."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        """What it was asked to wait, in seconds."""
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.cancelled = False

    def wait(self, seconds: float) -> None:
        if self.cancelled:
            raise Cancelled
        self.waited.append(seconds)
        threading.Event().wait(min(seconds, 0.05))

    def log(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Believed:
    """A solver that does nothing, for a Pebble that believes everything."""

    def __init__(self, *types: str) -> None:
        self.types = types or ("http-01",)
        self.presented: list[list[Challenge]] = []
        self.cleaned: list[list[Challenge]] = []
        """One list for each call."""

    def challenge_types(self) -> Sequence[str]:
        return self.types

    def challenge_present(self, challenges: Sequence[Challenge], task: object) -> None:
        self.presented.append(list(challenges))

    def challenge_cleanup(self, challenges: Sequence[Challenge], task: object) -> None:
        self.cleaned.append(list(challenges))


class _Server(ThreadingHTTPServer):
    """Takes many connections at once, as an authority makes them for many names."""

    request_queue_size = 128


class Listening(Believed):
    """A solver that answers http-01 on a port, on every loopback address that it is given."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        super().__init__()
        self.where = (address, port)
        self.asked: list[str] = []
        """The tokens that the authority asked for."""

    def challenge_present(self, challenges: Sequence[Challenge], task: object) -> None:
        super().challenge_present(challenges, task)
        answers = {challenge.token: challenge.key_authorization for challenge in challenges}
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = self.path.removeprefix("/.well-known/acme-challenge/")
                asked.append(token)
                self.send_response(200 if token in answers else 404)
                self.end_headers()
                self.wfile.write(answers.get(token, "").encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = _Server(self.where, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()

    def challenge_cleanup(self, challenges: Sequence[Challenge], task: object) -> None:
        super().challenge_cleanup(challenges, task)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Ordering:
    """A new account, and one order of it."""

    def __init__(
        self,
        directory: str,
        ca_file: Path,
        solvers: dict[str, Believed],
        *,
        seconds: float = 20.0,
        key_type: str = "ec256",
    ) -> None:
        self.task = Patient()
        self.solvers = solvers
        self.identifiers = [identifier(solver) for solver in solvers]
        self.transport = Transport(ca_file=str(ca_file), deadline=seconds, task=self.task)
        self.client = Client(self.transport, directory, AccountKey.generate(key_type))
        self.flow = OrderFlow(
            self.client,
            self.transport,
            {name: Way.only(solver) for name, solver in solvers.items()},
            self.task,
        )
        self.key = keys.generate("ec256")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.transport.close()

    def register(self) -> None:
        self.client.register(["mailto:a@example.com"], agree=True)

    def place(self) -> Order:
        """A new account, a new order."""
        self.register()
        return self.flow.place(self.identifiers)

    def csr(self) -> bytes:
        return keys.signing_request(self.key, self.identifiers)

    def finish(self, order: Order, preferred_root: str = "") -> bytes:
        """From the order to the chain."""
        order = self.flow.finalize(self.flow.authorize(order), self.csr)
        return self.flow.download(order, preferred_root)

    def run(self) -> bytes:
        """Everything."""
        with self:
            return self.finish(self.place())


def identifier(name: str) -> Identifier:
    """A name or an IPv4 address as it stands in an order."""
    return Identifier("ip" if name.replace(".", "").isdigit() else "dns", name)
