"""Files for services, as they are written."""

import errno
import os
import pwd
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import self_signed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from privileges import only_root

from pvefw.api import CertificateEvent, ProviderError
from pvefw.core import binding, families
from pvefw.core.errors import ConfigError
from pvefw.testing.fakes import FakeTask
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_targets import placing
from pvefw_observer_targets.files import Files

DAY = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def pair():
    """A chain of two certificates, and the key of the first."""
    first, key = self_signed("www.example")
    return first + self_signed("authority.example")[0], key


@pytest.fixture
def event(tmp_path, pair):
    certificate, key = tmp_path / "web.pem", tmp_path / "web.key"
    certificate.write_bytes(pair[0])
    key.write_bytes(pair[1])
    names = ["www.example"]
    return CertificateEvent("pve1", names, certificate, key, DAY, DAY, "AB:CD", "web")


def test_every_format(tmp_path, event, pair):
    target = tmp_path / "etc"
    names = ("leaf", "chain", "fullchain", "key", "combined", "pkcs12")
    Files(**{name: target / name for name in names}, password="right").on_certificate(
        event, FakeTask()
    )
    chain, key = pair
    leaf = chain[: chain.index(b"-----END CERTIFICATE-----\n") + 26]
    assert (target / "leaf").read_bytes() == leaf
    assert (target / "chain").read_bytes() == chain.removeprefix(leaf)
    assert (target / "fullchain").read_bytes() == chain
    assert (target / "key").read_bytes() == key
    assert (target / "combined").read_bytes() == chain + key
    found = pkcs12.load_pkcs12((target / "pkcs12").read_bytes(), b"right")
    pem = serialization.Encoding.PEM
    assert found.cert.certificate.public_bytes(pem) == leaf
    assert found.cert.friendly_name == b"web"
    assert len(found.additional_certs) == 1
    modes = {name: stat.S_IMODE((target / name).stat().st_mode) for name in names}
    assert {name for name, mode in modes.items() if mode == 0o600} == {"key", "combined", "pkcs12"}
    assert {modes[name] for name in ("leaf", "chain", "fullchain")} == {0o644}


def test_what_cannot_be_delivered_says_why_and_writes_nothing(tmp_path, event, pair):
    container = tmp_path / "etc/web.p12"
    made = Files(pkcs12=container)
    event.key.write_bytes(self_signed("other.example")[1])
    with pytest.raises(ProviderError, match="no PKCS#12 container can be made"):
        made.on_certificate(event, FakeTask())
    event.key.unlink()
    with pytest.raises(ProviderError, match=f"{event.key} cannot be read: No such file"):
        made.on_certificate(event, FakeTask())
    assert not container.exists()


def test_a_container_that_cannot_be_opened_any_more_is_replaced(tmp_path, event, pair):
    """Its password was another one."""
    container = tmp_path / "etc/web.p12"
    for password in ("before", "now"):
        Files(pkcs12=container, password=password).on_certificate(event, FakeTask())
    assert pkcs12.load_pkcs12(container.read_bytes(), b"now").cert


def test_what_would_be_done_is_said_until_it_is(tmp_path, event):
    combined, container = tmp_path / "etc/site.pem", tmp_path / "etc/site.p12"
    observer = Files(combined=combined, pkcs12=container, mode="0640")
    assert observer.certificate_plan(event) == [
        f"write {combined} (combined, 0640)",
        f"write {container} (pkcs12, 0640)",
    ]
    assert not combined.parent.exists()
    observer.on_certificate(event, FakeTask())
    assert observer.certificate_plan(event) == []
    combined.chmod(0o600)
    assert observer.certificate_plan(event) == [f"write {combined} (combined, 0640)"]
    for path, data in zip((event.certificate, event.key), self_signed("www.example"), strict=True):
        path.write_bytes(data)
    assert len(observer.certificate_plan(event)) == 2


@only_root("gives files to other users")
def test_the_files_are_the_owners(tmp_path, event):
    known = pwd.getpwnam("nobody")
    key = tmp_path / "etc/key.pem"
    for owner, group in (("nobody", known.pw_gid), ("nobody:root", 0)):
        observer = Files(key=key, owner=owner)
        assert len(observer.certificate_plan(event)) == 1
        observer.on_certificate(event, FakeTask())
        assert (key.stat().st_uid, key.stat().st_gid) == (known.pw_uid, group)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert observer.certificate_plan(event) == []


def test_all_or_none(tmp_path, event):
    """What is written comes back where the next one cannot be: a mixed pair would start no service."""
    chain, key = tmp_path / "etc/chain.pem", tmp_path / "etc/file/key.pem"
    Files(fullchain=chain).on_certificate(event, FakeTask())
    before = chain.read_bytes()
    (tmp_path / "etc/file").write_text("in the way")
    event.certificate.write_bytes(self_signed("www.example")[0])
    with pytest.raises(ProviderError, match="cannot be written"):
        Files(fullchain=chain, key=key).on_certificate(event, FakeTask())
    assert chain.read_bytes() == before


def test_a_first_delivery_that_fails_leaves_nothing(tmp_path, event):
    chain = tmp_path / "chain.pem"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProviderError, match="cannot be"):
        Files(fullchain=chain, key=tmp_path / "file/key.pem").on_certificate(event, FakeTask())
    assert not chain.exists()


def test_a_unit_that_may_not_write_there_is_named(tmp_path, event, monkeypatch):
    def refused(path, *_arguments, **_options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(placing, "replace_file", refused)
    with pytest.raises(ProviderError, match="Read-only") as error:
        Files(key=tmp_path / "key").on_certificate(event, FakeTask())
    assert f"ReadWritePaths={tmp_path}" in error.value.hint


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no file is named"),
        ({"key": "etc/key.pem"}, "not an absolute path"),
        ({"key": "/a", "combined": "/a"}, "the same path"),
        ({"key": "/a", "mode": "644"}, "let everybody have the private key"),
        ({"key": "/a", "mode": "rw"}, "not an octal mode"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        binding.bind(families.OBSERVER, "files", settings)


def test_an_owner_that_is_not_there(tmp_path, event):
    with pytest.raises(ProviderError, match="no such user or group"):
        Files(key=tmp_path / "key", owner="no-such-user").on_certificate(event, FakeTask())
    assert not (tmp_path / "key").exists()


class TestFiles(ObserverConformance):
    @pytest.fixture
    def plugin(self, tmp_path):
        return Files(fullchain=tmp_path / "etc/site.pem", key=tmp_path / "etc/site.key")

    @pytest.fixture
    def heard(self, tmp_path):
        path = tmp_path / "etc/site.pem"
        return lambda: path.read_bytes() if path.exists() else None

    @pytest.fixture
    def broken_plugin(self):
        return Files(key=Path("/dev/null/site.key"))

    def test_a_key_is_never_open_to_others(self, plugin, event, task):
        os.umask(0o022)
        plugin.on_certificate(replace(event), task)
        assert stat.S_IMODE(plugin.key.stat().st_mode) == 0o600
