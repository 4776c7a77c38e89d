"""What a guest is called is written and read in one place, and is no text in between."""

import ast
from pathlib import Path

import pytest

import pvefw.guests
from pvefw.store import drained, guest_notes
from pvefw.store.drained import Drained
from pvefw.store.guest_reference import Reference

MODULES = sorted(Path(pvefw.guests.__file__).parent.glob("*.py"))
CUTS = {"partition", "rpartition", "split", "rsplit"}
IDS = {"id", "id_", "ids", "after", "also", "needs"}


@pytest.mark.parametrize("text", ["101", "libvirt:101", "a-b:100"])
def test_an_id_reads_as_it_is_written(text):
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize("text", ["", "web", "libvirt:", "libvirt:web"])
def test_a_name_is_no_id(text):
    with pytest.raises(ValueError, match="invalid literal"):
        Reference.parse(text)


def test_a_sibling_and_a_name_have_the_same_backend():
    guest = Reference.parse("libvirt:101")
    assert guest.sibling(102) == Reference(102, "libvirt")
    assert guest.qualify("web") == "libvirt:web"
    assert Reference.parse("101").qualify("web") == "web"


def test_guests_are_in_the_order_of_their_numbers():
    texts = ["b:100", "1000", "a:999", "a:100"]
    assert [str(guest) for guest in sorted(map(Reference.parse, texts))] == [
        "a:100",
        "b:100",
        "a:999",
        "1000",
    ]


def test_notes_are_text_in_their_files_alone(paths):
    guests = {Reference(100), Reference(101, "libvirt")}
    guest_notes.note_started(paths, guests, all_=True)
    assert guest_notes.started(paths) == guests
    guest_notes.note_suspended(paths, guests)
    paths.suspended_guests.write_text('["100", "libvirt:101", "web", 102, null]')
    assert guest_notes.suspended(paths) == guests | {Reference(102)}
    drained.write(paths, Drained("", dict.fromkeys(guests, "pve2")))
    assert set(drained.read(paths).guests) == guests
    assert '"libvirt:101": "pve2"' in paths.drained().read_text()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_cuts_an_id_or_carries_it_as_text(path):
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=[ast.Constant(value=":"), *_]):
                assert name not in CUTS, f"line {node.lineno} cuts at a colon"
            case (
                ast.arg(arg=name, annotation=type_)
                | ast.AnnAssign(target=ast.Name(id=name), annotation=type_)
                | ast.FunctionDef(name=name, returns=type_)
            ) if type_ is not None and name in IDS:
                words = {part.id for part in ast.walk(type_) if isinstance(part, ast.Name)}
                assert "str" not in words, f"line {node.lineno}: {name} is text"
