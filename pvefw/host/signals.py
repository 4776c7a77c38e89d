"""Signals as this process needs them, whatever its parent ignored."""

import signal


def notice_failures() -> None:
    """See how programs end that are run from now on; to be called by the main thread.

    Where SIGCHLD was ignored when this process was started, as it is below daemons that do not wait for
    their children, the kernel forgets exit statuses (wait(2)), and each failure looks like a success.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
