"""http-01 for pvefw (RFC 8555 section 8.3): one listener, or a web root, for all names of an order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pvefw.api import Challenge, ProviderError, Task, hookimpl, setting
from pvefw_acme_standalone.listener import Listener
from pvefw_acme_standalone.webroot import Webroot

__all__ = ["Standalone"]

_HIGHEST_PORT = 65535


@dataclass
class Standalone:
    """http-01 from a listener of its own, or through a web server that already runs."""

    port: int = setting(help="TCP port to listen on; the authority asks on 80.", default=80)
    listen: list[str] = setting(help="Addresses to listen on; empty for all.", default=[])
    webroot: Path | None = setting(
        help="Document root of a running web server, to use instead of listening.", default=None
    )
    _answers: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    """Token to key authorization, of everything that is presented now."""
    _listener: Listener | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.port <= _HIGHEST_PORT:
            raise ValueError(f"port {self.port} is not from 1 to {_HIGHEST_PORT}")

    @hookimpl
    def challenge_types(self) -> Sequence[str]:
        """http-01, and nothing else."""
        return ["http-01"]

    @hookimpl
    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Answer these tokens, too; the first ones open the listener."""
        answers = {challenge.token: challenge.key_authorization for challenge in challenges}
        if self.webroot is not None:
            task.log(
                f"Adding {len(answers)} file{'s' if len(answers) > 1 else ''} below {self.webroot}"
            )
            files = Webroot(self.webroot)
            files.add(answers)
            for path in files.unreadable():
                task.log(
                    f"webroot {self.webroot}: {path} is closed to other users; a web server that is "
                    "not of its group does not find the answers there (chmod o+x)"
                )
            return
        self._answers |= answers
        if self._listener is None:
            task.log(f"Setting up webserver on port {self.port}")
            try:
                self._listener = Listener(self.listen, self.port, self._answers)
            except OSError as error:
                raise ProviderError(str(error)) from error

    @hookimpl
    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Forget these tokens; the last ones close the listener."""
        if self.webroot is not None:
            Webroot(self.webroot).remove([challenge.token for challenge in challenges])
            return
        for challenge in challenges:
            self._answers.pop(challenge.token, None)
        if self._listener is not None and not self._answers:
            task.log("Taking down webserver")
            self._listener.close()
            self._listener = None
