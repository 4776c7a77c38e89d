"""Errors on the way to a daemon: those that stay until somebody changes something are final."""

import shlex
import socket
import ssl
import threading
from contextlib import contextmanager

import certificates
import pytest

from pvefw.api import (
    CredentialsRejected,
    Guest,
    GuestState,
    NothingRuns,
    ProviderError,
    Unavailable,
)
from pvefw.testing.guest import PatientTask
from pvefw_guest_libvirt import Libvirt

WEB = Guest(vmid=100, name="web", kind="vm", state=GuestState.STOPPED, backend_id="0" * 32)
_REFUSED = "qemu+ssh://127.0.0.1/system?command={}"


def start(uri):
    """What the core gets when it starts a guest of a daemon that it cannot reach."""
    with pytest.raises(Exception) as caught:
        Libvirt(uri=uri).guest_start(WEB, PatientTask())
    return caught.value


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("qemu+foo:///system", "transport in URL not recognised"),
        ("qemu+ext:///system", "command is required"),
        ("qemu:///system?mode=odd", "Unknown remote mode 'odd'"),
        ("qemu+unix://pve2/system", "remote server 'pve2' is not supported"),
        ("qemu+tls://127.0.0.1:1/system?pkipath=/nothing", "Cannot read CA certificate"),
        ("qemu://system", "invalid URI"),
        ("not a uri", "Unable to parse URI"),
        ("hyperv://127.0.0.1/", "built without the 'hyperv' driver"),
    ],
)
def test_a_wrong_uri_is_final(uri, said):
    error = start(uri)
    assert said in error.message
    assert not isinstance(error, Unavailable)
    assert error.hint.startswith("Try it by hand: virsh -c ")
    assert shlex.split(error.hint)[-3:] == [uri, "list", "--all"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Host key verification failed.", None),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", None),
        ("sh: 1: nc: not found", None),
        ("bash: line 1: virt-ssh-helper: command not found", None),
        ("root@pve2: Permission denied (publickey,password).", CredentialsRejected),
        ("ssh: connect to host pve2 port 22: No route to host", Unavailable),
        ("ssh: Could not resolve hostname pve2: Temporary failure in name resolution", Unavailable),
        ("kex_exchange_identification: Connection closed by remote host", Unavailable),
    ],
)
def test_what_ssh_says_decides(tmp_path, said, kind):
    """libvirt hands on what ssh prints, and has one code for all of it."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nhead -c 1 >/dev/null\necho '{said}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    error = start(_REFUSED.format(ssh))
    assert said in error.message
    assert isinstance(error, kind) if kind else not isinstance(error, Unavailable)


@contextmanager
def tls_server(folder, pair):
    """Answers with a certificate, once; its port."""
    files = [folder / "server.pem", folder / "server.key"]
    for path, data in zip(files, pair, strict=True):
        path.write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            try:
                client, _ = listener.accept()
                with client, context.wrap_socket(client, server_side=True):
                    pass
            except OSError:
                pass  # the client does not like the certificate

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_a_certificate_that_is_not_trusted_is_final(tmp_path):
    trusted, _ = certificates.self_signed("ca.example")
    (tmp_path / "cacert.pem").write_bytes(trusted)
    with tls_server(tmp_path, certificates.self_signed("localhost")) as port:
        error = start(f"qemu+tls://127.0.0.1:{port}/system?pkipath={tmp_path}")
    assert "certificate" in error.message
    assert not isinstance(error, Unavailable)


def test_nobody_listens_for_now():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert isinstance(
            start(f"qemu+tcp://127.0.0.1:{bound.getsockname()[1]}/system"), Unavailable
        )


@pytest.mark.parametrize("node", ["n2", "nowhere"])
def test_a_target_that_cannot_be_opened_names_its_own_setting(tmp_path, node):
    """It was said to start this host's daemon, or to change uri."""
    target = f"qemu+unix:///session?socket={tmp_path}/{{node}}/libvirt-sock"
    (tmp_path / "n2/qemu").mkdir(parents=True)  # the folders of a daemon of which no guest runs
    with pytest.raises(ProviderError) as caught:
        Libvirt(uri="test:///default", target_uri=target).guest_target(node)
    error = caught.value
    assert not isinstance(error, NothingRuns)
    assert error.message.startswith(f"target_uri qemu+unix:///session?socket={tmp_path}/{node}/")
    assert "setting uri" not in error.hint
    assert "the setting target_uri is at fault" in error.hint
