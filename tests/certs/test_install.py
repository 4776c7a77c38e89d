"""A pair is replaced as one, whatever interrupts it."""

import stat
from pathlib import Path

import pytest
from certificates import NOW, own, self_signed

from pvefw.certs import install, keys
from pvefw.core.errors import CertificateError, StoreError
from pvefw.store import files
from pvefw.store.paths import Paths


class Stopped(BaseException):
    """The process is gone: nothing after this runs in it."""


class Machine:
    """Counts every change to the file system, and loses power before the n-th one."""

    def __init__(self, monkeypatch):
        self.changes = 0
        self.stop_before = None
        self.fail_at = None
        for name in ("replace", "rename", "remove"):
            monkeypatch.setattr(files, name, self.watched(getattr(files, name)))

    def watched(self, function):
        def change(*args, **kwargs):
            if self.stop_before is not None and self.changes >= self.stop_before:
                raise Stopped
            self.changes += 1
            if self.changes == self.fail_at:
                raise StoreError("no space left on device")
            return function(*args, **kwargs)

        return change


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def pair(paths: Paths) -> tuple[bytes, bytes]:
    return paths.proxy_certificate.read_bytes(), paths.proxy_key.read_bytes()


def matches(paths: Paths) -> bool:
    from pvefw.certs import chain

    certificate, key = pair(paths)
    try:
        chain.check_pair(certificate, key, "pair", NOW)
    except CertificateError:
        return False
    return True


def strays(paths: Paths) -> list[Path]:
    return [
        path for path in paths.node_dir().iterdir() if "pvefw" in path.name or "tmp" in path.name
    ]


def test_a_pair_is_installed_and_private(paths, task):
    certificate, key = self_signed()
    event = install.install_pair(own(paths), certificate, key, task, NOW)
    assert pair(paths) == (certificate, key)
    assert stat.S_IMODE(paths.proxy_key.stat().st_mode) == 0o600
    assert event.names == ["pve1.example"]
    assert not strays(paths)
    assert not paths.install_intent.exists()


def test_the_pair_matches_after_a_stop_before_every_change(paths, task, machine):
    old, new = self_signed(), self_signed()
    install.install_pair(own(paths), *old, task, NOW)
    machine.changes = 0
    install.install_pair(own(paths), *new, task, NOW)
    steps = machine.changes
    mixed = []
    for step in range(steps):
        machine.stop_before = None
        install.install_pair(own(paths), *old, task, NOW)
        machine.changes, machine.stop_before = 0, step
        with pytest.raises(Stopped):
            install.install_pair(own(paths), *new, task, NOW)
        machine.stop_before = None
        if not matches(paths):
            mixed.append(step)
            assert paths.install_intent.exists()
        install.recover(paths)
        assert pair(paths) in (old, new), f"stopped before change {step}"
        assert not paths.install_intent.exists()
    assert steps >= 6
    assert len(mixed) == 1, "only between the two renames may the pair be mixed"


def test_a_stop_during_the_recovery_is_recovered_too(paths, task, machine):
    old, new = self_signed(), self_signed()
    install.install_pair(own(paths), *old, task, NOW)
    for step in range(3, 6):
        machine.changes, machine.stop_before = 0, step
        with pytest.raises(Stopped):
            install.install_pair(own(paths), *new, task, NOW)
        for again in range(4):
            machine.changes, machine.stop_before = 0, again
            try:
                install.recover(paths)
            except Stopped:
                continue
        machine.stop_before = None
        install.recover(paths)
        assert pair(paths) in (old, new)
        install.install_pair(own(paths), *old, task, NOW)


def test_a_failing_change_leaves_the_old_pair(paths, task, machine):
    old, new = self_signed(), self_signed()
    install.install_pair(own(paths), *old, task, NOW)
    for step in range(1, 6):
        machine.changes, machine.fail_at = 0, step
        with pytest.raises(StoreError):
            install.install_pair(own(paths), *new, task, NOW)
        machine.fail_at = None
        assert pair(paths) == old, f"change {step} failed"
        assert not paths.install_intent.exists()


def test_a_recovery_that_cannot_end_says_what_is_gone(paths, task, machine):
    old, new = self_signed(), self_signed()
    install.install_pair(own(paths), *old, task, NOW)
    machine.changes, machine.stop_before = 0, 4
    with pytest.raises(Stopped):
        install.install_pair(own(paths), *new, task, NOW)
    machine.stop_before = None
    for path in strays(paths):
        path.unlink()
    with pytest.raises(CertificateError, match="cannot be finished"):
        install.recover(paths)


def test_a_key_of_another_certificate_is_refused_before_anything_is_written(paths, task, machine):
    certificate, _ = self_signed()
    with pytest.raises(CertificateError, match="does not belong"):
        install.install_pair(
            own(paths), certificate, keys.to_pem(keys.generate("ec256")), task, NOW
        )
    assert machine.changes == 0


def test_nodes_that_share_a_tree_do_not_share_an_intent(paths, task, machine):
    other = Paths(paths.root, "pve2")
    old, new = self_signed(), self_signed()
    install.install_pair(own(paths), *old, task, NOW)
    machine.changes, machine.stop_before = 0, 4
    with pytest.raises(Stopped):
        install.install_pair(own(paths), *new, task, NOW)
    machine.stop_before = None
    install.install_pair(own(other), *old, task, NOW)
    assert pair(other) == old
    assert paths.install_intent.exists()
    install.recover(paths)
    assert pair(paths) == new


@pytest.mark.parametrize("record", [b"", b"{", b"[1]", b'[{"target": "/x"}]'])
def test_a_record_that_is_damaged_is_an_error_that_says_what_to_do(paths, record):
    """Every command meets it first."""
    paths.state_dir.mkdir(parents=True)
    paths.install_intent.write_bytes(record)
    with pytest.raises(CertificateError, match="damaged") as raised:
        install.recover(paths)
    assert "remove the file" in raised.value.hint


def test_a_first_pair_that_fails_leaves_none(paths, task, machine):
    for step in range(1, 6):
        machine.changes, machine.fail_at = 0, step
        with pytest.raises(StoreError):
            install.install_pair(own(paths), *self_signed(), task, NOW)
        machine.fail_at = None
        there = [paths.proxy_certificate, paths.proxy_key, paths.install_intent]
        assert not any(path.exists() for path in there), f"change {step} failed"
