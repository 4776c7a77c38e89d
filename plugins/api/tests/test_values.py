"""Values of parameters, as a schema limits them, and how pvesh gets them."""

import io
import json
import sys

import pytest

from pvefw.cli.run import run
from pvefw_api.schema import checked

PARTS = {
    "domain": {"default_key": 1, "type": "string"},
    "plugin": {"type": "string", "optional": 1},
}

ALIASES = {
    "enabled": {"type": "boolean", "default_key": 1},
    "new": {"type": "boolean", "optional": True},
    "old": {"alias": "new"},
}
"""A property string, one of whose parts has an older name, as QEMU's agent has."""


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"type": "integer", "minimum": 1}, "0", "value must have a minimum value of 1"),
        ({"type": "integer", "maximum": 64}, "65", "value must have a maximum value of 64"),
        ({"type": "integer"}, "many", "type check .'integer'. failed - got 'many'"),
        ({"maxLength": 3}, "four", "value may only be 3 characters long"),
        ({"pattern": "[a-z]+"}, "A1", "value does not match the regex pattern"),
        ({"enum": ["a", "b"]}, "c", "value 'c' does not have a value in the enumeration 'a, b'"),
        ({"format": PARTS}, "plugin=x", "domain: property is missing and it is not optional"),
        ({"format": PARTS}, "a.example,alias=b", "invalid format - 'alias' is not one of"),
    ],
)
def test_what_does_not_fit_is_said_as_proxmox_ve_says_it(schema, value, said):
    with pytest.raises(ValueError, match=said):
        checked(schema, value)


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 64}, "64", 64),
        ({"type": "number", "maximum": 1}, "0.5", 0.5),
        ({"type": "boolean"}, "on", True),
        ({"format": PARTS}, "a.example,plugin=x", "a.example,plugin=x"),
        ({"format": ALIASES}, "1", "1"),
        ({"format": ALIASES}, "enabled=1,old=no", "enabled=1,old=no"),
    ],
)
def test_what_fits_gets_its_type(schema, value, found):
    assert checked(schema, value) == found


@pytest.fixture
def pvesh(tmp_path, capsys):
    """A verb of pvesh on a node of its own: exit status and what it printed."""

    def call(*words):
        status = run(["--root", str(tmp_path), "--node", "pve1", "api", *words])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wol"], "wol: it is not an option: -KEY VALUE"),
        (["-description"], "description: it has no value"),
        (["-description", "a", "--description=b"], "description: it is given twice"),
        (["-nosuch", "1"], "nosuch: property is not defined in schema"),
    ],
)
def test_parameters_are_options_with_one_value(pvesh, words, said):
    status, printed = pvesh("set", "/nodes/pve1/config", *words)
    assert status == 2
    assert said in printed


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["--noheader"], "version  9.1"),
        (["--noborder", "--noheader", "1"], "version  9.1"),
        (["-noheader=yes", "--noproxy"], "version  9.1"),
        (["--human-readable", "0", "--noborder"], "key      value"),
        (["--quiet"], ""),
        (["--quiet", "--output-format", "json"], ""),
    ],
)
def test_printing_is_as_scripts_want_it(pvesh, words, begins):
    """Every call of Proxmox VE's pvesh has these options."""
    status, said = pvesh("get", "/version", *words)
    assert (status, said[: len(begins)], bool(said)) == (0, begins, bool(begins))


def test_how_to_print_is_said_with_yes_or_no(pvesh):
    status, said = pvesh("get", "/version", "--noheader", "perhaps")
    assert (status, "noheader: type check" in said) == (2, True)


def test_a_parameter_with_an_h_in_it_is_not_help(pvesh):
    bulk = ["create", "/nodes/pve1/migrateall", "-target", "pve2"]
    status, printed = pvesh(*bulk, "-with-local-disks", "1")
    assert (status, "Usage" in printed) == (1, False)
    assert "node pve1 has no guest backend" in printed
    assert "with-local-disks: type check" in pvesh(*bulk, "-with-local-disks=sometimes")[1]


@pytest.mark.parametrize("value", ["-h", "-hush", "--", "-"])
def test_a_value_may_look_like_an_option(pvesh, value):
    config = "/nodes/pve1/config"
    assert pvesh("set", config, f"-description={value}") == (0, "")
    shown = pvesh("get", config, "-output-format", "json")[1]
    assert json.loads(shown)["description"].rstrip() == value


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("{", 2, "stdin: it is not JSON"),
        ("[" * 100_000, 2, "stdin: it is not JSON"),
        ("[]", 2, "stdin: it is not an object of texts, numbers and lists of them"),
        ('{"description": {}}', 2, "stdin: it is not an object of texts, numbers and lists"),
        ('{"description": ["a", {}]}', 2, "stdin: it is not an object of texts, numbers and lists"),
        ('{"description": ["a", "b"]}', 2, "description: it is given twice"),
        ('{"startall-onboot-delay": []}', 2, "startall-onboot-delay: it is not a list"),
        ('{"description": "x", "delete": []}', 0, ""),
        ('{"startall-onboot-delay": 7}', 0, ""),
    ],
)
def test_parameters_come_from_standard_input_too(pvesh, monkeypatch, given, status, said):
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    found, printed = pvesh("set", "/nodes/pve1/config", "--stdin")
    assert (found, said in printed) == (status, True)
    if "delay" in given and status == 0:
        assert "7" in pvesh("get", "/nodes/pve1/config")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["-delete", "wakeonlan,description"],
        ["-delete", "wakeonlan", "--delete=description"],
        ["-delete", "wakeonlan;description", "-delete", "wakeonlan"],
    ],
)
def test_a_list_may_come_in_several_pieces(pvesh, words):
    """Proxmox VE takes ``--vmid 100 --vmid 101`` and ``--vmid 100,101`` wherever a list is wanted."""
    config = "/nodes/pve1/config"
    pvesh("set", config, "-wakeonlan", "02:00:00:00:00:01", "-description", "x")
    assert pvesh("set", config, *words) == (0, "")
    shown = json.loads(pvesh("get", config, "-output-format", "json")[1])
    assert not {"wakeonlan", "description"} & {*shown}


def test_a_list_of_standard_input_may_be_one_of_json(pvesh, monkeypatch):
    config = "/nodes/pve1/config"
    pvesh("set", config, "-wakeonlan", "02:00:00:00:00:01", "-description", "x")
    given = {"delete": ["wakeonlan", "description"]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(given)))
    assert pvesh("set", config, "--stdin") == (0, "")
    shown = json.loads(pvesh("get", config, "-output-format", "json")[1])
    assert not {"wakeonlan", "description"} & {*shown}
