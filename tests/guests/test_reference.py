"""What a guest is called is written and read in one place."""

import ast
from pathlib import Path

import pytest

import pvefw.guests
from pvefw.guests.reference import Reference


@pytest.mark.parametrize("text", ["101", "libvirt:101", "a-b:100"])
def test_an_id_reads_as_it_is_written(text):
    assert str(Reference.parse(text)) == text


def test_a_sibling_and_a_name_have_the_same_backend():
    one = Reference.parse("libvirt:101")
    assert str(one.sibling(102)) == "libvirt:102"
    assert one.qualify("web") == "libvirt:web"
    assert Reference.parse("101").qualify("web") == "web"


def test_no_other_module_cuts_an_id():
    folder = Path(pvefw.guests.__file__).parent
    cuts = {"partition", "rpartition", "split", "rsplit"}
    for path in folder.glob("*.py"):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        at_colon = [
            call
            for call in calls
            if getattr(call.func, "attr", "") in cuts
            and call.args
            and getattr(call.args[0], "value", "") == ":"
        ]
        assert not at_colon or path.name == "reference.py", f"{path.name} cuts at a colon"
