"""Connections to a daemon: one for each call under way, watched, and with clear errors.

libvirt's calls have no time-outs. So every connection is kept alive by libvirt's own event loop, which
runs in a thread: a daemon that hangs loses its connections, and the calls on them fail. Opening one,
which nothing watches yet, gets a time limit here.
"""

import contextlib
import functools
import re
import shlex
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import libvirt

from pvefw.api import CredentialsRejected, NothingRuns, ProviderError, Unavailable, Unsupported
from pvefw_guest_libvirt import runtime

OPEN_SECONDS = 15.0
_KEEPALIVE = (5, 2)
"""Ask a silent daemon every five seconds; give it up when it has not answered twice."""
_OF_THE_WAY = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
_REJECTED = (
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_OPERATION_DENIED,
)
_FOR_NOW = (
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_RPC,
)
_NEVER = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
_WRONG_URI = (
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_NO_CONNECT,  # no driver has this scheme
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
)
_FOR_GOOD = re.compile(
    r"""
    certificate | host\ key\ | host\ identification | cannot\ execute\ binary
    | command\ not\ found | :\ not\ found | bad\ configuration\ option
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Of ssh, a shell on the other host, GnuTLS: libvirt has one code for all errors on the way."""
_NOT_LET_IN = re.compile("permission denied|too many authentication failures", re.IGNORECASE)


class Gone(ProviderError):
    """The domain does not exist, or no longer exists."""


class Barred(ProviderError):
    """The daemon cannot be reached until somebody changes something; trying again does not help."""


def is_gone(error: libvirt.libvirtError) -> bool:
    """Whether the domain that was asked does not exist (any more)."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def concerns_all(error: libvirt.libvirtError) -> bool:
    """Whether it is about the daemon or the way to it, and so about every domain."""
    return isinstance(explanation(error), Unavailable | CredentialsRejected | Barred)


def explanation(error: libvirt.libvirtError) -> ProviderError:
    """What libvirt raised, as the contract has it, in libvirt's own words."""
    message = " ".join(str(error).split())
    code = error.get_error_code()
    on_the_way = error.get_error_domain() in _OF_THE_WAY
    if code in _REJECTED:
        return CredentialsRejected(message, hint="Check who may use libvirt's socket; root may.")
    if is_gone(error):
        return Gone(message)
    if on_the_way and code not in _NEVER and (barred := _barred(code, message)):
        return barred
    if code == libvirt.VIR_ERR_NO_CONNECT:
        return Barred(message)
    if code in _FOR_NOW or on_the_way:
        return Unavailable(message)
    return Unsupported(message) if code in _NEVER else ProviderError(message)


def _barred(code: int, message: str) -> ProviderError | None:
    """Why the way to the daemon is closed for good; ``None`` where trying again may help."""
    if code in _WRONG_URI or _FOR_GOOD.search(message):
        return Barred(message)
    return CredentialsRejected(message) if _NOT_LET_IN.search(message) else None


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what libvirt raises into what the contract promises."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise explanation(error) from error


@functools.cache
def _run_event_loop() -> None:
    """Once in a process, before its first connection."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print them
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt events", daemon=True).start()


_STARTING = threading.Lock()
_OWN = "uri"
"""The setting that names this node's daemon."""
_START = "Start it: systemctl start libvirtd. Another daemon is named by the setting uri."


def connect(uri: str, setting: str = _OWN) -> Any:
    """A connection of its own.

    :param setting: what names the daemon, for messages; a daemon of another setting is not this node's.
    :raises NothingRuns: no daemon runs here, and no guest of one.
    :raises Unavailable: nobody is there, or does not answer in time.
    :raises Barred: the URI, a driver, a certificate or a host key is wrong.
    :raises CredentialsRejected: we may not.
    """
    with _STARTING:
        _run_event_loop()
    opened: list[Any] = []
    failed: list[libvirt.libvirtError] = []

    def open_() -> None:
        try:
            connection = libvirt.open(uri)
            with contextlib.suppress(libvirt.libvirtError):  # local drivers have no way to watch
                connection.setKeepAlive(*_KEEPALIVE)
            opened.append(connection)
        except libvirt.libvirtError as error:
            failed.append(error)

    thread = threading.Thread(target=open_, name=f"open {uri}", daemon=True)
    thread.start()
    thread.join(OPEN_SECONDS)
    if failed:
        raise _not_opened(uri, setting, failed[0]) from failed[0]
    if not opened:
        raise Unavailable(
            f"{uri}: the daemon does not answer within {OPEN_SECONDS:g} seconds",
            hint=_by_hand(uri, setting),
        )
    return opened[0]


def _by_hand(uri: str, setting: str) -> str:
    hint = f"Try it by hand: virsh -c {shlex.quote(uri)} list --all"
    return hint if setting == _OWN else f"{hint}; the setting {setting} is at fault, or that daemon"


def _not_opened(uri: str, setting: str, error: libvirt.libvirtError) -> ProviderError:
    """Why there is no connection, and what to do next."""
    why = explanation(error)
    if setting != _OWN:
        why.message = f"{setting} {uri}: {why.message}"
    elif isinstance(why, Unavailable) and runtime.nothing_runs(uri):
        return NothingRuns(why.message, hint=_START)
    why.hint = why.hint or _by_hand(uri, setting)
    return why


class Pool:
    """Connections to one daemon; each serves one call at a time, and is used again."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._idle: deque[Any] = deque()

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        """One that nobody else uses meanwhile.

        :raises ProviderError: what libvirt raises in the block, and what :func:`connect` does.
        """
        connection = self._take() or connect(self.uri)
        try:
            with explained():
                yield connection
        finally:
            with contextlib.suppress(libvirt.libvirtError):  # one that cannot say so is not
                if connection.isAlive():
                    self._idle.append(connection)

    def _take(self) -> Any:
        while self._idle:
            with contextlib.suppress(IndexError, libvirt.libvirtError):
                connection = self._idle.pop()
                if connection.isAlive():
                    return connection
        return None
