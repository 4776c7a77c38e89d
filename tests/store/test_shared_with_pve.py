"""What Proxmox VE's own tools go on working with: names that follow their instance, keys of accounts."""

import pytest

from pvefw.acme.jws import AccountKey
from pvefw.certs import accounts
from pvefw.core.errors import UsageError
from pvefw.instances import Instance, files
from pvefw.store import files as store_files
from pvefw.store import node_settings
from pvefw.store.accounts import Account
from pvefw.store.node import Node
from pvefw.store.paths import Paths


def put(paths, plugin, old=None):
    with files.changing(paths, "dns") as place:
        place.put(Instance("dns", "web", plugin), old)


def test_the_names_of_an_instance_move_with_it_between_the_files_on_every_node(paths):
    store_files.replace(paths.pve_dns_apis, b'{"ovh": {}}')
    put(paths, "ovh")
    nodes = [paths, Paths(paths.root, "pve2")]
    for node in nodes:
        node_settings.change(node, {"acmedomain0": "a.example,plugin=web"})
        assert b"plugin=web" in node.node_config().read_bytes()
    for plugin, place, gone in (
        ("mine", Paths.node_pvefw_cfg, Paths.node_config),
        ("ovh", Paths.node_config, Paths.node_pvefw_cfg),
    ):
        put(paths, plugin, Instance("dns", "web", "before"))
        for node in nodes:
            assert b"acmedomain0: a.example,plugin=web" in place(node).read_bytes()
            assert not gone(node).exists() or b"acmedomain0" not in gone(node).read_bytes()
            assert [name.name for name in Node.open(node).certificate_names()] == ["a.example"]


def test_an_instance_that_does_not_exist_is_refused(paths):
    with pytest.raises(UsageError, match="there is no plugin instance nobody") as caught:
        node_settings.change(paths, {"acmedomain0": "a.example,plugin=nobody"})
    assert "standalone" in caught.value.hint


def test_where_proxmox_ve_is_installed_new_accounts_have_rsa_keys(paths):
    assert accounts._usual_key_type(paths) == "ec256"
    store_files.replace(paths.below("usr/bin/pmxcfs"), b"")
    assert accounts._usual_key_type(paths) == "rsa4096"


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048"])
def test_a_key_knows_its_type_and_the_accounts_own_copy_follows(key_type):
    key = AccountKey.generate(key_type)
    assert key.key_type == key_type
    old = Account("default", "d", "l", "pem", {"key": {"kty": "old"}, "status": "valid"})
    changed = accounts._with_key(old, key)
    assert changed.account == {"key": key.jwk, "status": "valid"}
    assert changed.key == key.pem
