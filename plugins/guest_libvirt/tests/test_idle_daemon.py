"""A daemon that is not there: whether guests of it may run all the same."""

import pytest

from pvefw.api import NothingRuns, Unavailable
from pvefw_guest_libvirt import runtime


@pytest.fixture
def without_daemon(host):
    """Ends the daemon until the test has ended."""
    yield lambda: host.daemon.kill_daemon(stay_down=True)
    host.daemon.allow()
    host.daemon.wait_until_it_answers()


def test_where_no_guest_runs_a_shutdown_has_nothing_to_do(host, without_daemon):
    host.daemon.define("db")
    without_daemon()
    with pytest.raises(NothingRuns):
        host.plugin().guest_list()
    said = host.run("shutdown-guests")
    assert "no guest runs: libvirt: " in said
    assert said.endswith("Task OK\n")


def test_where_a_guest_runs_a_shutdown_fails(host, without_daemon):
    host.daemon.define("db").create()
    without_daemon()
    with pytest.raises(Unavailable) as caught:
        host.plugin().guest_list()
    assert not isinstance(caught.value, NothingRuns)
    assert "Task ERROR" in host.fail("shutdown-guests")


@pytest.mark.parametrize("driver", ["qemu", "lxc"])
def test_what_lies_in_run_says_it(tmp_path, monkeypatch, driver):
    monkeypatch.setattr(runtime, "_SYSTEM", tmp_path / "libvirt")
    uri = f"{driver}:///system"
    assert runtime.nothing_runs(uri), "no daemon has ever run since the host was started"
    folder = tmp_path / "libvirt" / driver
    (folder / "autostarted").mkdir(parents=True)
    (folder / "driver.pid").touch()
    assert runtime.nothing_runs(uri)
    (folder / "db.xml").touch()
    assert not runtime.nothing_runs(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///session",
        "qemu+ssh://other/system",
        "qemu+unix:///system?socket=/nowhere/libvirt-sock",
        "test:///default",
        "xen:///system",
    ],
)
def test_where_it_cannot_be_known_guests_may_run(uri):
    assert not runtime.nothing_runs(uri)
