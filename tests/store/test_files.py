"""Files are replaced whole or not at all, and are private from the first byte."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from pvefw.core.errors import DigestMismatch, NotFound, StoreError
from pvefw.host import durable, processes
from pvefw.store import files


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def left_over(directory):
    return [path.name for path in directory.iterdir() if "tmp" in path.name]


def test_replacing_creates_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    files.replace(path, b"one")
    assert (path.read_bytes(), mode(path)) == (b"one", 0o644)
    files.replace(path, b"two", private=True)
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert left_over(path.parent) == []


def test_private_from_the_first_byte(tmp_path, monkeypatch):
    seen = []
    original = os.open

    def watching(path, flags, mode=0o777, **more):
        if flags & os.O_CREAT:
            seen.append((flags & os.O_EXCL, mode))
        return original(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watching)
    previous = os.umask(0)
    try:
        files.replace(tmp_path / "priv" / "key", b"secret", private=True)
    finally:
        os.umask(previous)
    assert seen == [(os.O_EXCL, 0o600)]
    assert mode(tmp_path / "priv") == 0o700


def test_a_directory_is_private_by_its_name_not_by_the_first_file_in_it(tmp_path):
    """Or what others may read beside that file would depend on which came first."""
    files.replace(tmp_path / "var/lib/state", b"secret", private=True)
    files.replace(tmp_path / "etc/priv/acme/name", b"public")
    assert [mode(tmp_path / name) for name in ("var", "var/lib", "etc")] == [0o755] * 3
    assert [mode(tmp_path / name) for name in ("etc/priv", "etc/priv/acme")] == [0o700] * 2


@pytest.mark.parametrize("call", ["fsync", "write", "replace"])
def test_a_failing_call_leaves_the_old_content(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    files.replace(path, b"old")

    def fail(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(os, "replace", fail)
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(os, "fdopen", fail)
    with pytest.raises(StoreError, match="No space left") as caught:
        files.replace(path, b"new")
    assert "full" in caught.value.hint
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    assert left_over(tmp_path) == []


NAMESPACE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]


def can_mount():
    """Not in every container."""
    trial = [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare")
        and subprocess.run(trial, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs a mount of its own")
def test_a_file_system_that_is_really_full(tmp_path):
    program = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from pvefw.core.errors import StoreError
        from pvefw.store import files
        directory = Path(sys.argv[1])
        files.replace(directory / "config", b"old")
        (directory / "ballast").write_bytes(b"x" * 40000)
        try:
            files.replace(directory / "config", b"n" * 200000)
        except StoreError as error:
            print(error, error.hint)
        assert (directory / "config").read_bytes() == b"old"
        assert sorted(os.listdir(directory)) == ["ballast", "config"]
        """
    )
    mounted = tmp_path / "small"
    mounted.mkdir()
    script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, "sh", mounted, sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout


def test_a_file_system_without_chmod_links_or_directory_sync(tmp_path, monkeypatch):
    """As pmxcfs: it refuses what it does not have."""

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod", "link", "symlink"):
        monkeypatch.setattr(os, name, refuse)
    original = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.replace(tmp_path / "file", b"data", private=True)
    files.rename(tmp_path / "file", tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == b"data"
    files.remove(tmp_path / "other")
    assert list(tmp_path.iterdir()) == []


def test_a_symlink_in_the_way_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    monkeypatch.setattr("os.urandom", bytes)
    (tmp_path / f".file.tmp.{processes.mark()}-00000000").symlink_to(victim)
    with pytest.raises(StoreError, match="File exists"):
        files.replace(tmp_path / "file", b"data")
    assert victim.read_bytes() == b"precious"


def test_threads_that_replace_one_file_leave_one_of_their_contents(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([number]) * 20_000 for number in range(4)]
    files.replace(path, contents[0])
    seen = set()

    def write(content):
        for _ in range(25):
            files.replace(path, content)
            seen.add(path.read_bytes())

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, content) for content in contents]:
            done.result()
    assert seen <= set(contents)
    assert left_over(tmp_path) == []


def test_a_failing_sync_of_the_directory_is_told(tmp_path, monkeypatch):
    original = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="Input/output error"):
        files.replace(tmp_path / "file", b"data")


def test_new_directories_are_durable_too(tmp_path, monkeypatch):
    synced = []
    original = durable.sync_handle

    def sync(there):
        synced.append(there.path)
        original(there)

    for module in (durable, files):
        monkeypatch.setattr(module, "sync_handle", sync)
    files.replace(tmp_path / "a" / "b" / "file", b"data")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_reading(tmp_path):
    assert files.read_if_exists(tmp_path / "none") is None
    assert files.read_if_exists(tmp_path / "none" / "deeper") is None
    with pytest.raises(NotFound, match="no such file"):
        files.read(tmp_path / "none")
    with pytest.raises(StoreError, match="could not read"):
        files.read(tmp_path)


def test_digests_are_proxmox_ves(tmp_path):
    assert files.digest(b"") == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    files.check_digest(tmp_path, b"abc", files.digest(b"abc"))
    files.check_digest(tmp_path, b"abc", None)
    with pytest.raises(DigestMismatch, match="changed by somebody else"):
        files.check_digest(tmp_path, b"abc", files.digest(b"abd"))


@pytest.mark.parametrize(
    ("user", "place", "hint"),
    [
        (1000, "etc/pve/x", "as root"),
        (0, "etc/pve/x", "quorum"),
        (0, "var/log/x", "Root is refused"),
    ],
)
def test_without_rights_the_error_says_what_to_do(tmp_path, monkeypatch, user, place, hint):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(StoreError, match="Permission denied") as caught:
        files.replace(tmp_path / place / "file", b"")
    assert hint in caught.value.hint


def test_a_writer_that_is_killed_leaves_one_content_whole(tmp_path):
    """At whatever moment: it writes without pause while it is killed."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from pvefw.store import files
        print("begun", flush=True)
        while True:
            for byte in (b"a", b"b"):
                files.replace(Path(sys.argv[1]), byte * 100_000, private=True)
        """
    )
    path = tmp_path / "file"
    files.replace(path, b"a" * 100_000, private=True)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", program, path], stdout=subprocess.PIPE
        ) as writer:
            writer.stdout.readline()
            seen = path.stat().st_ino
            while path.stat().st_ino == seen:
                pass
            writer.kill()
        assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)
        assert all(mode(file) == 0o600 for file in tmp_path.iterdir())
        files.replace(path, b"a" * 100_000, private=True)


def test_renaming_and_removing_that_fail_say_so(tmp_path):
    with pytest.raises(StoreError, match="could not replace"):
        files.rename(tmp_path / "none", tmp_path / "other")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreError, match="could not remove"):
        files.remove(tmp_path / "directory")
    files.remove(tmp_path / "none")
    files.remove(tmp_path / "none" / "deeper")
