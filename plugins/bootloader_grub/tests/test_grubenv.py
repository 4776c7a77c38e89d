"""The environment block, against GRUB's own grub-editenv."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvefw.api import ProviderError
from pvefw_bootloader_grub import grubenv

VALUES = st.dictionaries(
    st.from_regex(r"[a-z_]{1,10}", fullmatch=True),
    st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\\"), max_size=30),
    max_size=5,
)


def editenv(path, *arguments):
    done = subprocess.run(
        ["grub-editenv", path, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@given(VALUES)
def test_what_is_written_reads_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("env") / "grubenv"
    grubenv.update(path, values)
    assert path.stat().st_size == 1024
    assert grubenv.read(path) == values


def test_grub_reads_what_we_write_and_we_what_grub_writes(tmp_path):
    path = tmp_path / "grubenv"
    grubenv.update(path, {"next_entry": r"a>b\c", "saved_entry": "it's #1"})
    assert editenv(path, "list") == "next_entry=a>b\\c\nsaved_entry=it's #1\n"
    editenv(path, "set", "next_entry=x=y", r"other=back\slash")
    assert grubenv.read(path) == {
        "next_entry": "x=y",
        "saved_entry": "it's #1",
        "other": r"back\slash",
    }


def test_others_variables_stay(tmp_path):
    path = tmp_path / "grubenv"
    editenv(path, "create")
    editenv(path, "set", "saved_entry=2", "kernelopts=quiet")
    grubenv.update(path, {"next_entry": "1>2"})
    grubenv.update(path, {"next_entry": None})
    assert editenv(path, "list") == "saved_entry=2\nkernelopts=quiet\n"


def test_a_whole_block_is_overwritten_in_place(tmp_path):
    path = tmp_path / "grubenv"
    grubenv.update(path, {"next_entry": "1"})
    before = path.stat().st_ino
    grubenv.update(path, {"next_entry": "2"})
    assert path.stat().st_ino == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 1024,
        b"# GRUB Environment Block\n",
        b"# grub environment block\n".ljust(1024, b"#"),
    ],
    ids=["empty", "zeros", "short", "header"],
)
def test_a_damaged_block_counts_as_none_and_is_made_anew(tmp_path, damage):
    path = tmp_path / "grub" / "grubenv"
    path.parent.mkdir()
    path.write_bytes(damage)
    assert grubenv.read(path) is None
    grubenv.update(path, {"next_entry": "1"})
    assert editenv(path, "list") == "next_entry=1\n"


def test_what_does_not_fit_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "grubenv"
    grubenv.update(path, {"saved_entry": "1"})
    with pytest.raises(ProviderError, match="1024 bytes"):
        grubenv.update(path, {"next_entry": "x" * 1000})
    assert grubenv.read(path) == {"saved_entry": "1"}


def test_a_block_that_cannot_be_read(tmp_path):
    (tmp_path / "grubenv").mkdir()
    with pytest.raises(ProviderError, match="cannot be read"):
        grubenv.read(tmp_path / "grubenv")
