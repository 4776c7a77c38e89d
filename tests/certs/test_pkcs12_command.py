"""``cert set`` with a PKCS#12 container as it is typed: its password is asked for, or is in a file."""

import os
import subprocess
import sys

import pexpect
import pytest
from certificates import self_signed
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

PASSWORD = "a passw0rd of ours"
COMMAND = [sys.executable, "-m", "pvefw", "cert", "set"]


@pytest.fixture
def container(tmp_path):
    """A container with a password, and the certificate that is in it."""
    certificate, key = self_signed("a.example.com")
    data = pkcs12.serialize_key_and_certificates(
        b"it",
        serialization.load_pem_private_key(key, None),
        x509.load_pem_x509_certificate(certificate),
        None,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    path = tmp_path / "it.p12"
    path.write_bytes(data)
    return path, certificate


@pytest.fixture
def env(paths):
    return {**os.environ, "PVEFW_ROOT": str(paths.root), "PVEFW_NODE": paths.node}


def installed(paths):
    return paths.proxy_certificate.read_bytes().strip()


def test_the_password_is_asked_for_and_not_shown(paths, env, container):
    path, certificate = container
    typed = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], str(path)], env=env, encoding="utf-8", timeout=60
    )
    typed.expect_exact("Password of the PKCS#12 container")
    typed.sendline(PASSWORD)
    typed.expect_exact("Task OK")
    typed.expect(pexpect.EOF)
    assert PASSWORD not in typed.before
    assert installed(paths) == certificate.strip()


def test_a_wrong_password_is_one_sentence(paths, env, container):
    path, _ = container
    typed = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], str(path)], env=env, encoding="utf-8", timeout=60
    )
    typed.expect_exact("Password of the PKCS#12 container")
    typed.sendline("another")
    typed.expect(r"pvefw: [^\r]*it\.p12: [^\r]*password")
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == 1
    assert not paths.proxy_certificate.exists()


def test_the_password_is_read_from_a_file(paths, env, container, tmp_path):
    path, certificate = container
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    command = [*COMMAND, str(path), "--password-file", str(tmp_path / "password")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert installed(paths) == certificate.strip()
