"""tls-alpn-01 for pvefw (RFC 8737, addresses: RFC 8738): the answer is a certificate in the handshake."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from pvefw.api import Challenge, ProviderError, Task, hookimpl, listen, setting
from pvefw_acme_tls_alpn import sockets
from pvefw_acme_tls_alpn.answer import PROTOCOL, context_for, server_name
from pvefw_acme_tls_alpn.listener import Listener

__all__ = ["PROTOCOL", "TlsAlpn"]

_HIGHEST_PORT = 65535
_OTHERWISE = "let it pass validations on and set another port, as the README shows, or use http-01"
"""What to do where another program has the port."""


@dataclass
class TlsAlpn:
    """tls-alpn-01 from a listener of its own, or on a socket that systemd hands over."""

    port: int = setting(help="TCP port to listen on; the authority asks on 443.", default=443)
    listen: list[str] = setting(help="Addresses to listen on; empty for all.", default=[])
    socket: str = setting(
        help="Name of a listening socket that systemd hands over (FileDescriptorName=), "
        "to use instead of opening one.",
        default="",
    )
    _answers: dict[str, dict[str, ssl.SSLContext]] = field(
        default_factory=dict, init=False, repr=False
    )
    """What is presented now: by server name, then by key authorization; the newest one is last."""
    _listener: Listener | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.port <= _HIGHEST_PORT:
            raise ValueError(f"port {self.port} is not from 1 to {_HIGHEST_PORT}")

    @hookimpl
    def challenge_types(self) -> Sequence[str]:
        """tls-alpn-01, and nothing else."""
        return ["tls-alpn-01"]

    @hookimpl
    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Answer for these names, too; the first ones open the listener."""
        for challenge in challenges:
            mine = self._answers.setdefault(server_name(challenge.identifier), {})
            mine.pop(challenge.key_authorization, None)
            mine[challenge.key_authorization] = context_for(
                challenge.identifier, challenge.key_authorization
            )
        if self._listener is not None:
            return
        try:
            if self.socket:
                task.log(f"Answering TLS handshakes on the socket {self.socket}")
                listening = sockets.handed_over(self.socket)
            else:
                task.log(f"Answering TLS handshakes on port {self.port}")
                listening = listen(self.listen, self.port, _OTHERWISE)
        except OSError as error:
            raise ProviderError(str(error)) from error
        self._listener = Listener(listening, self._find)

    @hookimpl
    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Forget these names; the last ones close the listener."""
        for challenge in challenges:
            name = server_name(challenge.identifier)
            mine = self._answers.get(name, {})
            mine.pop(challenge.key_authorization, None)
            if not mine:
                self._answers.pop(name, None)
        if self._listener is not None and not self._answers:
            task.log("No longer answering TLS handshakes")
            self._listener.close()
            self._listener = None

    def _find(self, name: str) -> ssl.SSLContext | None:
        """The newest answer for a server name, if one is pending."""
        return next(reversed(list(self._answers.get(name, {}).values())), None)
