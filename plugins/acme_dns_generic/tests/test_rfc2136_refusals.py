"""Servers that refuse without a signature, or are not there: nothing was changed, and why is said."""

import contextlib
import re
import socket
import struct
import threading
import time
from types import SimpleNamespace

import dns.message
import dns.rcode
import dns.tsig
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
    with serving(lambda wire: unsigned(wire, code), tcp=tcp) as port:
        yield port


@contextlib.contextmanager
def serving(reply, *, tcp=True):
    """A server whose answers, over UDP and perhaps TCP, a function makes."""
    port, stop = free_dns_port(), threading.Event()

    def over_udp(channel):
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                wire, sender = channel.recvfrom(4096)
                channel.sendto(reply(wire), sender)

    def over_tcp(listener):
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    (size,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                    said = reply(connection.recv(size, socket.MSG_WAITALL))
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


# --- answers that cannot be believed ------------------------------------------------------------------


def signing(*, name="kit", secret=None, algorithm=dns.tsig.HMAC_SHA256, error=0, at=None):
    """Answers with a signature of its own choice."""

    def reply(wire):
        answer = dns.message.make_response(dns.message.from_wire(wire, keyring=False))
        query = dns.message.from_wire(wire, keyring=False)
        key = dns.tsig.Key(f"{name}.", secret or Key().secret, algorithm)
        answer.use_tsig(key, tsig_error=error)
        answer.request_mac = query.mac
        with pytest.MonkeyPatch.context() as patch:
            if at is not None:  # the one who asks waits meanwhile
                patch.setattr(dns.message, "time", SimpleNamespace(time=lambda: at))
            return answer.to_wire()

    return reply


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({}, None, ""),
        (
            {"secret": "b3RoZXI="},
            CredentialsRejected,
            "rejects the TSIG key: its answer is not signed with our secret of kit",
        ),
        (
            {"name": "other"},
            CredentialsRejected,
            "rejects the TSIG key: its answer is signed with another key than kit with hmac-sha256",
        ),
        (
            {"algorithm": dns.tsig.HMAC_SHA512},
            CredentialsRejected,
            "rejects the TSIG key: its answer is signed with another key than kit with hmac-sha256",
        ),
        (
            {"error": dns.rcode.BADTRUNC},
            CredentialsRejected,
            "rejects the TSIG key: The peer didn't like amount of truncation in the TSIG we sent",
        ),
        (
            {"at": 86_400},
            ProviderError,
            "signs its answer with a time that is not this host's",
        ),
    ],
    ids=["good", "secret", "name", "algorithm", "truncation", "time"],
)
def test_an_answer_whose_signature_is_not_ours_is_not_believed(changed, error, said):
    with serving(signing(**changed)) as port:
        instance = plugin("127.0.0.1", port, key_name="kit")
        if error is None:
            instance.dns_add(zone="kit.test.", records=[RECORD], task=FakeTask())
            return
        caught = refused(instance)
    assert type(caught) is error
    assert caught.message == f"127.0.0.1:{port} {said}"
    assert caught.hint
    assert caught.unchanged is ("truncation" in said)


def test_a_time_that_is_refused_without_the_servers_own_is_still_explained():
    with serving(signing(error=dns.rcode.BADTIME)) as port:
        caught = refused(plugin("127.0.0.1", port, key_name="kit"))
    assert "(BADTIME): this host's clock is more than the allowed time" in caught.message
    assert "chronyc" in caught.hint


def test_an_answer_to_another_question_is_none():
    def other(wire):
        return bytes([wire[0] ^ 1]) + unsigned(wire, dns.rcode.NOERROR)[1:]

    with serving(other) as port:
        caught = refused(plugin("127.0.0.1", port))
    assert "answered something that is not DNS" in caught.message
    with serving(other, tcp=False) as port:
        caught = refused(plugin("127.0.0.1", port, timeout=0.2))
    assert "did not answer within 0.2 seconds" in caught.message
    assert caught.unchanged


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("ns1.example.com:99999", "the port is not from 1 to 65535"),
        ("127.0.0.1:0", "the port is not from 1 to 65535"),
        ("ns1..example.com", "is not HOST, HOST:PORT or [IPV6]:PORT"),
        ("x" * 64, "is not HOST, HOST:PORT or [IPV6]:PORT"),
        (":53", "is not HOST, HOST:PORT or [IPV6]:PORT"),
    ],
)
def test_what_can_be_no_server_is_said_when_it_is_set(server, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Rfc2136(server=server)


def test_a_server_whose_name_has_no_address_is_told(monkeypatch):
    def unknown(*_arguments, **_more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    caught = refused(Rfc2136(server="ns1.nowhere.example"))
    assert isinstance(caught, Unavailable)
    assert caught.message == "ns1.nowhere.example has no address: Name or service not known"
    assert caught.hint == "Check the setting 'server'."


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
