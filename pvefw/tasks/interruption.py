"""Turns signals into one exception of the main thread's, whatever it is doing, without harm to its locks.

Python runs a signal's handler between two instructions of the main thread. That leaves two gaps:

* A signal that comes just before the main thread goes to sleep in a lock does not wake it. So a thread of
  ours hears of every signal (``signal.set_wakeup_fd``), and sends it again until the handler has acted.
* An exception that is raised while the standard library takes or gives back a lock leaves it locked for
  ever. So the handler does nothing there, and acts when it is called again.

What comes after that needs no handler: the same thread answers it.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from types import FrameType
from typing import Any

from pvefw.core.errors import Cancelled

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN = 0.05
"""Seconds after which a signal that had no effect is sent again."""
_WITH_LOCKS = (threading.__file__, *futures.__path__, "<frozen importlib._bootstrap>")


@contextlib.contextmanager
def interruptible(cancel: Callable[[], None], repeated: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise :class:`Cancelled` in the body, once, where it is the main thread.

    Signals that are ignored stay so: somebody (``nohup``) wants that.

    :param cancel: called by the handler before it raises.
    :param repeated: called at the next signal, once, in another thread: the main thread may hold a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = threading.Event()

    def handle(_number: int, frame: FrameType | None) -> None:
        if not heard.is_set() and _is_safe(frame):
            heard.set()
            cancel()
            raise Cancelled

    before: dict[int, Any] = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        with _insistent(heard, repeated):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_safe(frame: FrameType | None) -> bool:
    """Whether an exception at this place leaves every lock as it should be.

    Asleep in ``Condition.wait`` it does: the lock is given back, and taken again on the way out.
    """
    if frame is None or frame.f_code is threading.Condition.wait.__code__:
        return frame is not None and frame.f_locals.get("gotit") is False
    return not frame.f_code.co_filename.startswith(_WITH_LOCKS)


@contextlib.contextmanager
def _insistent(heard: threading.Event, repeated: Callable[[], None]) -> Iterator[None]:
    """Send signals to the main thread again until one is heard, and answer the next one."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    main, over = threading.get_ident(), False

    def insist() -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            signals = (byte[0] for byte in iter(partial(pipe.read, 1), b"") if byte[0] in _SIGNALS)
            for number in signals:
                if heard.wait(_AGAIN):
                    break
                signal.pthread_kill(main, number)  # and it comes out of the pipe, too
            told = False
            for (
                _number
            ) in signals:  # to the end: a signal may be written as long as there is a handler
                if not (told or over):
                    told = True
                    repeated()

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=insist, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over = True
        heard.set()
        os.close(writer)
