"""What the service takes of a host that it only waits on."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
MOST = 60 << 20


def tree(pid):
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(inner for child in children for inner in tree(int(child)))]


def proportional(pid):
    """Bytes that are a process's own, and its part of those that it shares (proc(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def test_both_processes_take_no_more_than_60_mb(service):
    for path in ("/version", "/nodes/pve1/tasks"):
        assert service.call("GET", path, as_="root@pam").status_code == 200
    found = {
        pid: proportional(pid) for pid in [*tree(service.helper.pid), *tree(service.front.pid)]
    }
    assert sum(found.values()) <= MOST, found
