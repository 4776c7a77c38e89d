"""Requests to an ACME server: a kept-alive session, pooled nonces, retries, one deadline for all.

RFC 8555 section 6.
"""

import math
import ssl
from collections import deque
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from pvefw import __version__
from pvefw.acme.answers import THEIR_URL, Response, absolute, problem_in
from pvefw.acme.jws import AccountKey, compact
from pvefw.core import causes, text
from pvefw.core.errors import (
    AcmeError,
    AcmeProblem,
    AcmeProtocolError,
    AcmeUnreachable,
    ConfigError,
    DeadlineExceeded,
)
from pvefw.host import concurrency
from pvefw.host.answers import read_answer
from pvefw.host.clock import Clock, SystemClock

CONNECTIONS = 8
"""How many requests go on at once."""
_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 30.0
_REQUEST_SECONDS = 60.0
_LARGEST_BODY = 1 << 20
_MOST_REDIRECTS = 5
_NONCE_RETRIES = 20
_ATTEMPTS = 3
"""At a server that gives no answer, or says that it is broken."""
_BUSY = (429, 503)
_BROKEN = (500, 502, 504)
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_SHORTEST_PAUSE = 0.1
"""Where the server asks for none at all."""
_WORTH_A_WORD = 1.0
"""Seconds of waiting from which on the user is told why."""
_CHECK_URL = "Check the directory URL."


class Waiting(Protocol):
    """Who can be cancelled while it waits, and is told what for: a task."""

    @property
    def cancelled(self) -> bool:
        """Whether it was."""

    def log(self, message: str) -> None:
        """Say why it takes longer."""

    def wait(self, seconds: float) -> None:
        """Sleep; raise :class:`Cancelled` when cancelled."""


