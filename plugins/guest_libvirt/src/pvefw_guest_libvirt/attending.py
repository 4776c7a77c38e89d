"""Jobs of libvirt's that take long have somebody who looks after them from another thread."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import libvirt

from pvefw.api import ProviderError

_LOOK_AROUND = 0.2


@contextlib.contextmanager
def attended(look: Callable[[], None]) -> Iterator[None]:
    """Look around again and again until the body ends.

    :param look: what it raises is passed over: the job may just have ended.
    """
    done = threading.Event()

    def attend() -> None:
        while not done.wait(_LOOK_AROUND):
            with contextlib.suppress(libvirt.libvirtError, ProviderError):
                look()

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
