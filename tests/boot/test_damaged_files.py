"""A new kernel reaches the ESPs, whatever has been done to files beside those that count."""

import pytest
from damage import damage, instead, rubbish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvefw.boot import refresh
from pvefw.boot.loaders import Loaders
from pvefw.store import oddities

few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def not_needed(paths):
    """What a kernel hook can do without: of some files, the reading of."""
    return (
        paths.cluster_pvefw_cfg,
        paths.node_pvefw_cfg(),
        paths.node_config(),
        paths.datacenter_cfg,
        paths.plugins_cfg,
        paths.install_intent,
        paths.boot_state / "next-boot.json",
    )


def chosen(paths):
    """What may hold anything, but must be a file."""
    return (paths.pinned_kernel, paths.next_boot_kernel, paths.manual_kernels)


@pytest.fixture
def does_its_part(ready, host, machine):
    count = iter(range(1, 1000))

    def check():
        version = f"6.14.{next(count)}-1-pve"
        host.install(version)
        with oddities.listening(lambda _warning: None):
            Loaders.load(host.paths)  # it never raises
            refresh.refresh(ready(), installing=version)
        for path in machine.directory.iterdir():
            assert (path / f"plain/{version}").is_dir()

    return check


def test_a_note_that_is_a_directory_stops_no_refresh(does_its_part, host):
    note = host.paths.boot_state / "next-boot.json"
    note.mkdir(parents=True)
    does_its_part()
    host.paths.next_boot_kernel.write_text("6.14.1-1-pve\n")  # by another tool, which takes no note
    does_its_part()


@few
@given(st.integers(0, 6), rubbish | st.none())
def test_a_file_that_is_not_needed_may_be_anything(does_its_part, host, number, data):
    path = not_needed(host.paths)[number]
    try:
        instead(path, data)
        does_its_part()
    finally:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


@few
@given(st.integers(0, 2), rubbish)
def test_what_is_chosen_may_be_anything(does_its_part, host, number, data):
    path = chosen(host.paths)[number]
    try:
        instead(path, data)
        does_its_part()
    finally:
        path.unlink(missing_ok=True)


@few
@given(rubbish, st.sampled_from(["front", "end"]))
def test_the_list_of_esps_may_have_anything_beside_them(does_its_part, host, data, at):
    before = host.paths.esp_uuids.read_bytes()
    try:
        damage(host.paths.esp_uuids, data, at)
        does_its_part()
    finally:
        host.paths.esp_uuids.write_bytes(before)
