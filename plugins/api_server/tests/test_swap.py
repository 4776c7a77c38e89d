"""The certificate changes while clients connect: no handshake fails, and soon all see the new one."""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import certificates
import pytest
from waiting import wait_until

from pvefw.core.errors import CertificateError, ProgramError
from pvefw_api_server import swap, wire

HANDSHAKES, SWAPS, THREADS = 1000, 40, 3
INSTALLED = 4
ANY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANY.check_hostname, ANY.verify_mode = False, ssl.CERT_NONE


def shown(port):
    """One handshake, and the certificate that was shown in it."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        ANY.wrap_socket(plain, server_hostname="pve1.example") as tls,
    ):
        return tls.getpeercert(binary_form=True)


def replaced(service):
    """Another pair, put in place as pvefw does, by renames: for a moment the two do not fit."""
    return ssl.PEM_cert_to_DER_cert(service.replace_pair().decode())


class Hammer:
    """Handshakes, one after the other, until it is told to stop."""

    def __init__(self, port):
        self.count, self.seen, self.failures = 0, set(), []
        self.done = threading.Event()
        self._port = port
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.done.is_set():
            try:
                self.seen.add(shown(self._port))
                self.count += 1
            except OSError as error:
                self.failures.append(str(error))


def hammered(port, swap_, swaps, handshakes):
    """Clients connect all the time while the pair is swapped: none fails, and each new one is seen."""
    hammers = [Hammer(port) for _ in range(THREADS)]
    made = set()
    try:
        for number in range(1, swaps + 1):
            new = swap_()
            made.add(new)
            wait_until(
                lambda new=new: any(new in hammer.seen for hammer in hammers), "it is served", 60
            )
            enough = handshakes * number // swaps
            wait_until(
                lambda n=enough: sum(hammer.count for hammer in hammers) >= n, "more come", 120
            )
    finally:
        for hammer in hammers:
            hammer.done.set()
            hammer.thread.join()
    assert [hammer.failures for hammer in hammers] == [[]] * THREADS
    assert sum(hammer.count for hammer in hammers) >= handshakes
    assert len(made) == swaps
    assert made <= set.union(*(hammer.seen for hammer in hammers))


def test_no_handshake_fails_while_a_pair_is_installed(service):
    """From the files, by the helper, to the front: whole, whatever moment it looks at them."""
    hammered(service.port, lambda: replaced(service), INSTALLED, INSTALLED)


@pytest.fixture
def handing_over(tmp_path):
    """A helper's end: what it sends is in the test's hands."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "helper"))
        listening.listen()
        yield listening


def send(connection, *parts):
    descriptor = os.memfd_create("pair")
    os.write(descriptor, b"\n".join(parts))
    socket.send_fds(connection, [wire.FOUND], [descriptor])
    os.close(descriptor)


def test_no_handshake_of_a_thousand_fails_across_forty_swaps(front):
    """Before each pair comes one that does not fit, as while one is installed."""
    first, old = certificates.self_signed()
    send(front.connection, first, old)

    def swap_():
        pem, key = certificates.self_signed()
        send(front.connection, pem, old)
        send(front.connection, pem, key)
        return ssl.PEM_cert_to_DER_cert(pem.decode())

    hammered(front.listens(), swap_, SWAPS, HANDSHAKES)


def test_a_pair_that_does_not_fit_together_is_not_served(handing_over, tmp_path):
    """Half an installation changes nothing; when the other half is there, it is served."""
    good, other = certificates.self_signed(), certificates.self_signed()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(swap.Swap, tmp_path / "helper")
        connection, _ = handing_over.accept()
        with connection:
            send(connection, *good)
            serving = waiting.result(60)
            first = serving._newest
            send(connection, other[0], good[1])
            serving._take()
            assert serving._newest is first
            send(connection, *other)
            serving._take()
            assert serving._newest is not first
        with pytest.raises(ConnectionResetError):
            serving._take()
        serving._connection.close()


def test_nobody_is_asked_for_a_pass_phrase(handing_over, tmp_path, capfd):
    """At a terminal, OpenSSL would ask, and the front would answer nobody until then."""
    pem, key = certificates.self_signed()
    words = ["openssl", "pkey", "-aes256", "-passout", "pass:secret"]
    locked = subprocess.run(words, input=key, capture_output=True, check=True).stdout
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(swap.Swap, tmp_path / "helper")
        connection, _ = handing_over.accept()
        with connection:
            send(connection, pem, key)
            serving = waiting.result(60)
            first = serving._newest
            send(connection, pem, locked)
            serving._take()
            assert serving._newest is first
        serving._connection.close()
    assert "pass phrase" not in capfd.readouterr().err


def test_a_helper_that_accepts_nobody_keeps_nobody_waiting(tmp_path):
    """The front looks for it again while it answers its clients."""
    place = tmp_path / "busy"
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(str(place))
        listening.listen(0)
        for _ in range(2):  # nothing more fits into its queue
            waits = stack.enter_context(socket.socket(socket.AF_UNIX))
            waits.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waits.connect(str(place))
        with pytest.raises(ProgramError, match="does not answer"):
            swap.Swap(place)


def test_a_front_without_a_certificate_says_how_to_get_one(handing_over, tmp_path):
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(swap.Swap, tmp_path / "helper")
        connection, _ = handing_over.accept()
        with connection:
            connection.sendall(wire.MISSING)
            with pytest.raises(CertificateError, match="no certificate") as missing:
                waiting.result(60)
    assert "node refresh" in missing.value.hint
