"""Directories that others own: what they put there leads root nowhere else, and changes no mode.

Links are made by another user where that is possible; a link below a web root is followed for nobody.
"""

import os
import stat

import pytest
from privileges import only_root

from pvefw.api import ProviderError, replace_file
from pvefw.boot.esp_files import EspFiles
from pvefw.core.errors import PvefwError, StoreError
from pvefw.host import foreign
from pvefw.store import files, locks
from pvefw.tasks import registry
from pvefw.tasks.task import run_task
from pvefw_acme_standalone.webroot import Webroot

STRANGER = 4711
ANSWER = {"token": "token.thumbprint"}


@pytest.fixture
def precious(tmp_path):
    """A file of root's that nobody else may read or change."""
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_text("secret")
    path.chmod(0o600)
    yield path
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("secret", 0o600)
    assert [file.name for file in path.parent.iterdir()] == ["precious"]


def strangers_link(path, target):
    path.symlink_to(target)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.mark.parametrize("name", [".well-known", ".well-known/acme-challenge"])
def test_a_web_root_with_a_link_in_it_is_refused(tmp_path, precious, name):
    place = tmp_path / "html" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(precious.parent)
    with pytest.raises(ProviderError, match="symbolic link is in the way"):
        Webroot(tmp_path / "html").add(ANSWER)
    with pytest.raises(ProviderError, match="symbolic link is in the way"):
        Webroot(tmp_path / "html").remove(["precious"])


def test_a_link_in_the_place_of_an_answer_is_replaced_and_not_followed(tmp_path, precious):
    place = tmp_path / ".well-known/acme-challenge"
    place.mkdir(parents=True)
    for name in ("token", f".token.{os.getpid()}"):
        (place / name).symlink_to(precious)
    Webroot(tmp_path).add(ANSWER)
    assert (place / "token").read_text() == "token.thumbprint"
    assert not (place / "token").is_symlink()


@pytest.mark.parametrize("token", ["../../precious", "a/b", "..", ""])
def test_a_token_is_a_name_and_no_path(tmp_path, token):
    with pytest.raises(ProviderError, match="no name of a file"):
        Webroot(tmp_path).add({token: "x"})


@only_root("make links that belong to somebody else")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.replace(path, b"x"),
        files.remove,
        lambda path: files.remove_all([path]),
        lambda path: files.rewrite(path, [b"x"]),
        lambda path: replace_file(path, b"x"),
        lambda path: files.replace(path.parent / "new" / "file", b"x"),
    ],
    ids=["replace", "remove", "remove_all", "rewrite", "replace_file", "make_directory"],
)
def test_no_write_goes_through_a_strangers_link(tmp_path, precious, write):
    strangers_link(tmp_path / "link", precious.parent)
    with pytest.raises((OSError, StoreError), match="symbolic link of user 4711 is in the way"):
        write(tmp_path / "link" / "precious")


@only_root("make links that belong to somebody else")
def test_links_of_roots_own_lead_where_they_lead(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/../real")
    files.replace(tmp_path / "link" / "file", b"x")
    assert (tmp_path / "real/file").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["index", ".active.lock"])
@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe"])
def test_a_list_of_tasks_that_is_no_file_of_its_own_is_not_written(paths, precious, name, kind):
    paths.task_dir.mkdir(parents=True)
    place = paths.task_dir / name
    if kind == "symbolic link":
        place.symlink_to(precious)
    elif kind == "hard link":
        os.link(precious, place)
    else:
        os.mkfifo(place)
    with pytest.raises(PvefwError, match="in the way"), run_task(paths, "x"):
        pass


def test_a_log_that_is_a_link_is_not_written(paths, precious):
    place = paths.task_dir / "A" / "log"
    place.parent.mkdir(parents=True)
    place.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link is in the way"):
        foreign.open_file(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


def test_an_esp_with_a_link_in_it_is_not_written_through_it(tmp_path, precious):
    from pathlib import PurePosixPath

    root = tmp_path / "esp"
    root.mkdir()
    (root / "EFI").symlink_to(precious.parent)
    target = PurePosixPath("EFI/precious")
    esp = EspFiles(root)
    for call in (
        lambda: esp.create(target, [b"x"]),
        lambda: esp.remove(target),
        lambda: esp.read(target),
        lambda: esp.make_directory(PurePosixPath("EFI/new")),
        lambda: esp.put_in_place(target),
    ):
        with pytest.raises(OSError, match="symbolic link is in the way"):
            call()


NOBODYS = pytest.param(0o777, marks=only_root("writes into directories that nobody may enter"))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, NOBODYS])
def test_modes_are_what_was_meant_whatever_the_umask(tmp_path, umask):
    """Of a plugin's, too: it is one for the whole process."""
    before = os.umask(umask)
    try:
        files.replace(tmp_path / "open/file", b"x")
        files.replace(tmp_path / "open/key", b"x", private=True)
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE((tmp_path / "open" / name).stat().st_mode) for name in ("", "file", "key")
    ]
    assert modes == [0o755, 0o644, 0o600]


def test_locks_are_where_only_their_owner_writes(paths):
    with locks.local_lock(paths, "x"):
        assert stat.S_IMODE(paths.local_locks.stat().st_mode) == 0o700
    assert not paths.local_locks.is_relative_to(paths.below("run/lock"))


def test_a_lock_of_the_task_list_that_is_kept_is_named_with_its_keeper(paths, monkeypatch):
    monkeypatch.setattr(registry, "_PATIENCE", 0.2)
    with (
        registry.locked(paths),
        pytest.raises(PvefwError, match=f"task list: process {os.getpid()} .* has locked this"),
        registry.locked(paths),
    ):
        pass
