"""Servers that refuse without a signature, or are not there: nothing was changed, and why is said."""

import contextlib
import socket
import struct
import threading
import time

import dns.message
import dns.rcode
import pytest
from servers.nameserver import Key, Zone, free_dns_port
from servers.powerdns import powerdns

from pvefw.api import CredentialsRejected, ProviderError, TxtRecord, Unavailable, Unsupported
from pvefw.testing.fakes import FakeTask
from pvefw_acme_dns_generic.rfc2136 import Rfc2136

RECORD = TxtRecord("_acme-challenge.www.kit.test.", "value")


def plugin(address, port, **changed):
    key = Key()
    values = {"key_name": key.name, "secret": key.secret, "algorithm": key.algorithm}
    return Rfc2136(server=f"{address}:{port}", **{**values, **changed})


def refused(instance):
    with pytest.raises(ProviderError) as caught:
        instance.dns_add(zone="kit.test.", records=[RECORD], task=FakeTask())
    return caught.value


def unsigned(wire, code):
    """An answer with a response code to an update, a good one to anything else."""
    query = dns.message.from_wire(wire, keyring=False)
    asked = query.opcode() == dns.opcode.UPDATE
    answer = dns.message.Message(id=query.id)
    answer.flags |= dns.flags.QR
    answer.set_opcode(query.opcode())
    answer.set_rcode(code if asked else dns.rcode.NOERROR)
    answer.question = [] if asked else query.question
    return answer.to_wire()


@contextlib.contextmanager
def answering(code, *, tcp=True):
    """A server that answers every update so, unsigned: what Technitium and appliances do."""
    port, stop = free_dns_port(), threading.Event()

    def over_udp(channel):
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                wire, sender = channel.recvfrom(4096)
                channel.sendto(unsigned(wire, code), sender)

    def over_tcp(listener):
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    (size,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                    said = unsigned(connection.recv(size, socket.MSG_WAITALL), code)
                    connection.sendall(struct.pack("!H", len(said)) + said)

    with contextlib.ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", port))
        threads = [threading.Thread(target=over_udp, args=[udp])]
        if tcp:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", port)))
            listener.settimeout(0.1)
            threads.append(threading.Thread(target=over_tcp, args=[listener]))
        udp.settimeout(0.1)
        for thread in threads:
            thread.start()
        try:
            yield port
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_powerdns_with_updates_off(tmp_path):
    with powerdns(tmp_path / "pdns", [Zone("kit.test.", {"ns": "127.0.0.1"})]) as server:
        error = refused(plugin(server.address, server.port))
        assert isinstance(error, CredentialsRejected)
        assert (
            f"{server.address}:{server.port} answers REFUSED without a signature: " in error.message
        )
        assert "it takes no updates of kit.test." in error.message
        assert "dnsupdate=yes" in error.hint
        assert error.unchanged
        assert server.txt(RECORD.name) == set()


@pytest.mark.parametrize("tcp", [True, False], ids=["TCP", "UDP"])
@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (dns.rcode.REFUSED, CredentialsRejected, "it takes no updates of kit.test."),
        (dns.rcode.NOTAUTH, ProviderError, "or does not know the key"),
        (dns.rcode.SERVFAIL, Unavailable, "could not store the change"),
        (dns.rcode.NOTIMP, Unsupported, "does not take updates"),
        (dns.rcode.FORMERR, ProviderError, "cannot read the update"),
        (dns.rcode.NXRRSET, ProviderError, "refuses the update"),
    ],
    ids=["REFUSED", "NOTAUTH", "SERVFAIL", "NOTIMP", "FORMERR", "NXRRSET"],
)
def test_a_refusal_without_a_signature_is_named(code, kind, said, tcp):
    with answering(code, tcp=tcp) as port:
        error = refused(plugin("127.0.0.1", port))
    assert type(error) is kind
    assert f"answers {dns.rcode.to_text(code)} without a signature: " in error.message
    assert said in error.message
    assert error.unchanged


def test_success_without_a_signature_is_not_believed():
    with answering(dns.rcode.NOERROR) as port:
        error = refused(plugin("127.0.0.1", port))
    assert "signature" in error.message
    assert not error.unchanged
    with answering(dns.rcode.NOERROR) as port:
        unsigned = plugin("127.0.0.1", port, key_name=None, secret=None)
        unsigned.dns_add(zone="kit.test.", records=[RECORD], task=FakeTask())


def test_a_server_that_is_gone_was_never_reached():
    started = time.monotonic()
    error = refused(plugin("127.0.0.1", free_dns_port()))
    assert isinstance(error, Unavailable)
    assert error.unchanged
    assert time.monotonic() - started < 2


def test_a_server_that_drops_everything_was_never_reached():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.bind(("127.0.0.1", 0))
        error = refused(plugin("127.0.0.1", channel.getsockname()[1], timeout=0.5))
    assert error.unchanged


def test_a_connection_that_ends_after_the_update_may_have_changed_something():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)

        threading.Thread(target=hang_up).start()
        error = refused(plugin("127.0.0.1", listener.getsockname()[1], timeout=0.5))
    assert not error.unchanged


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ("dns://ns1.example.com", ("ns1.example.com", 53)),
        ("dns://ns1.example.com:5353/", ("ns1.example.com", 5353)),
        ("dns://[2001:db8::1]:53", ("2001:db8::1", 53)),
    ],
)
def test_an_address_in_the_form_of_a_url(server, where):
    instance = Rfc2136(server=server)
    assert (instance._host, instance._port) == where
