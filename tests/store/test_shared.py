"""Files below /etc/pve are kept in a store: what all nodes can rely on, and what they do without it."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from certificates import self_signed
from cryptography.fernet import Fernet

from pvefw.certs import install
from pvefw.cli.run import run
from pvefw.core.errors import ConfigError, DigestMismatch, Locked, NoQuorum, StoreError
from pvefw.core.model import StoreLock
from pvefw.host import foreign
from pvefw.store import (
    accounts,
    files,
    joining,
    last_copy,
    locks,
    node_settings,
    nodes,
    oddities,
    rehearsal,
    revocations,
    shared,
    shared_leases,
)
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.revocations import Revocation


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch):
    """Look before every read: what a second allows, these tests have no time for."""
    monkeypatch.setattr(shared, "_FRESH", 0.0)


@pytest.fixture
def there(tmp_path):
    """The directory that is the store."""
    found = tmp_path / "store"
    found.mkdir()
    return found


@pytest.fixture
def node(tmp_path, there):
    """Makes nodes that share it."""

    def make(name, more=""):
        found = Paths(tmp_path / name, name)
        found.store_cfg.parent.mkdir(parents=True)
        found.store_cfg.write_text(f"store: directory\npath: {there}\n{more}")
        return found

    return make


@pytest.fixture
def first(node):
    return node("pve1")


@pytest.fixture
def second(node):
    return node("pve2")


def keys(there):
    top = there / "files"
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def gone(there):
    there.rename(there.with_name("away"))


def back(there):
    there.with_name("away").rename(there)
    shared._OPEN.clear()


# --- changes ----------------------------------------------------------------------------------------


def test_what_one_node_sets_all_have(first, second):
    node_settings.change(first, {"ballooning-target": "70"})
    assert Node.open(second).neighbour("pve1").get("ballooning-target") == "70"
    assert nodes.names(second) == ["pve1"]
    assert second.node_config("pve1").stat().st_mode & 0o777 == 0o600


def test_what_one_node_removes_nobody_has(first, second):
    files.replace(first.cluster_pvefw_cfg, b"x")
    assert files.exists(second.cluster_pvefw_cfg)
    files.remove(second.cluster_pvefw_cfg)
    assert files.read_if_exists(first.cluster_pvefw_cfg) is None


def test_a_file_that_is_renamed_is_renamed_everywhere(first, second):
    files.replace(accounts.path(first, "old"), b"{}", private=True)
    accounts.retire(first, "old")
    assert accounts.names(second) == []
    [left] = list(second.acme_dir.iterdir())
    assert left.read_bytes() == b"{}"
    assert left.stat().st_mode & 0o777 == 0o600


def test_a_change_is_made_from_what_was_read_or_not_at_all(first, second):
    files.replace(first.cluster_pvefw_cfg, b"1")
    assert files.read(first.cluster_pvefw_cfg) == b"1"
    files.replace(second.cluster_pvefw_cfg, b"2")
    with pytest.raises(DigestMismatch, match="another process or node has changed the file"):
        files.replace(first.cluster_pvefw_cfg, b"late")
    with pytest.raises(DigestMismatch):
        files.remove(first.cluster_pvefw_cfg)
    assert files.read(first.cluster_pvefw_cfg) == b"2"
    files.replace(first.cluster_pvefw_cfg, b"3")
    assert files.read(second.cluster_pvefw_cfg) == b"3"


def test_what_another_process_has_fetched_meanwhile_is_not_taken_for_read(first, second):
    files.replace(first.cluster_pvefw_cfg, b"1")
    files.read(first.cluster_pvefw_cfg)
    files.replace(second.cluster_pvefw_cfg, b"2")
    shared.of(first.etc_pve).look(now=True)  # as a process of this node does, and we do not read
    with pytest.raises(DigestMismatch):
        files.replace(first.cluster_pvefw_cfg, b"late")
    assert files.read(second.cluster_pvefw_cfg) == b"2"


def test_a_change_that_was_done_and_not_noted_counts_as_done(first, second, monkeypatch):
    """Whoever is killed between the store and the disk."""
    files.replace(first.cluster_pvefw_cfg, b"1")
    with monkeypatch.context() as patched:
        patched.setattr(last_copy.LastCopy, "turn", lambda _self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.replace(first.cluster_pvefw_cfg, b"2")
    assert first.cluster_pvefw_cfg.read_bytes() == b"1"
    files.replace(first.cluster_pvefw_cfg, b"2")
    assert files.read(second.cluster_pvefw_cfg) == b"2"


def test_what_one_node_alone_needs_is_not_shared(first, there):
    key = first.proxy_key
    for path in (
        key.with_name(f"{key.name}.pvefw-order"),
        key.with_name(f"{key.name}.pvefw-new"),
        first.acme_dir / ".default.new-key",
        first.renewal_state,
    ):
        files.replace(path, b"mine", private=True)
        assert files.read(path) == b"mine"
        files.remove(path)
    with locks.cluster_lock(first, "thing"):
        assert not first.cluster_locks.exists()
    assert keys(there) == set()


def test_a_rehearsal_changes_nothing_in_the_store(first, there):
    with rehearsal.watching(dry=True) as watch:
        node_settings.change(first, {"ballooning-target": "70"})
    assert watch.changed
    assert keys(there) == set()


def test_who_changes_a_file_by_hand_gets_it_back_and_the_store_counts(first, second):
    files.replace(first.cluster_pvefw_cfg, b"1")
    first.cluster_pvefw_cfg.write_bytes(b"by hand")
    said = []
    with oddities.listening(said.append):
        assert files.read(first.cluster_pvefw_cfg) == b"1"
    [warning] = said
    assert "it was changed on this node alone" in warning
    kept = shared.of(first.etc_pve).copy.kept("pvefw.cfg")
    assert kept.read_bytes() == b"by hand"
    assert str(kept) in warning
    assert files.read(second.cluster_pvefw_cfg) == b"1"


def test_a_damaged_index_is_made_again(first):
    files.replace(first.cluster_pvefw_cfg, b"1")
    (first.store_copy / "index.json").write_text("{[")
    assert files.read(first.cluster_pvefw_cfg) == b"1"
    files.replace(first.cluster_pvefw_cfg, b"2")
    assert set(json.loads((first.store_copy / "index.json").read_text())) == {"pvefw.cfg"}


# --- a pair -----------------------------------------------------------------------------------------


class Log:
    cancelled = False

    def log(self, _line):
        pass

    warn = log


def pair_of(paths):
    return install.Pair("services", paths.proxy_certificate, paths.proxy_key)


def put(paths, name):
    found = self_signed(name)
    certificate, key = found
    install.replace_pair(paths, pair_of(paths), certificate, key, Log())
    return certificate, key


def on_disk(paths):
    return paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()


@pytest.mark.parametrize("interrupted", [1, 2], ids=["the key", "the certificate"])
def test_an_interrupted_installation_is_ended_and_no_look_mixes_the_pair(
    first, second, monkeypatch, interrupted
):
    old = put(first, "a.example")
    turn, calls = last_copy.LastCopy.turn, iter(range(1, 99))

    def killed(copy):
        if next(calls) == interrupted:
            raise KeyboardInterrupt
        return turn(copy)

    with monkeypatch.context() as patched:
        patched.setattr(shared, "_FRESH", 3600.0)  # only the two renames write to the copy
        shared.of(first.etc_pve).look(now=True)
        patched.setattr(last_copy.LastCopy, "turn", killed)
        patched.setattr(install, "_put_back", lambda *_: None)
        patched.setattr(install, "_take_back", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            put(first, "b.example")
    before = on_disk(first)
    shared._OPEN.clear()
    shared.of(first.etc_pve).look(now=True)
    assert on_disk(first) == before
    if interrupted == 1:
        assert before == old
    install.recover(first)
    new = on_disk(first)
    assert new[0] != old[0]
    assert new[1] != old[1]
    names = ("pveproxy-ssl.pem", "pveproxy-ssl.key")
    assert tuple(files.read(second.node_dir("pve1") / name) for name in names) == new
    assert second.node_dir("pve1").joinpath(names[0]).stat().st_mode & 0o777 == 0o644
    assert second.node_dir("pve1").joinpath(names[1]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("interrupted", ["pveproxy-ssl.key", "pveproxy-ssl.pem"])
def test_an_installation_that_is_cancelled_is_taken_back_everywhere(
    first, second, monkeypatch, interrupted
):
    """Also right after a file was replaced, when the index does not know of it yet."""
    monkeypatch.setattr(shared, "_FRESH", 3600.0)
    old = put(first, "a.example")
    rename, left = foreign.Directory.rename, [interrupted]

    def cancelled(directory, source, target, *more):
        rename(directory, source, target, *more)
        if target in left:
            left.remove(target)
            raise KeyboardInterrupt

    monkeypatch.setattr(foreign.Directory, "rename", cancelled)
    with pytest.raises(KeyboardInterrupt):
        put(first, "b.example")
    assert on_disk(first) == old
    names = ("pveproxy-ssl.pem", "pveproxy-ssl.key")
    assert tuple(files.read(second.node_dir("pve1") / name) for name in names) == old
    put(first, "c.example")


# --- without the store ------------------------------------------------------------------------------


def test_without_the_store_reading_goes_on_and_says_once_how_old_the_copy_is(first, there):
    node_settings.change(first, {"ballooning-target": "70"})
    then = datetime.now(UTC) - timedelta(hours=3, minutes=5)
    os.utime(first.store_copy / "index.json", (then.timestamp(), then.timestamp()))
    gone(there)
    said = []
    with oddities.listening(said.append):
        assert Node.open(first).get("ballooning-target") == "70"
        assert Node.open(first).get("ballooning-target") == "70"
    [warning] = said
    assert "the store cannot be asked" in warning
    assert f"the copy of {then:%Y-%m-%d %H:%M} UTC, 3 h 5 min old" in warning
    back(there)
    with oddities.listening(said.append):
        assert Node.open(first).get("ballooning-target") == "70"
    assert said == [warning]


@pytest.mark.parametrize(
    "change",
    [
        lambda paths: files.replace(paths.node_config(), b"keep-me: 1"),
        lambda paths: files.remove(paths.node_config()),
        lambda paths: files.rename(paths.node_config(), paths.datacenter_cfg),
        lambda paths: files.check_writable(paths.node_dir()),
        lambda paths: node_settings.change(paths, {"ballooning-target": "80"}),
        lambda paths: locks.cluster_lock(paths, "any").__enter__(),
        lambda paths: put(paths, "c.example"),
    ],
)
def test_without_the_store_changes_are_refused_with_the_reason(first, there, change):
    node_settings.change(first, {"ballooning-target": "70"})
    put(first, "a.example")
    before = {path: path.read_bytes() for path in first.etc_pve.rglob("*") if path.is_file()}
    gone(there)
    with pytest.raises(NoQuorum, match="the store cannot be asked: directory: "):
        change(first)
    assert {
        path: path.read_bytes() for path in first.etc_pve.rglob("*") if path.is_file()
    } == before


def test_without_store_and_copy_nothing_is_configured_and_nobody_is_told_so(first, there):
    gone(there)
    for path in (first.node_config(), first.node_pvefw_cfg()):  # the second is not asked for anew
        with pytest.raises(StoreError, match="the store cannot be asked") as caught:
            files.read_if_exists(path)
        assert str(first.store_cfg) in caught.value.hint, "not what to do about etcd"


def test_a_renewal_without_store_and_copy_fails_and_says_so(first, there, capsys):
    gone(there)
    assert run(["--root", str(first.root), "--node", "pve1", "renew"]) == 1
    assert "the store cannot be asked" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it names no store"),
        ("store: none\n", "there is no store plugin named none"),
        ("store: directory\n", "path"),
        ("store: directory\npath: THERE\nencryption-key: short\n", "not a Fernet key"),
    ],
)
def test_a_store_that_is_not_configured_well_says_so(first, there, text, why):
    first.store_cfg.write_text(text.replace("THERE", str(there)))
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{first.store_cfg}: .*{why}") as caught:
            if "encryption" in text:
                node_settings.change(first, {"ballooning-target": "70"})
            files.read_if_exists(first.node_config())
        assert caught.value.hint
        assert "etcd, on its members" not in caught.value.hint


def test_a_byte_order_mark_does_not_hide_the_store(first):
    first.store_cfg.write_bytes(b"\xef\xbb\xbf" + first.store_cfg.read_bytes())
    node_settings.change(first, {"ballooning-target": "70"})
    assert Node.open(first).get("ballooning-target") == "70"


def test_a_node_of_proxmox_ves_needs_no_store(first):
    first.etc_pve.mkdir()
    (first.etc_pve / ".version").touch()
    with pytest.raises(StoreError, match="the cluster file system is mounted here"):
        files.read_if_exists(first.node_config())


# --- locks ------------------------------------------------------------------------------------------


def test_who_waits_learns_for_whom(first, second):
    with (
        locks.cluster_lock(first, "thing"),
        pytest.raises(Locked, match=f"node pve1 .process {os.getpid()}, since 2"),
        locks.cluster_lock(second, "thing", timeout=0.1),
    ):
        pass
    with locks.cluster_lock(second, "thing"):
        pass


def test_who_takes_a_lock_has_what_was_written_under_it(first, second):
    for paths, text in ((first, b"1"), (second, b"12"), (first, b"123")):
        with locks.cluster_lock(paths, "thing"):
            assert (files.read_if_exists(paths.datacenter_cfg) or b"") == text[:-1]
            files.replace(paths.datacenter_cfg, text)


@pytest.mark.parametrize("taken", [False, True], ids=["nobody has it", "the next one has it"])
def test_who_lost_a_lock_writes_nothing(first, second, there, taken):
    files.replace(first.cluster_pvefw_cfg, b"before")
    with locks.cluster_lock(first, "thing"):
        files.replace(first.cluster_pvefw_cfg, b"ours")
        shutil.rmtree(there / "locks/thing")
        hooks = shared.of(second.etc_pve).hooks
        if taken:
            assert hooks.store_lock(name="thing", holder="pve2", seconds=60).token
        with pytest.raises(Locked, match="slept for longer than its lock lasts"):
            files.replace(first.cluster_pvefw_cfg, b"late")
        with pytest.raises(Locked, match="slept for longer"):
            files.check_writable(first.node_dir())
    assert files.read(second.cluster_pvefw_cfg) == b"ours"
    assert (there / "locks/thing").exists() is taken


def test_a_lock_is_renewed_for_as_long_as_it_is_held(first, second, there, monkeypatch):
    monkeypatch.setattr(shared_leases, "SECONDS", 1.0)
    with locks.cluster_lock(first, "thing"):
        note = there / "locks/thing/holder"
        seen = {note.stat().st_mtime_ns}
        while len(seen) < 3:
            with suppress(FileNotFoundError):
                seen.add(note.stat().st_mtime_ns)
    assert all(later > earlier for earlier, later in pairwise(sorted(seen)))
    hooks = shared.of(second.etc_pve).hooks
    assert hooks.store_lock(name="thing", holder="", seconds=60).token


HOLDER = """
import os, signal, sys
from pathlib import Path
from pvefw.store import locks
from pvefw.store.paths import Paths
with locks.cluster_lock(Paths(Path(sys.argv[1]), "pve1"), "thing"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_of_a_killed_process_is_free_for_its_node_at_once(first, second):
    subprocess.run([sys.executable, "-c", HOLDER, str(first.root)], check=False)
    with (
        pytest.raises(Locked, match="node pve1"),
        locks.cluster_lock(second, "thing", timeout=0),
    ):
        pass
    with locks.cluster_lock(first, "thing", timeout=0):
        pass


def test_a_lock_is_free_after_its_time(second, there):
    hooks = shared.of(second.etc_pve).hooks
    assert hooks.store_lock(name="thing", holder="", seconds=0.2).token
    with locks.cluster_lock(second, "thing"):
        pass


# --- secrets ----------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path):
    found = tmp_path / "store.key"
    found.write_bytes(Fernet.generate_key() + b"\n")
    return found


def test_nothing_leaves_the_node_in_the_clear(node, there, key):
    mine, other = (node(name, f"encryption-key: file:{key}\n") for name in ("pve1", "pve2"))
    files.replace(mine.plugins_cfg, b"password=secret-word", private=True)
    assert files.read(other.plugins_cfg) == b"password=secret-word"
    everything = b"".join(path.read_bytes() for path in there.rglob("*") if path.is_file())
    assert b"secret-word" not in everything
    assert b"plugins" not in everything


def test_a_value_in_the_place_of_another_is_refused(node, there, key):
    mine, other = (node(name, f"encryption-key: file:{key}\n") for name in ("pve1", "pve2"))
    files.replace(mine.plugins_cfg, b"a", private=True)
    files.replace(mine.datacenter_cfg, b"b")
    shutil.copy(there / "files/datacenter.cfg", there / "files/priv/acme/plugins.cfg")
    with pytest.raises(StoreError, match="the value of another key"):
        files.read(other.plugins_cfg)


def test_another_key_is_named_as_the_reason(node, key, tmp_path):
    sealed = node("pve1", f"encryption-key: file:{key}\n")
    files.replace(sealed.datacenter_cfg, b"b")
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(Fernet.generate_key())
    other = node("pve2", f"encryption-key: file:{wrong}\n")
    with pytest.raises(StoreError, match="not encrypted with this node's key"):
        files.read(other.datacenter_cfg)
    wrong.write_bytes(wrong.read_bytes() + b"\n" + key.read_bytes())  # while one replaces the other
    shared._OPEN.clear()
    assert files.read(other.datacenter_cfg) == b"b"
    wrong.write_text("no key")
    shared._OPEN.clear()
    files.replace(sealed.datacenter_cfg, b"c")
    with oddities.listening((said := []).append):
        assert files.read(other.datacenter_cfg) == b"b"
    assert "this is not a Fernet key" in said[0]


# --- joining ----------------------------------------------------------------------------------------


def test_a_node_that_joins_brings_what_only_it_has(first, second, capsys):
    files.replace(first.datacenter_cfg, b"theirs")
    second.node_dir().mkdir(parents=True)
    second.proxy_certificate.write_bytes(b"own")
    second.datacenter_cfg.write_bytes(b"mine")
    assert run(["--root", str(second.root), "--node", "pve2", "store", "join"]) == 0
    said = capsys.readouterr()
    assert f"Added {second.proxy_certificate}" in said.out
    assert f"Added {second.node_config()}" in said.out
    assert "it was changed on this node alone" in said.err
    assert second.datacenter_cfg.read_bytes() == b"theirs"
    assert shared.of(second.etc_pve).copy.kept("datacenter.cfg").read_bytes() == b"mine"
    assert nodes.names(first) == ["pve2"]
    assert files.read(first.node_dir("pve2") / "pveproxy-ssl.pem") == b"own"
    assert joining.join(second) == []
    second.below("usr/lib/systemd").mkdir(parents=True)
    second.below("usr/lib/systemd/systemd").touch()
    assert run(["--root", str(second.root), "--node", "pve2", "store", "join"]) == 0
    unit = second.below("etc/systemd/system/pvefw-store.service")
    assert f"Wrote {unit}\n" in capsys.readouterr().out
    assert " store watch\n" in unit.read_text()


def test_without_a_store_there_is_nothing_to_join(paths):
    with pytest.raises(ConfigError, match="this node shares nothing"):
        joining.join(paths)


def test_changes_of_many_threads_are_all_there(first, second, monkeypatch):
    """Under one lock, on two nodes."""
    from concurrent.futures import ThreadPoolExecutor

    now = datetime.now(UTC)

    def add(number):
        paths = (first, second)[number % 2]
        revocation = Revocation(f"{number:x}", "CN=x", paths.node, now, now + timedelta(days=1))
        revocations.add(paths, revocation, now)

    monkeypatch.setattr(revocations.locks, "_LONGEST_RETRY", 0.05)
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(add, number) for number in range(12)]:
            done.result()
    for paths in (first, second):
        assert {revocation.serial for revocation in revocations.load(paths)} == {
            f"{n:x}" for n in range(12)
        }


def test_a_token_that_was_left_is_given_back_only_if_it_is_the_locks(first):
    hooks = shared.of(first.etc_pve).hooks
    mine = hooks.store_lock(name="thing", holder="", seconds=60)
    lease = shared_leases.SharedLease(shared.of(first.etc_pve), "thing", "pve1", lambda _: None)
    lease.remove_left_behind("another")
    assert hooks.store_renew(lock=mine)
    lease.remove_left_behind(mine.token)
    assert not hooks.store_renew(lock=StoreLock("thing", "", mine.token))
