"""Certificates are renewed whatever has been done to files beside theirs."""

import datetime as dt
import shutil

import pytest
from certificates import NOW, Calendar, Log, self_signed
from damage import damage, instead, rubbish
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pvefw.certs import chain, node_certificate, renew
from pvefw.core.errors import StoreError
from pvefw.store import files, node_settings, oddities

few = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def begin(paths):
    """A node whose own certificate is due, with one of the services' that is not for us."""
    shutil.rmtree(paths.root, ignore_errors=True)
    files.replace(paths.below("etc/hosts"), b"192.0.2.11 pve1.example.com pve1\n")
    node_settings.change(paths, {"reload-command": "-"})
    node_certificate.refresh(paths, Log(), NOW)


def not_needed(paths):
    """What the renewal of the node's own certificate can do without."""
    return (
        paths.node_config(),
        paths.cluster_pvefw_cfg,
        paths.datacenter_cfg,
        paths.plugins_cfg,
        paths.own_plugins_cfg,
        paths.pve_dns_apis,
        paths.acme_dir / "default",
        paths.proxy_certificate,
        paths.deploy_state,
        paths.renewal_state,
        paths.open_order,
        paths.guest_notes,
        paths.members,
        paths.nodes / "pve2" / "config",
        paths.nodes / "pve2" / "pvefw.cfg",
    )


def does_its_part(paths):
    before = chain.parse(paths.node_certificate.read_bytes(), "before")[0].serial_number
    later = Calendar(NOW + dt.timedelta(days=700))
    said = []
    with oddities.listening(said.append):
        try:
            renew.run(paths, said.append, said.append, later)
        except StoreError as error:  # what could not be read has been said, and the rest is done
            assert "could not read" in error.message
    after = chain.parse(paths.node_certificate.read_bytes(), "after")[0].serial_number
    assert after != before, said
    return said


@few
@given(st.integers(0, 14), rubbish | st.none())
def test_a_file_that_is_not_needed_may_be_anything(paths, number, data):
    path = not_needed(paths)[number]
    assume(data is not None or path != paths.cluster_pvefw_cfg)  # it says which key to make
    begin(paths)
    instead(path, data)
    does_its_part(paths)


@few
@given(rubbish, st.sampled_from(["front", "end"]), st.booleans())
def test_the_files_with_properties_may_have_anything_beside_them(paths, data, at, cluster):
    begin(paths)
    damage(paths.cluster_pvefw_cfg if cluster else paths.node_pvefw_cfg(), data, at)
    does_its_part(paths)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"acmedomain0: a.example\nacmedomain1: a.example\n", "a.example is configured twice"),
        (b"acmedomain0: a b\n", "no names are configured"),
    ],
)
def test_names_that_are_not_clear_cost_that_certificate_only(paths, config, said):
    begin(paths)
    certificate, key = self_signed("a.example", days=800)
    files.replace(paths.proxy_certificate, certificate)
    files.replace(paths.proxy_key, key, private=True)
    files.replace(paths.node_config(), config)
    assert any(said in line for line in does_its_part(paths))


@pytest.mark.parametrize(
    "name", ["renewal_state", "deploy_state", "open_order", "proxy_certificate"]
)
def test_a_directory_in_the_place_of_a_state_stops_no_renewal(paths, name):
    begin(paths)
    instead(getattr(paths, name), None)
    does_its_part(paths)
