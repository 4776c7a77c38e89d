"""The cluster's CA and the nodes' certificates: what openssl thinks of them."""

import datetime as dt
import socket
import stat
import subprocess
from pathlib import Path
from unittest.mock import Mock

import pytest
from certificates import NOW, self_signed
from cryptography import x509

from pvefw.certs import authority, chain, install, node_certificate, timer
from pvefw.core.errors import CertificateError, UsageError
from pvefw.store import files, node_settings
from pvefw.store.paths import Paths

DAY = dt.timedelta(days=1)


def openssl(*arguments):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def verify(anchors, bundle, name="pve1", at=NOW, *options):
    """What `openssl verify` says of the first certificate in a file."""
    status, said = openssl(
        *[
            "verify",
            *(options or ["-x509_strict"]),
            "-attime",
            int(at.timestamp()),
            "-CAfile",
            anchors,
        ],
        *["-no-CApath", "-untrusted", bundle, "-verify_hostname", name, bundle],
    )
    assert status == 0, said


@pytest.fixture
def hosts(paths):
    path = paths.below("etc/hosts")
    path.parent.mkdir(parents=True)
    path.write_text(
        "127.0.0.1 localhost\n192.0.2.11 pve1.example.com pve1 # us\n192.0.2.12 pve2.example.com pve2\n"
        "2001:db8::11 pve1.example.com\n127.0.1.1 pve1\n"
    )
    return path


