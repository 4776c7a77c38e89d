"""A TLS server under load while its certificate is renewed: no failed handshake, never a mixed pair.

The deploy hook restarts the server as a service manager with a socket unit does: the listening socket
stays, the successor starts, and only then its predecessor ends.
"""

import socket
import ssl
import subprocess
import sys
import threading

import pytest
from certificates import NOW, Log, own, self_signed
from cryptography import x509

from pvefw import instances
from pvefw.certs import chain, deploy, install

RENEWALS = 10
CLIENTS = 3
SERVER = """
import select, signal, socket, ssl, sys, os
certificate, key, listening, ready = sys.argv[1:]
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the manager has it blocked
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)  # fails for a mixed pair
listener = socket.socket(fileno=int(listening))
listener.setblocking(False)
os.write(int(ready), b"1")
while not ending:
    if not select.select([listener], [], [], 0.05)[0]:
        continue
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    connection.settimeout(10)
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"served")
    except OSError:
        print("a handshake failed at the server", flush=True)
"""
MANAGER = """
import os, signal, socket, subprocess, sys
server, certificate, key, answers = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
running = None
def restart():
    global running
    ours, theirs = os.pipe()
    fds = (listener.fileno(), theirs)
    started = subprocess.Popen([sys.executable, server, certificate, key, *map(str, fds)],
                               pass_fds=fds)
    os.close(theirs)
    good = os.read(ours, 1) == b"1"
    os.close(ours)
    if good:
        if running:
            running.terminate()
            running.wait()
        running = started
    with open(answers, "w") as fifo:
        fifo.write("started" if good else "failed")
print(listener.getsockname()[1], flush=True)
while True:
    if signal.sigwait({signal.SIGHUP, signal.SIGTERM}) == signal.SIGTERM:
        break
    restart()
if running:
    running.terminate()
    running.wait()
"""
HOOK = """#!/bin/sh
kill -HUP {pid}
test "$(cat {answers})" = started
"""


class Service:
    """The server, its manager, and the hook that restarts it."""

    def __init__(self, paths, directory):
        self.answers, self.hook = directory / "answers", directory / "hook"
        subprocess.run(["mkfifo", self.answers], check=True)
        server = directory / "server.py"
        server.write_text(SERVER)
        self.manager = subprocess.Popen(
            [
                *[sys.executable, "-c", MANAGER, server],
                *[paths.proxy_certificate, paths.proxy_key, self.answers],
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.manager.stdout.readline())
        self.hook.write_text(HOOK.format(pid=self.manager.pid, answers=self.answers))
        self.hook.chmod(0o755)

    def serial(self):
        """The certificate that it serves."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain,
            context.wrap_socket(plain) as tls,
        ):
            assert tls.recv(6) == b"served"
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number

    def stop(self):
        self.manager.terminate()
        said, _ = self.manager.communicate(timeout=20)
        return said


@pytest.fixture
def service(paths, tmp_path):
    install.install_pair(own(paths), *self_signed(), Log(), NOW)
    service = Service(paths, tmp_path)
    instance = instances.Instance("observer", "tls", "exec", {"program": str(service.hook)})
    instances.add(paths, instance)
    yield service
    service.stop()


def test_no_handshake_fails_and_each_certificate_is_served(paths, service):
    deploy.prepare(own(paths))
    assert not deploy.deploy(own(paths), Log())
    done, served, failures = threading.Event(), [], []

    def hammer():
        while not done.is_set():
            try:
                served.append(service.serial())
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    clients = [threading.Thread(target=hammer) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(RENEWALS):
            pem, key = self_signed(f"n{number}.example")
            install.install_pair(own(paths), pem, key, Log(), NOW)
            task = Log()
            assert not deploy.deploy(own(paths), task), task.warnings
            assert service.serial() == chain.parse(pem, "new")[0].serial_number
    finally:
        done.set()
        for client in clients:
            client.join()
    assert not failures
    assert len(set(served)) > RENEWALS // 2
    assert service.stop() == ""
