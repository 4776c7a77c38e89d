"""The memory of a process that holds keys and passwords: no file gets it when the process crashes."""

import contextlib
import resource

_PR_SET_DUMPABLE = 4
"""prctl(2)."""


def keep_private() -> None:
    """Let no core file be made of this process, and no other of its user look into its memory.

    The limit alone is not enough: core(5) says that it does not count where a program gets the core file,
    as systemd-coredump does. Programs that we start inherit the limit only.
    """
    import ctypes  # --help and the Tab key do without

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
