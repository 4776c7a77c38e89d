"""Guests start after a power cut and stop before one, whatever has been done to files beside theirs."""

import shutil

from damage import damage, instead, rubbish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def not_needed(paths):
    """What starting and stopping guests can do without."""
    return (
        paths.node_config(),
        paths.datacenter_cfg,
        paths.node_pvefw_cfg(),
        paths.plugins_cfg,
        paths.own_plugins_cfg,
        paths.pve_dns_apis,
        paths.guest_notes,
        paths.vmlist,
        paths.members,
        paths.renewal_state,
        paths.deploy_state,
        paths.proxy_certificate,
        paths.node_certificate,
        paths.acme_dir / "default",
        paths.install_intent,
        paths.task_retention,
        paths.pinned_kernel,
    )


def begin(farm):
    for name in ("etc", "usr", "var"):
        shutil.rmtree(farm.root / name, ignore_errors=True)
    farm.configure(f"guest: farm\n\tdirectory {farm.directory}\n")
    for vmid in (100, 101):
        farm.guest(vmid)


def does_its_part(farm, typed):
    status, said = typed("boot-guests")
    assert "internal error" not in said
    assert farm.state(100) == farm.state(101) == "running", said
    assert status == 0, said
    status, said = typed("shutdown-guests")
    assert "internal error" not in said
    assert farm.state(100) == farm.state(101) == "stopped", said
    assert status == 0, said


few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@few
@given(st.integers(0, 16), rubbish | st.none())
def test_a_file_that_is_not_needed_may_be_anything(farm, typed, number, data):
    begin(farm)
    instead(not_needed(farm.paths)[number], data)
    does_its_part(farm, typed)


@few
@given(rubbish, st.sampled_from(["front", "end"]))
def test_the_file_with_the_backends_may_have_anything_beside_them(farm, typed, data, at):
    begin(farm)
    damage(farm.paths.cluster_pvefw_cfg, data, at)
    does_its_part(farm, typed)
