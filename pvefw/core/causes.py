"""What an exception of somebody else's library means, in words for people.

One place for those of requests, urllib3, ssl, socket, json and os: their own words name classes, objects
and error numbers. They are known by their names, so none of these libraries is imported here.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from pvefw.core import text

_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>:? ?|\w+\(host='[^']*', port='?\d+'?\):? ?")
_NUMBER = re.compile(r"\[(?:Errno|SSL|X509)[^\]]*\] ?")
_SOURCE = re.compile(r" \(_ssl\.c:\d+\)")
_DEEPEST = 20

_TLS = {
    "certificate has expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet; compare the clocks",
    "self-signed": "its certificate comes from an authority that is not trusted on this host",
    "self signed": "its certificate comes from an authority that is not trusted on this host",
    "unable to get": "its certificate comes from an authority that is not trusted on this host",
    "hostname mismatch": "its certificate is for another name",
    "ip address mismatch": "its certificate is for another address",
    "wrong_version_number": "it does not use TLS on this port",
    "unexpected_eof": "it closed the connection during the TLS handshake",
    "eof occurred": "it closed the connection during the TLS handshake",
    "unsupported_protocol": "it has no version of TLS that is accepted here",
    "alert": "it refused the TLS handshake",
}
"""By what the library's words have in them."""


def _tls(error: Any) -> str:
    message = f"{getattr(error, 'verify_message', '')} {error}".lower()
    return next((words for mark, words in _TLS.items() if mark in message), "")


def _name(_error: Any) -> str:
    return "its name cannot be resolved"


def _os_error(error: Any) -> str:
    if error.errno is None or any(kind.__name__ == "SSLError" for kind in type(error).__mro__):
        return ""  # numbers of OpenSSL's are not the kernel's
    known = {
        errno.ECONNREFUSED: "connection refused",
        errno.ECONNRESET: "it closed the connection",
        errno.EPIPE: "it closed the connection",
        errno.ETIMEDOUT: "no answer in time",
        errno.EHOSTUNREACH: "there is no route to this host",
        errno.ENETUNREACH: "there is no route to this network",
    }
    return known.get(error.errno) or os.strerror(error.errno)


_KNOWN: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("SSLError", _tls),
    ("gaierror", _name),
    ("NameResolutionError", _name),
    ("timeout", lambda _: "no answer in time"),
    ("TimeoutError", lambda _: "no answer in time"),
    ("Timeout", lambda _: "no answer in time"),
    ("ConnectTimeoutError", lambda _: "no answer in time"),
    ("ReadTimeoutError", lambda _: "no answer in time"),
    ("RemoteDisconnected", lambda _: "it closed the connection without an answer"),
    ("BadStatusLine", lambda _: "it does not speak HTTP"),
    ("IncompleteRead", lambda _: "its answer was cut off"),
    ("ChunkedEncodingError", lambda _: "its answer was cut off"),
    ("TooManyRedirects", lambda _: "it redirects too often"),
    ("JSONDecodeError", lambda _: "it is not JSON"),
    ("UnicodeDecodeError", lambda _: "it is not text in UTF-8"),
    ("InvalidURL", lambda _: "this is not a URL"),
    ("LocationParseError", lambda _: "this is not a URL"),
    ("MissingSchema", lambda _: "this is not a URL"),
    ("InvalidSchema", lambda _: "this is not a URL that can be used"),
    ("OSError", _os_error),
    ("ConnectionError", lambda _: "no connection"),
)
"""By the name of a class or of one that it is derived from; the first that fits."""


def of(error: BaseException) -> str:
    """Why it failed, as a part of a sentence: ``connection refused``. Since 1.1.

    The innermost exception that is known speaks; of one that nobody knows its own words, without objects
    and numbers of errors.
    """
    return _spoken(error) or _cleaned(text.of(_innermost(error))) or type(error).__name__


def known(error: BaseException) -> str:
    """As :func:`of` for an error of one of these libraries, with the file that it is about.

    :returns: empty for any other error: it may be a fault, and whoever looks for it needs its name.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names & {"RequestException", *(name for name, _ in _KNOWN)}:
        return ""
    reason, file = _spoken(error), getattr(error, "filename", None)
    return f"{file}: {reason}" if reason and isinstance(file, str) else reason


def damage(error: BaseException) -> str:
    """What is wrong with a file of ours, from what reading it raised: ``created is missing``."""
    match error:
        case KeyError():
            return f"{error.args[0]} is missing" if error.args else "a part is missing"
        case TypeError() | AttributeError() | IndexError():
            return "it is not in the expected format"
        case RecursionError():
            return "it is nested too deeply"
    return of(error)


def _spoken(error: BaseException) -> str:
    """What the innermost exception says that is known."""
    for cause in reversed(list(_chain(error))):
        names = {kind.__name__ for kind in type(cause).__mro__}
        for name, words in _KNOWN:
            if name in names and (reason := words(cause)):
                return reason
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it comes from, the innermost last."""
    following: BaseException | None = error
    for _ in range(_DEEPEST):
        if following is None:
            return
        yield following
        inside = [getattr(following, "reason", None), *following.args]
        hidden = None if following.__suppress_context__ else following.__context__
        candidates = [*inside, following.__cause__, hidden]
        following = next(
            (candidate for candidate in candidates if isinstance(candidate, BaseException)), None
        )


def _innermost(error: BaseException) -> BaseException:
    return list(_chain(error))[-1]


def _cleaned(message: str) -> str:
    for pattern in (_OBJECT, _NUMBER, _SOURCE):
        message = pattern.sub("", message)
    return message.strip()
