"""Checked against Proxmox VE's own parser: what it reads, and the values it takes.

``data/pve-node-config.json`` was made by running it. Its texts are bytes, read as Latin-1; ours are UTF-8
where the bytes are.
"""

import base64
import json
from pathlib import Path

import pytest

from pvefw.core.errors import ConfigError, PvefwError
from pvefw.store import files, node_settings, oddities, properties
from pvefw.store.node import Node

REFERENCE = json.loads((Path(__file__).parent / "data/pve-node-config.json").read_text())
FILES, VALUES = REFERENCE["files"], REFERENCE["values"]


def begin(paths, instances):
    """The plugin instances that Proxmox VE knew."""
    text = "".join(f"dns: {id_}\n\tapi ovh\n\n" for id_ in instances if id_ != "standalone")
    files.replace(paths.plugins_cfg, text.encode(), private=True)


def same_bytes(ours, theirs):
    """Whether both stand for the same bytes of the file."""
    return theirs.encode("latin-1") in (ours.encode(), ours.encode("latin-1", "replace"))


@pytest.mark.parametrize("row", FILES, ids=[row["name"] for row in FILES])
def test_a_file_is_read_as_proxmox_ve_reads_it(paths, row):
    begin(paths, row["instances"])
    files.replace(paths.node_config(), base64.b64decode(row["file_base64"]))
    heard = []
    with oddities.listening(heard.append):
        node = Node.open(paths)
        found = dict(node.properties)
    expected = dict(row["read"])
    assert found.pop("description", "") == expected.pop("description", "")
    ours = {key.encode(): value for key, value in found.items()}
    theirs = {key.encode("latin-1"): value for key, value in expected.items()}
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert same_bytes(ours[key], value), key
    assert len(heard) == row["warnings"]
    for warning in heard:
        assert warning.startswith(f"{paths.node_config()}:"), warning


@pytest.mark.parametrize("row", FILES, ids=[row["name"] for row in FILES])
def test_the_names_of_the_certificate_are_those_of_proxmox_ve(paths, row):
    begin(paths, row["instances"])
    files.replace(paths.node_config(), base64.b64decode(row["file_base64"]))
    node = Node.open(paths)
    if row["acme_refused"]:
        with pytest.raises(ConfigError):
            names = node.certificate_names()
            known = node.instance_ids(paths.plugins_cfg)
            if any(name.plugin not in known for name in names):
                raise ConfigError("refused by the order: an instance that does not exist")
        return
    assert node.account == row["acme"]["account"]
    ours = {name.name: name for name in node.certificate_names()}
    theirs = row["acme"].get("domains") or {}
    beyond = {value.name for value in ours.values() if value.where not in PVE_KEYS}
    assert set(ours) - beyond == set(theirs)
    for name, entry in theirs.items():
        assert ours[name].plugin == entry["plugin"]
        assert ours[name].where == entry["_configkey"]
        assert ours[name].alias == entry.get("alias", "").lower()


PVE_KEYS = {"acme", *(f"acmedomain{number}" for number in range(6))}


@pytest.mark.parametrize("row", FILES, ids=[row["name"] for row in FILES])
def test_what_is_not_changed_keeps_its_bytes(paths, row):
    begin(paths, row["instances"])
    data = base64.b64decode(row["file_base64"])
    files.replace(paths.node_config(), data)
    node_settings.change(paths, {"key-type": "ec384"})  # in our own file
    assert paths.node_config().read_bytes() == data
    node_settings.change(paths, {"startall-onboot-delay": "7"})
    after = paths.node_config().read_bytes()
    assert b"startall-onboot-delay: 7" in after

    def others(text):
        lines = (line for line in text.split(b"\n") if b"startall-onboot-delay:" not in line)
        return [line for line in lines if line]

    assert others(after) == others(data)


@pytest.mark.parametrize("row", VALUES, ids=[f"{row['property']}={row['value']}" for row in VALUES])
def test_what_is_set_can_be_read_by_proxmox_ve(paths, row):
    """What it takes goes into its file as it writes it; what it does not take is never there as typed."""
    begin(paths, row["instances"])
    key, value = row["property"], row["value"]
    if row["accepted"]:
        node_settings.change(paths, {key: value, "key-type": "ec384"})
        there = paths.node_config().read_bytes() if paths.node_config().exists() else b""
        assert there == base64.b64decode(row["file_base64"])
        return
    try:
        node_settings.change(paths, {key: value})
    except PvefwError as error:
        refused = error
    else:
        refused = None
    there = paths.node_config().read_text() if paths.node_config().exists() else ""
    assert f"{key}: {value}\n" not in there
    if refused:
        assert refused.hint
        assert not there
    elif there:
        assert properties.find(key).pve(there.partition(": ")[2].strip())
    else:
        assert Node.open(paths).get(key)
