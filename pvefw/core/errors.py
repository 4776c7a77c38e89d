"""What can go wrong, as one tree.

::

    PvefwError                 one clear sentence, and a hint: what to do next
    ├── UsageError             the command was used wrongly (exit status 2)
    ├── ConfigError            a file or a value is not in its format
    ├── DigestMismatch         the file changed since the caller read it
    ├── NotFound               a node, account, plugin instance, task … that is not there
    ├── Locked                 another process is working on the same thing
    ├── StoreError             a file could not be read or written
    │   └── NoQuorum           … because too few nodes of the cluster see each other
    ├── ProgramError           a program is missing, failed, or ran out of time
    ├── CertificateError       a certificate or key that cannot be used
    ├── AcmeError              the ACME server, or the way to it
    │   ├── AcmeProblem        it answered with a problem document (RFC 7807)
    │   ├── AcmeProtocolError  it answered something that is not ACME
    │   ├── AcmeUnreachable    no answer at all
    │   └── DeadlineExceeded   no final answer in time
    ├── ProviderError          raised by plugins: the provider, loader or hypervisor failed
    │   ├── CredentialsRejected    … because of who we are or what we may do
    │   ├── RateLimited            … for now; ``retry_after`` says how long
    │   ├── Unavailable            … for now; trying again may help
    │   ├── Unsupported            … for good: it cannot do this
    │   └── AnswersDisplaced       … to keep several answers at once; one after the other may work
    └── PluginError            the plugin itself is at fault; ``plugin`` says which
        ├── PluginMissing      no such plugin is installed
        ├── PluginBroken       it cannot be imported, made or bound
        ├── PluginFailed       a hook raised something else than a ProviderError
        └── PluginTimeout      a hook did not return in time

    Cancelled                  Ctrl-C or SIGTERM; a BaseException, so that no ``except Exception``
                               of a plugin or library swallows it
"""

import math

from pvefw.core import text

_LONGEST_WAIT = 366 * 86400.0


def _time(seconds: float | None) -> float | None:
    """Seconds as somebody else said them: at most a year, and ``None`` for what is no time."""
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(float(seconds), 0.0), _LONGEST_WAIT)


class PvefwError(Exception):
    """Any failure that pvefw explains to its user.

    ``message`` is one sentence in the form *what: for whom: why*, without a final full stop.
    ``hint`` is one sentence that says what to do next, or empty.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The sentence. It may quote others: control characters and line breaks are taken out."""
        return self._message

    @message.setter
    def message(self, words: str) -> None:
        self._message = text.one_line(words)

    @property
    def hint(self) -> str:
        """What to do next; it may have lines."""
        return self._hint

    @hint.setter
    def hint(self, words: str) -> None:
        self._hint = text.lines(words)

    def __str__(self) -> str:
        return self.message


class UsageError(PvefwError):
    """The command, option or value does not make sense; nothing was done."""

    exit_status = 2


class ConfigError(PvefwError):
    """A file or value is not in the format that is documented for it."""


class DigestMismatch(PvefwError):
    """A file changed between the caller's reading and writing of it."""


class NotFound(PvefwError):
    """The thing that was named does not exist."""


class Locked(PvefwError):
    """A lock was not free within the time that the caller would wait."""


class StoreError(PvefwError):
    """A file could not be read or written (permissions, full disk, missing directory)."""


class NoQuorum(StoreError):
    """The cluster file system refuses changes while this node does not see most of the others."""


class ProgramError(PvefwError):
    """A program is missing, ended with a non-zero status, or ran out of time."""


class CertificateError(PvefwError):
    """A certificate, chain or private key cannot be used as asked."""


class AcmeError(PvefwError):
    """The ACME server refused, or could not be talked to."""


class AcmeProblem(AcmeError):
    """The server answered with a problem document (RFC 8555 section 6.7, RFC 7807).

    ``type`` is the last part of the URN (``rateLimited``), ``detail`` the server's own words,
    ``status`` the HTTP status, ``retry_after`` seconds or ``None``, ``subproblems`` maps an
    identifier to the server's words about it.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str,  # noqa: A002 - the field's name in RFC 7807
        detail: str = "",
        status: int = 0,
        retry_after: float | None = None,
        subproblems: dict[str, str] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.type = type
        self.detail = detail
        self.status = status
        self.retry_after = _time(retry_after)
        self.subproblems = subproblems or {}

    @property
    def is_a_failure(self) -> bool:
        """Whether the server could not answer, rather than refuse (RFC 9110 section 15.6)."""
        return self.status >= _SERVER_ERROR


_SERVER_ERROR = 500


class AcmeProtocolError(AcmeError):
    """The server's answer is not what RFC 8555 prescribes."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or _THEIR_FAULT)


_THEIR_FAULT = (
    "The authority, or a proxy in front of it, has a fault: try again later, or tell its operator."
)


class AcmeUnreachable(AcmeError):
    """No connection, a broken one, or no answer."""


class DeadlineExceeded(AcmeError):
    """The work was not finished within the time that was set for it."""


class ProviderError(PvefwError):
    """What a plugin raises when its provider, loader or hypervisor fails.

    The message is the provider's own words; core adds the plugin's name and the subject. In the hint,
    ``{instance}`` stands for the name of the configured instance; core puts it in. A hint may have lines.

    ``unchanged`` says that the call surely changed nothing: the provider was never reached, or refused
    all of it. Then core has nothing to clean up. Since 1.1, as is ``{instance}``.
    """

    def __init__(self, message: str, *, hint: str = "", unchanged: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.unchanged = unchanged


class CredentialsRejected(ProviderError):
    """Wrong, expired or insufficient credentials; trying again will not help."""


class RateLimited(ProviderError):
    """Too many requests; core tries again after ``retry_after`` seconds (float, or ``None``)."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        hint: str = "",
        unchanged: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, unchanged=unchanged)
        self.retry_after = _time(retry_after)


class AnswersDisplaced(ProviderError):
    """Of several challenges' answers only some can be seen, for each one replaces the one before it.

    ``seconds`` says for how long who saw one of them may remember it.
    """

    def __init__(self, message: str, *, hint: str = "", seconds: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.seconds = _time(seconds) or 0.0


class Unavailable(ProviderError):
    """The provider cannot be reached or reports a fault of its own; core tries again."""


class NothingRuns(Unavailable):
    """The hypervisor cannot be asked because it does not run, and no guest of it does. Since 1.1.

    At the host's shutdown that is as it should be; whoever needs its guests gets this error.
    """


class Unsupported(ProviderError):
    """The provider, loader or hypervisor cannot do this at all."""


class PluginError(PvefwError):
    """A plugin is at fault. ``plugin`` names it: ``FAMILY/NAME``."""

    def __init__(self, message: str, *, plugin: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin


class PluginMissing(PluginError):
    """No installed distribution offers this name in this family."""


class PluginBroken(PluginError):
    """The plugin is installed but cannot be imported, made, or bound to its hooks."""


class PluginFailed(PluginError):
    """A hook raised something other than a ProviderError, or returned nonsense."""


class PluginTimeout(PluginError):
    """A hook did not return within its time limit."""


class Cancelled(BaseException):
    """The user or the service manager ended the work; clean up and stop."""
