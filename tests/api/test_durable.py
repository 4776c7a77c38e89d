"""Files that plugins write: the old content or the new one, on FAT, too."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pvefw.api import remove_file, replace_file
from pvefw.host import durable


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_comes_with_its_directories(tmp_path):
    replace_file(tmp_path / "a/b/file", b"data")
    assert (tmp_path / "a/b/file").read_bytes() == b"data"
    assert mode(tmp_path / "a/b/file") == 0o644


def test_the_mode_stays_unless_another_is_wanted(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    replace_file(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o640)
    replace_file(path, b"newer", mode=0o600)
    assert (path.read_bytes(), mode(path)) == (b"newer", 0o600)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_what_a_killed_one_has_left_is_not_in_the_way_and_not_followed(tmp_path):
    path = tmp_path / "file"
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    durable.unfinished(path).symlink_to(victim)
    replace_file(path, b"new")
    assert (path.read_bytes(), victim.read_bytes()) == (b"new", b"precious")
    assert names(tmp_path) == ["file", "victim"]


def test_killed_at_any_step_a_reader_sees_one_of_the_two(tmp_path):
    """By system call: each that changes something is the last one that a process makes."""
    path = tmp_path / "file"
    seen = set()
    for last in range(1, 100):
        path.write_bytes(b"old")
        child = f"""
import os, sys
from pathlib import Path
from pvefw.host.durable import replace_file
count = 0
def watch(event, arguments):
    global count
    if event in ("open", "os.rename", "os.remove", "os.mkdir"):
        count += 1
        if count == {last}:
            os._exit(9)
sys.addaudithook(watch)
replace_file(Path({str(path)!r}), b"new")
"""
        done = subprocess.run([sys.executable, "-c", child], check=False)
        seen.add(path.read_bytes())
        if done.returncode == 0:
            break
        assert done.returncode == 9
    else:
        pytest.fail("it never came to its end")
    assert last > 3
    assert seen == {b"old", b"new"}
    assert names(tmp_path) == ["file"]


def test_the_old_file_is_open_until_the_new_name_is_on_the_disk(tmp_path, monkeypatch):
    """Or FAT could give its clusters away first."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    inode = path.stat().st_ino
    still_open = []
    sync = durable.sync_handle

    def watched(directory):
        opened = [file.stat() for file in Path("/proc/self/fd").iterdir() if file.exists()]
        still_open.append(inode in {status.st_ino for status in opened})
        sync(directory)

    monkeypatch.setattr(durable, "sync_handle", watched)
    replace_file(path, b"new")
    assert still_open == [True]


def test_removing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in ("file", "file", "none/file"):
        remove_file(tmp_path / path)
    assert names(tmp_path) == []
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        remove_file(tmp_path / "folder")