@pytest.mark.parametrize("key_type", ["ec256", "ec384", "rsa2048"])
def test_a_node_certificate_that_openssl_verifies(paths, task, hosts, key_type):
    node_settings.change(paths, {"ca-key-type": key_type})
    node_certificate.refresh(paths, task, NOW)
    for name in ("pve1", "pve1.example.com", "localhost"):
        verify(paths.authority_certificate, paths.node_certificate, name)
    leaf = chain.parse(paths.node_certificate.read_bytes(), "node")[0]
    assert chain.names(leaf) == [
        *["pve1", "localhost", "pve1.example.com"],
        *["127.0.0.1", "::1", "192.0.2.11", "2001:db8::11"],
    ]
    ca = chain.parse(paths.authority_certificate.read_bytes(), "ca")[0]
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    for key in (paths.authority_key, paths.node_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_serial_numbers_go_on_where_openssl_left_off(paths, task):
    authority.create(paths, task, NOW)
    paths.authority_serial.write_text("0FF3\n")
    node_certificate.refresh(paths, task, NOW)
    leaf = chain.parse(paths.node_certificate.read_bytes(), "node")[0]
    assert leaf.serial_number == 0xFF4
    assert paths.authority_serial.read_text() == "0FF4\n"


def test_a_ca_made_by_openssl_is_used_as_it_is(paths, task, tmp_path):
    paths.authority_key.parent.mkdir(parents=True)
    status, said = openssl(
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"],
        *["-subj", "/CN=Proxmox Virtual Environment/OU=x/O=PVE Cluster Manager CA"],
        *["-keyout", paths.authority_key, "-out", paths.authority_certificate],
    )
    assert status == 0, said
    before = paths.authority_certificate.read_bytes(), paths.authority_key.read_bytes()
    now = dt.datetime.now(dt.UTC)
    node_certificate.refresh(paths, task, now)
    verify(paths.authority_certificate, paths.node_certificate, "pve1", now, "-check_ss_sig")
    assert (paths.authority_certificate.read_bytes(), paths.authority_key.read_bytes()) == before
    with pytest.raises(UsageError, match="has a CA"):
        authority.create(paths, task, now)


def test_nothing_is_done_anew_without_need(paths, task, hosts):
    node_certificate.refresh(paths, task, NOW)
    first = paths.node_certificate.read_bytes()
    node_certificate.refresh(paths, task, NOW + DAY)
    assert paths.node_certificate.read_bytes() == first
    node_certificate.refresh(paths, task, NOW + DAY, force=True)
    assert paths.node_certificate.read_bytes() != first


def test_a_new_address_asks_for_a_new_certificate(paths, task, hosts):
    node_certificate.refresh(paths, task, NOW)
    hosts.write_text(hosts.read_text().replace("192.0.2.11", "198.51.100.7"))
    decision = node_certificate.decide(paths, NOW + DAY)
    assert decision.due <= NOW + DAY
    assert "198.51.100.7" in decision.reason
    node_certificate.refresh(paths, task, NOW + DAY)
    leaf = chain.parse(paths.node_certificate.read_bytes(), "node")[0]
    assert "198.51.100.7" in chain.names(leaf)
    assert node_certificate.decide(paths, NOW + DAY).due > NOW + DAY


def test_it_is_renewed_before_it_ends(paths, task, hosts):
    node_certificate.refresh(paths, task, NOW)
    decision = node_certificate.decide(paths, NOW)
    assert NOW + 0.6 * node_certificate.LIFETIME < decision.due < NOW + node_certificate.LIFETIME


def test_one_that_another_ca_signed_is_left_alone(paths, task):
    authority.create(paths, task, NOW)
    certificate, key = self_signed("pve1.example")
    install.replace_pair(paths, install.node_pair(paths), certificate, key, task)
    assert node_certificate.decide(paths, NOW) is None
    with pytest.raises(UsageError, match="not signed by the cluster's CA"):
        node_certificate.refresh(paths, task, NOW)
    assert paths.node_certificate.read_bytes() == certificate
    node_certificate.refresh(paths, task, NOW, force=True)
    verify(paths.authority_certificate, paths.node_certificate)


def test_half_a_ca_is_an_error_and_no_new_one(paths, task):
    authority.create(paths, task, NOW)
    paths.authority_key.unlink()
    with pytest.raises(CertificateError, match="is missing"):
        authority.ensure(paths, task, NOW)
    paths.authority_key.write_bytes(self_signed()[1])
    with pytest.raises(CertificateError, match="is not the key of"):
        authority.ensure(paths, task, NOW)


def test_a_rollover_overlaps(paths, task, hosts, tmp_path):
    """Old clients, new clients and old node certificates: all go on, in every combination."""
    node_certificate.refresh(paths, task, NOW)
    other = Paths(paths.root, "pve2")
    node_certificate.refresh(other, task, NOW)
    old = tmp_path / "old.pem"
    old.write_bytes(paths.authority_certificate.read_bytes())
    later = NOW + 2000 * DAY
    node_certificate.refresh(other, task, later)
    authority.roll_over(paths, task, later)
    verify(paths.authority_certificate, other.node_certificate, "pve2", later)
    assert "being replaced" in node_certificate.decide(other, later).reason
    node_certificate.refresh(paths, task, later)
    verify(paths.authority_certificate, paths.node_certificate, at=later)
    verify(old, paths.node_certificate, at=later)
    with pytest.raises(UsageError, match="already"):
        authority.roll_over(paths, task, later)
    node_certificate.refresh(other, task, later)
    authority.finish_roll_over(paths, task)
    verify(paths.authority_certificate, other.node_certificate, "pve2", later)
    assert len(chain.parse(paths.authority_certificate.read_bytes(), "ca")) == 1
    assert not paths.authority_cross.exists()


def test_a_search_domain_makes_the_full_name(paths):
    files.replace(paths.below("etc/resolv.conf"), b"nameserver 192.0.2.1\nsearch lab.example.\n")
    assert node_certificate.names(paths).fqdn == "pve1.lab.example"


def test_units_that_systemd_takes(paths, task, tmp_path):
    timer.install(paths, task.log, cron=False)
    units = sorted(paths.below("etc/systemd/system").iterdir())
    assert [unit.name for unit in units] == [
        *["pvefw-recover.service", "pvefw-renew-scripts.service"],
        *["pvefw-renew.service", "pvefw-renew.timer"],
    ]
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pvefw-" not in done.stderr
    text = paths.below("etc/systemd/system/pvefw-renew.timer").read_text()
    assert "Persistent=yes" in text
    assert "RandomizedDelaySec=6h" in text


def test_a_line_for_cron_where_there_is_no_systemd(paths, task):
    timer.install(paths, task.log)
    lines = paths.below("etc/cron.d/pvefw").read_text().splitlines()
    minute, hours, *rest = lines[1].split()
    assert 0 <= int(minute) < 60
    assert [int(part) % 6 for part in hours.split(",")] == [int(hours.split(",")[0]) % 6] * 4
    assert rest[:4] == ["*", "*", "*", "root"]
    assert rest[5] == "renew"


def test_of_a_ca_that_does_not_name_its_key_the_key_itself_is_named(paths, task, hosts):
    paths.authority_key.parent.mkdir(parents=True)
    pem, key = self_signed("Old CA", days=3000)
    paths.authority_certificate.write_bytes(pem)
    paths.authority_key.write_bytes(key)
    node_certificate.refresh(paths, task, NOW)
    leaf = chain.parse(paths.node_certificate.read_bytes(), "node")[0]
    named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    issuer = chain.parse(pem, "CA")[0]
    assert (
        named.key_identifier
        == x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest
    )


def test_a_line_of_hosts_that_is_no_address_is_skipped(paths, hosts):
    hosts.write_text(f"192.0.2.300 pve1\n{hosts.read_text()}")
    assert "192.0.2.11" in node_certificate.names(paths).all
    assert "192.0.2.300" not in node_certificate.names(paths).all


def test_the_nodes_key_is_used_again_where_that_is_wanted(paths, task, hosts):
    node_certificate.ensure(paths, task, NOW)
    before = paths.node_certificate.read_bytes(), paths.node_key.read_bytes()
    node_certificate.ensure(paths, task, NOW)
    assert (paths.node_certificate.read_bytes(), paths.node_key.read_bytes()) == before
    node_settings.change(paths, {"key-reuse": "1"})
    hosts.write_text("192.0.2.99 pve1\n")
    node_certificate.refresh(paths, task, NOW)
    assert paths.node_key.read_bytes() == before[1]
    assert paths.node_certificate.read_bytes() != before[0]
    node_settings.change(paths, {"key-reuse": "0"})
    hosts.write_text("192.0.2.98 pve1\n")
    node_certificate.refresh(paths, task, NOW)
    assert paths.node_key.read_bytes() != before[1]


def test_a_rollover_where_there_is_nothing_to_finish(paths, task, pvefw):
    status, said = pvefw("cert", "ca", "rollover", "--finish")
    assert status == 2 and "cert ca rollover: the cluster has no CA" in said
    assert "pvefw cert ca init" in said
    assert pvefw("cert", "ca", "init")[0] == 0
    before = paths.authority_certificate.read_bytes()
    status, said = pvefw("cert", "ca", "rollover", "--finish")
    assert status == 2 and "cert ca rollover: no CA is being replaced" in said
    assert paths.authority_certificate.read_bytes() == before


@pytest.mark.parametrize(
    ("ca", "says"),
    [
        ("gone", "not renewed: the cluster's CA did not sign it"),
        ("halved", "pve-root-ca.key is missing, but its counterpart exists"),
        ("damaged", "pve-root-ca.pem: this is not a PEM certificate"),
    ],
)
def test_without_a_whole_ca_the_nodes_certificate_is_left_and_said_why(
    paths, task, pvefw, ca, says
):
    node_certificate.refresh(paths, task, NOW)
    before = paths.node_certificate.read_bytes()
    if ca != "damaged":
        paths.authority_key.unlink()
    if ca == "gone":
        paths.authority_certificate.unlink()
    if ca == "damaged":
        paths.authority_certificate.write_text("-----BEGIN CERTIFICATE-----\n")
    _, said = pvefw("renew", "--dry-run")
    assert says in said
    assert paths.node_certificate.read_bytes() == before


def test_this_hosts_addresses_are_asked_for_where_hosts_has_none(monkeypatch):
    answers = [(2, 1, 6, "", ("192.0.2.7", 0)), (10, 1, 6, "", ("fe80::1%eth0", 0, 0, 2))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answers)
    assert node_certificate._resolved(Paths(Path("/"), "pve1")) == ["192.0.2.7", "fe80::1%eth0"]
    assert node_certificate._resolved(Paths(Path("/elsewhere"), "pve1")) == []
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(-2, "x")))
    assert node_certificate._resolved(Paths(Path("/"), "pve1")) == []
