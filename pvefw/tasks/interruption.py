"""Turns signals into one exception of the main thread's, whatever it is doing, without harm to its locks.

Python runs a signal's handler between two instructions of the main thread. That leaves two gaps:

* A signal that comes just before the main thread goes to sleep in a lock does not wake it. So a thread of
  ours hears of every signal (``signal.set_wakeup_fd``), and sends it again until the handler has acted.
* An exception that is raised while the standard library takes or gives back a lock leaves it locked for
  ever. So the handler does nothing there, and acts when it is called again.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
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
    :param repeated: called at the next signal, in a thread of its own: the main thread may hold a lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = threading.Event()
    told = False

    def handle(_number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not _is_safe(frame):
            return
        if not heard.is_set():
            heard.set()
            cancel()
            raise Cancelled
        if not told:
            told = True
            threading.Thread(target=repeated, daemon=True).start()

    before: dict[int, Any] = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        with _insistent(heard):
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
def _insistent(heard: threading.Event) -> Iterator[None]:
    """Send signals to the main thread again for as long as they are not heard."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    main = threading.get_ident()

    def insist() -> None:
        with os.fdopen(reader, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                while number[0] in _SIGNALS and not heard.wait(_AGAIN):
                    signal.pthread_kill(main, number[0])

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=insist, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        heard.set()
        os.close(writer)
