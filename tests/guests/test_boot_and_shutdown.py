"""What the units run, and the units themselves; with a real systemd: plugins/guest_libvirt/tests."""

import pytest

from pvefw.guests import units
from pvefw.store.paths import Paths


def test_a_shutdown_that_finds_nothing_of_what_was_started_at_boot_has_failed(farm):
    farm.guest(100)
    farm.guest(101)
    farm.run("boot-guests")
    farm.guest(100, state="stopped")
    farm.guest(101, state="stopped")
    said = farm.fail("shutdown-guests")
    assert "no guest is running, although 100, 101 were started at boot" in said


def test_guests_that_we_have_stopped_ourselves_are_not_missed(farm):
    farm.guest(100)
    farm.guest(101)
    farm.run("boot-guests")
    farm.run("stopall", "--vms", 100)
    farm.run("migrateall", "pve2", "--vms", 101)
    farm.guest(101, state="stopped")
    assert farm.run("shutdown-guests").endswith("0 of 0 guests done in 0.0 s\nTask OK\n")


def test_a_boot_that_starts_nothing_is_followed_by_a_shutdown_that_stops_nothing(farm):
    farm.guest(100, onboot=False)
    farm.run("boot-guests")
    assert farm.run("shutdown-guests").endswith("Task OK\n")


@pytest.mark.parametrize("name", ["libvirt-guests.service", "pve-guests.service"])
def test_another_manager_of_guests_is_said(farm, name):
    wants = farm.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / name).symlink_to(f"/lib/systemd/system/{name}")
    farm.guest(100)
    for command in ("boot-guests", "shutdown-guests"):
        said = farm.run(command)
        assert f"WARN: {name} is enabled, and starts and stops guests, too" in said
        assert said.endswith("Task WARNINGS: 1\n")
    assert f"Disable it: systemctl disable {name} (without --now)" in farm.run("install-units")


def test_units_of_a_package_are_not_copied_and_old_copies_go(tmp_path):
    paths = Paths(tmp_path, "pve1")
    copies = tmp_path / "etc/systemd/system"
    assert {path.parent for path in units.install(paths)} == {copies}
    shipped = tmp_path / "usr/lib/systemd/system"
    shipped.mkdir(parents=True)
    for name, text in units.texts("/usr/bin/pvefw").items():
        (shipped / name).write_text(text)
    assert units.install(paths) == []
    assert list(copies.glob("pvefw-guests*")) == []


def test_the_units_run_for_whatever_is_configured():
    """Where is for pvefw to know: a condition on one file skips the work, and nobody hears of it."""
    for text in units.texts("pvefw").values():
        assert "Condition" not in text


# --- hosts with nothing to start or stop ------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "guest: mine\n\tapi farm\n\tdisable\n", "guest: mine\n\tnodes pve2\n"]
)
def test_a_host_without_a_guest_backend_boots_and_shuts_down(farm, text):
    farm.configure(text)
    for command in ("boot-guests", "shutdown-guests"):
        said = farm.run(command)
        assert "node pve1 has no guest backend" in said
        assert said.endswith("Task OK\n")
    assert "has no guest backend" in farm.fail("startall"), "who asks for guests is told"


def test_guests_that_were_started_are_missed_without_their_backend_too(farm):
    farm.guest(100)
    farm.run("boot-guests")
    farm.configure("")
    assert "no guest is running, although 100 were started" in farm.fail("shutdown-guests")


@pytest.mark.parametrize("suspend", [[], ["--suspend"]])
def test_a_hypervisor_that_does_not_run_has_no_guests_to_stop(farm, suspend):
    farm.guest(100, onboot=False)
    farm.run("boot-guests")
    farm.run("guest", "list")
    noted = farm.paths.guest_notes.read_text()
    (farm.directory / "idle").touch()
    said = farm.run("shutdown-guests", *suspend)
    assert "no guest runs: farm: nobody needs the daemon" in said
    assert said.endswith("Task OK\n")
    assert farm.paths.guest_notes.read_text() == noted, "the Tab key still knows the guests"
    assert "nobody needs the daemon" in farm.fail("stopall")


def test_guests_that_were_started_are_missed_where_the_hypervisor_does_not_run(farm):
    farm.guest(100)
    farm.run("boot-guests")
    (farm.directory / "idle").touch()
    assert "no guest is running, although 100 were started" in farm.fail("shutdown-guests")


def test_a_hypervisor_that_cannot_be_asked_may_have_guests_that_run(farm):
    farm.guest(100, onboot=False)
    (farm.directory / "gone").touch()
    assert "the daemon does not answer" in farm.fail("shutdown-guests")
