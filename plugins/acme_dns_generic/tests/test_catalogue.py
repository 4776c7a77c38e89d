"""The catalogue as core sees it: below a root, any key goes through, and what a key holds is masked."""

import subprocess
import sys
from pathlib import Path

import pytest

from pvefw.api import ProviderError, TxtRecord
from pvefw.core.masking import MASK
from pvefw.instances import Instance, instance_binding
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

RECORD = TxtRecord("_acme-challenge.www.example.com.", "value-1")
NO_BLOCK = """
dns_bare_add() {
  BARE_Token="${BARE_Token:-$(_readaccountconf_mutable BARE_Token)}"
  _info "token $BARE_Token other $OTHER_Thing"
  echo "curl: (22) https://bare.example/?key=$BARE_Token&o=$OTHER_Thing" >&2
  _err "Could not add txt record."
}
"""


@pytest.fixture(params=["usr/share/acme.sh/dnsapi", "usr/share/proxmox-acme/dnsapi", "etc/mine"])
def paths(request, tmp_path):
    """A tree with a script in one of the places."""
    directory = tmp_path / request.param
    directory.mkdir(parents=True)
    (directory / "dns_bare.sh").write_text(NO_BLOCK)
    paths = Paths(tmp_path, "pve1")
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    paths.cluster_pvefw_cfg.write_text("dns_catalog: acmesh\n\tpath /etc/mine\n")
    return paths


def test_scripts_are_looked_for_below_the_root(paths):
    assert "bare" in instance_binding.names(Node.open(paths))
    assert [
        setting.key for setting in instance_binding.declared(Node.open(paths), "dns", "acmesh/bare")
    ] == [
        "BARE_Token",
        "OTHER_Thing",
    ]
    with pytest.raises(ProviderError, match=r"there is no script dns_bare\.sh"):
        instance_binding.declared(Node.open(Paths(Path("/"), "pve1")), "dns", "acmesh/bare")


def test_any_key_goes_through_and_every_value_is_masked(paths):
    """Also of a key that nobody has heard of: it may be a misspelt credential."""
    values = {"BARE_Token": "s3cr3t-token", "OTHER_Thing": "other-value", "BARE_Tokn": "misspelt"}
    bound = instance_binding.bind(Node.open(paths), Instance("dns", "mine", "bare", values))
    task = FakeTask()
    with pytest.raises(ProviderError) as caught:
        bound.hooks.dns_add(zone="example.com.", records=[RECORD], task=task)
    said = caught.value.message
    assert (
        f"Could not add txt record. (curl: (22) https://bare.example/?key={MASK}&o={MASK})" in said
    )
    assert task.lines == [f"token {MASK} other {MASK}"]
    assert set(bound.secrets) == set(values.values())


def test_what_looks_wrong_is_said_when_it_is_added(paths, tmp_path):
    data = tmp_path / "data"
    data.write_text("export BARE_Tokn='abc' # mine\n")
    command = [sys.executable, "-m", "pvefw", "--root", str(paths.root), "--node", "pve1"]
    add = [*command, "acme", "plugin", "add", "dns", "mine", "--api", "bare", "--data", str(data)]
    done = subprocess.run(add, capture_output=True, text=True, check=True)
    assert f"{data}: BARE_Tokn: 'export' removed, quotes removed, comment removed" in done.stderr
    assert "--raw" in done.stderr
    assert (
        "WARN: plugin instance mine: BARE_Tokn is not a setting that its script mentions "
        "(did you mean BARE_Token?)"
    ) in done.stderr
    shown = [*command, "acme", "plugin", "config", "mine", "--show-secrets"]
    assert "BARE_Tokn" in subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    schema = [*command, "plugin", "show", "dns", "bare", "--json-schema"]
    said = subprocess.run(schema, capture_output=True, text=True, check=True).stdout
    assert '"BARE_Token"' in said
    assert '"required": []' in said
