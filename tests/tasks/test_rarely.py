"""Tasks of other users, and logs that cannot be read."""

import os
import signal
from contextlib import contextmanager

import pytest

from pvefw.core.errors import PvefwError, StoreError
from pvefw.tasks import control, history, registry
from pvefw.tasks.history import Filter
from pvefw.tasks.upid import Upid

UPID = Upid("pve1", 2**22 + 1, 1, 1000, "vzdump", "100", "root@pam")


@pytest.fixture
def ended(paths):
    registry.begin(paths, UPID)
    registry.finish(paths, UPID, 1005, "OK")
    return paths


def test_a_task_of_another_user_is_left_alone_and_says_who_may(ended, monkeypatch):
    @contextmanager
    def process(_upid):
        descriptor = os.pidfd_open(os.getpid())
        yield descriptor
        os.close(descriptor)

    def refused(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(control, "_process", process)
    monkeypatch.setattr(control, "_is_over", lambda *_arguments: False)
    monkeypatch.setattr(signal, "pidfd_send_signal", refused)
    with pytest.raises(PvefwError) as caught:
        control.stop(ended, UPID, 10.0)
    assert caught.value.message == f"task stop: {UPID}: the task is another user's"
    assert caught.value.hint == "Run it as root."


@pytest.mark.parametrize("ask", ["show", "search"])
def test_a_log_that_cannot_be_read_is_named(ended, ask):
    path = UPID.log_path(ended)
    path.mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        if ask == "show":
            list(history.log(ended, UPID))
        else:
            history.tasks(ended, Filter(text="x"))
    assert caught.value.message == f"{path}: could not read the file: Is a directory"


def test_a_task_without_an_end_that_does_not_run_has_no_status():
    """As in the reference: what has no value is left out."""
    entry = registry.TaskEntry(UPID, None, None, saved=True)
    assert "status" not in history.as_dict(entry)
    assert "endtime" not in history.as_dict(entry)