class Transport:
    """Talks to one ACME server.

    :param ca_file: certificates to trust instead of the system's; empty for those.
    :param deadline: seconds from now until which everything must be done; see :meth:`start_anew`.
    :param task: who waits, and may be cancelled.
    :raises ConfigError: the file is not there, or holds no certificates.
    """

    def __init__(
        self,
        *,
        ca_file: str = "",
        deadline: float = 600.0,
        task: Waiting,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._seconds = deadline
        self.start_anew()
        self._task = task
        self._verify = _checked(ca_file) if ca_file else _system_trust()
        self._session = requests.Session()
        # or REQUESTS_CA_BUNDLE would win over our own trust anchors
        self._session.trust_env = False
        self._session.headers["User-Agent"] = f"pvefw/{__version__}"
        self._session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        del self._session.adapters["http://"]  # a redirect must not lead there either
        self._nonces: deque[str] = deque(maxlen=2 * CONNECTIONS)
        self._proxies: dict[str, Any] = {}
        self.directory_url = ""
        """The one that the user gave; all others are the server's."""
        self.new_nonce_url = ""

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def start_anew(self, seconds: float | None = None) -> None:
        """Give the requests that follow all of the time: what came before was not the server's doing.

        :param seconds: less than all of it.
        """
        self._until = self._clock.monotonic() + (self._seconds if seconds is None else seconds)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._until - self._clock.monotonic()

    def pause(self, seconds: float, what: str) -> None:
        """Wait before asking again.

        :raises DeadlineExceeded: it would end after the deadline.
        """
        if seconds > self.left:
            raise DeadlineExceeded(
                f"{what}: not done in time; the next request would be due in "
                f"{text.counted(math.ceil(seconds), 'second')}",
                hint="Try again later.",
            )
        self._task.wait(seconds)

    def get(self, url: str) -> Response:
        """An unsigned GET: the directory, renewal information.

        :raises AcmeError: no good answer.
        """
        return self._retried("GET", url, lambda: None)

    def post(self, url: str, payload: object | None, key: AccountKey, kid: str | None) -> Response:
        """A signed POST; of ``None`` a POST-as-GET (RFC 8555 section 6.3).

        :param kid: the account's URL, or ``None`` to send the public key itself.
        :raises AcmeProblem: the server refused.
        :raises AcmeError: no good answer.
        """
        who: dict[str, Any] = {"jwk": key.jwk} if kid is None else {"kid": kid}
        body = b"" if payload is None else compact(payload)

        def signed() -> bytes:
            return key.sign({**who, "nonce": self._nonce(), "url": url}, body)

        for _ in range(_NONCE_RETRIES):
            try:
                return self._retried("POST", url, signed)
            except AcmeProblem as problem:
                if problem.type != "badNonce":
                    raise
        raise AcmeProtocolError(
            f"{url}: the server refused {_NONCE_RETRIES} of its own nonces in a row",
            hint="The authority has a fault; try again later.",
        )

    # nonces (section 6.5)

    def _nonce(self) -> str:
        try:
            return self._nonces.pop()  # the newest: older ones may have expired in a long wait
        except IndexError:
            pass
        answer = self._retried("HEAD", self.new_nonce_url, lambda: None, keep_nonce=False)
        nonce: str = answer.headers.get("Replay-Nonce", "")
        if not nonce:
            raise AcmeProtocolError(f"{self.new_nonce_url}: answered without a nonce")
        return nonce

    # one request, with retries

    def _retried(self, method: str, url: str, body: Any, *, keep_nonce: bool = True) -> Response:
        """Send until there is an answer, or the server says no, or time is up."""
        failures, pause = 0, _FIRST_PAUSE
        while True:
            content = body()  # takes a nonce; without one there is nothing to try again
            try:
                response = self._once(method, url, content, keep_nonce=keep_nonce)
                if response.status < 400:  # noqa: PLR2004 - HTTP's own border
                    return response
                raise problem_in(response)
            except (AcmeUnreachable, AcmeProblem) as error:
                failures += 1
                seconds = _worth_waiting(error, failures, pause)
                if seconds is None or seconds > self.left:
                    raise
                if seconds >= _WORTH_A_WORD:
                    self._task.log(
                        f"Waiting {text.counted(round(seconds), 'second')}: {error.message}"
                    )
            self.pause(seconds, url)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(self, method: str, url: str, body: bytes | None, *, keep_nonce: bool) -> Response:
        self._check(url)
        if self.left <= 0:
            raise DeadlineExceeded(f"{url}: not done in time", hint="Try again later.")
        # requests' own time-outs start again with every byte, and looking a name up has none
        limit = min(_REQUEST_SECONDS, self.left)
        try:
            answer, content = concurrency.call_within(
                lambda: self._exchange(method, url, body),
                limit,
                f"{method} {url}",
                cancelled=lambda: self._task.cancelled,
                grace=0.0,
            )
        except concurrency.DidNotReturn as error:
            raise AcmeUnreachable(
                f"{url}: no complete answer within {limit:.0f} seconds", hint="Try again later."
            ) from error
        except requests.exceptions.SSLError as error:
            raise AcmeError(
                f"{url}: no trusted connection: {causes.of(error)}",
                hint="For a private authority give its certificates with --ca-file. If it is reported to "
                "have expired, or to be not yet valid, check this host's clock.",
            ) from error
        except ValueError as error:
            raise AcmeProtocolError(
                f"{url}: this URL cannot be used: {causes.of(error)}", hint=self._advice(url)
            ) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise AcmeUnreachable(
                f"{url}: no answer: {causes.of(error)}",
                hint="Check the network and the directory URL.",
            ) from error
        nonce = answer.headers.get("Replay-Nonce")
        if nonce and keep_nonce:
            self._nonces.append(nonce)
        if answer.is_redirect:
            raise AcmeProtocolError(f"{url}: answered a redirect, which ACME does not have")
        return Response(answer.status_code, answer.headers, content, url)

    def _exchange(
        self, method: str, url: str, body: bytes | None
    ) -> tuple[requests.Response, bytes]:
        for _ in range(_MOST_REDIRECTS + 1):
            with self._session.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/jose+json"} if method == "POST" else {},
                timeout=(_CONNECT_SECONDS, _STALL_SECONDS),
                verify=self._verify,
                proxies=self._proxies_for(url),
                allow_redirects=False,  # requests would read the whole body of each
                stream=True,
            ) as answer:
                if method != "GET" or not answer.is_redirect:
                    return answer, self._body(answer)
                url = absolute(url, answer.headers["Location"])
            self._check(url)
        raise AcmeProtocolError(f"{url}: the server redirects too often", hint=_CHECK_URL)

    def _body(self, answer: requests.Response) -> bytes:
        """The whole body, up to a megabyte."""
        if not read_answer(answer, _LARGEST_BODY):
            raise AcmeProtocolError(
                f"{answer.url}: the answer is larger than {_LARGEST_BODY} bytes"
            )
        return answer.content

    def _check(self, url: str) -> None:
        try:
            scheme = urlsplit(url).scheme
        except ValueError as error:
            raise AcmeProtocolError(f"{url}: this is not a URL", hint=self._advice(url)) from error
        if scheme != "https":
            raise AcmeProtocolError(
                f"{url or 'an empty URL'}: ACME needs https", hint=self._advice(url)
            )

    def _advice(self, url: str) -> str:
        """What to do about a URL that cannot be used."""
        return _CHECK_URL if url == self.directory_url else THEIR_URL

    def _proxies_for(self, url: str) -> Any:
        host = urlsplit(url).netloc
        if host not in self._proxies:
            self._proxies[host] = requests.utils.get_environ_proxies(url)
        return self._proxies[host]


# --- what is trusted, and asked ---------------------------------------------------------------------


def _system_trust() -> str | bool:
    """The trust anchors of this host; those that come with requests where it has none."""
    trusted = ssl.get_default_verify_paths()
    return trusted.cafile or trusted.capath or True


def _checked(ca_file: str) -> str:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = "it contains none" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            f"{ca_file}: no certificates to trust: {why}",
            hint="Give the authority's certificates, PEM, with --ca-file.",
        ) from error
    return ca_file


def _worth_waiting(
    error: AcmeUnreachable | AcmeProblem, failures: int, pause: float
) -> float | None:
    """The seconds after which the same request may succeed; ``None`` where it will not.

    :param failures: how often it failed already.
    :param pause: how long to wait where the server does not say.
    """
    if isinstance(error, AcmeProblem) and error.status in _BUSY:
        if error.retry_after is not None:
            # who says "at once" again and again, or a time that is over, is asked less and less
            least = min(_SHORTEST_PAUSE * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE)
            return max(error.retry_after, least)
        return None if error.type == "rateLimited" else pause
    if isinstance(error, AcmeProblem) and error.status not in _BROKEN:
        return None
    return pause if failures < _ATTEMPTS else None
