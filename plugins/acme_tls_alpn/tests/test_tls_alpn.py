"""The tls-alpn plugin: the conformance kit, real handshakes, clients that mean no good, and proxies."""

import contextlib
import errno
import hashlib
import os
import socket
import ssl
import subprocess
import sys

import pytest
from cryptography import x509
from privileges import only_root
from servers.pebble import pebble as run_pebble
from servers.processes import free_port, process, wait_for_port

from pvefw.api import Challenge, Identifier, ProviderError
from pvefw.testing import _validation
from pvefw.testing.acme_server import acme_server
from pvefw.testing.challenge import ChallengeConformance, make_challenge
from pvefw.testing.fakes import FakeTask
from pvefw_acme_tls_alpn import PROTOCOL, TlsAlpn, hello
from pvefw_acme_tls_alpn.answer import ACME_IDENTIFIER

KIND = "tls-alpn-01"


def client(protocols=(PROTOCOL,)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def shake(port, name, protocols=(PROTOCOL,), address="127.0.0.1"):
    """The certificate that is shown, and the protocol."""
    with (
        socket.create_connection((address, port), timeout=5) as raw,
        client(protocols).wrap_socket(raw, server_hostname=name) as tls,
    ):
        found = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
        return found, tls.selected_alpn_protocol()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestListener(ChallengeConformance):
    @pytest.fixture
    def plugin(self):
        return TlsAlpn(port=free_port(), listen=["127.0.0.1"])

    @pytest.fixture
    def fetch(self, plugin):
        """As the authority sees it: the answer itself cannot be read, only compared with a digest."""

        def fetch(challenge):
            problem = _validation.over_tls(challenge, plugin.port)
            return None if problem else challenge.key_authorization

        return fetch


@pytest.fixture
def present():
    """Presents challenges, and cleans up after the test."""
    done = []

    def do(plugin, *challenges):
        challenges = list(challenges) or [make_challenge(0, KIND)]
        done.append((plugin, challenges))
        plugin.challenge_present(challenges=challenges, task=FakeTask())
        return challenges[0]

    yield do
    for plugin, challenges in done:
        plugin.challenge_cleanup(challenges=challenges, task=FakeTask())


def test_the_certificate_is_that_of_rfc_8737(present):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    challenge = present(plugin)
    found, protocol = shake(plugin.port, challenge.identifier.value)
    assert protocol == PROTOCOL
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(challenge.identifier.value)]
    proof = found.extensions.get_extension_for_oid(ACME_IDENTIFIER)
    assert proof.critical
    digest = hashlib.sha256(challenge.key_authorization.encode()).digest()
    assert proof.value.value == b"\x04\x20" + digest
    found.verify_directly_issued_by(found)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
        ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
def test_an_address_is_asked_for_by_its_reverse_name(present, address, name):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    present(plugin, Challenge(KIND, Identifier("ip", address), "t", "t.x"))
    found, _ = shake(plugin.port, name)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(word.value) for word in names] == [address]


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_who_asks_for_no_validation_is_shown_no_certificate(present, protocols):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    challenge = present(plugin)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        shake(plugin.port, challenge.identifier.value, protocols)


@pytest.mark.parametrize("name", ["other.example.com", None, "example.com"])
def test_a_name_that_is_not_pending_is_shown_no_certificate(present, name):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    present(plugin)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        shake(plugin.port, name)


def test_the_newest_order_for_a_name_is_answered_and_then_the_one_before(present):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    name = Identifier("dns", "a.example.com")
    first, second = (Challenge(KIND, name, token, f"{token}.x") for token in ("t1", "t2"))
    present(plugin, first)
    present(plugin, second)
    assert _validation.over_tls(second, plugin.port) == ""
    plugin.challenge_cleanup(challenges=[second], task=FakeTask())
    assert _validation.over_tls(first, plugin.port) == ""


def test_the_port_is_closed_before_and_after(present):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    for _ in range(3):
        assert not listens(plugin.port)
        challenge = present(plugin)
        assert _validation.over_tls(challenge, plugin.port) == ""
        plugin.challenge_cleanup(challenges=[challenge], task=FakeTask())
    assert not listens(plugin.port)


def test_rubbish_and_clients_that_never_finish(present):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    challenge = present(plugin)
    with contextlib.ExitStack() as stack:
        for number in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", plugin.port)))
            slow.sendall(bytes([22, 3, 1, 0, 200]) if number % 2 else os.urandom(40))
        assert _validation.over_tls(challenge, plugin.port) == ""


def test_without_descriptors_the_listener_goes_on(present, monkeypatch):
    plugin = TlsAlpn(port=free_port(), listen=["127.0.0.1"])
    challenge = present(plugin)
    accept, refused = socket.socket.accept, []

    def refuse(listening):
        if len(refused) < 3:
            refused.append(listening)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", refuse)
    assert _validation.over_tls(challenge, plugin.port) == ""
    assert len(refused) == 3


def first_message(**options):
    """What Python's own client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client(**options).wrap_bio(incoming, outgoing, server_hostname="A.Example.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_the_first_message_is_read_however_it_is_cut():
    whole = first_message(protocols=("h2", PROTOCOL))
    assert hello.parse(whole) == hello.Hello("a.example.com", ("h2", PROTOCOL))
    for end in range(len(whole)):
        assert hello.parse(whole[:end]) is None
    body = whole[5:]
    records = [body[start : start + 50] for start in range(0, len(body), 50)]
    cut = b"".join(whole[:3] + len(record).to_bytes(2) + record for record in records)
    assert hello.parse(cut) == hello.parse(whole)


def test_a_first_message_with_any_wrong_byte_ends_quietly():
    whole = first_message()
    for place in range(len(whole)):
        for value in (0, 255):
            broken = whole[:place] + bytes([value]) + whole[place + 1 :]
            with contextlib.suppress(hello.Malformed):
                hello.parse(broken)


def test_a_taken_port_says_what_to_do(present):
    with socket.create_server(("127.0.0.1", 0)) as taker:
        plugin = TlsAlpn(port=taker.getsockname()[1], listen=["127.0.0.1"])
        with pytest.raises(ProviderError, match=r"is in use by .* \(pid \d+\); let it pass"):
            present(plugin)


@only_root("becomes another user")
def test_a_low_port_without_root_says_what_to_do():
    code = (
        "import os; from pvefw.api import listen; os.setuid(65534)\n"
        "try: listen(['127.0.0.1'], 82, '')\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if done.stdout:  # some kernels let everybody have every port
        assert "run as root, or set a port above 1023" in done.stdout


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none(port):
    with pytest.raises(ValueError, match="is not from 1 to 65535"):
        TlsAlpn(port=port)


# --- sockets that are handed over -----------------------------------------------------------------------

ACTIVATED = """
import os, sys
from pvefw.testing import _validation
from pvefw.testing.challenge import make_challenge
from pvefw.testing.fakes import FakeTask
from pvefw_acme_tls_alpn import TlsAlpn
os.environ["LISTEN_PID"] = str(os.getpid())
plugin, one, task = TlsAlpn(socket="acme"), make_challenge(0, "tls-alpn-01"), FakeTask()
for _ in range(2):
    plugin.challenge_present(challenges=[one], task=task)
    print(_validation.over_tls(one, int(sys.argv[1])) or "good")
    plugin.challenge_cleanup(challenges=[one], task=task)
"""


def activated(names):
    """Run in a process that got a web server's socket and ours, as systemd hands them over."""
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as ours,
    ):
        shell = f'exec 3<&{web.fileno()} 4<&{ours.fileno()}; exec "$@"'
        done = subprocess.run(
            [
                "bash",
                "-c",
                shell,
                "sh",
                sys.executable,
                "-c",
                ACTIVATED,
                str(ours.getsockname()[1]),
            ],
            pass_fds=[web.fileno(), ours.fileno()],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": names},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert listens(ours.getsockname()[1])  # it is systemd's, and stays open
        return done


def test_a_socket_of_systemd_is_used_and_stays_open():
    assert activated("web:acme").stdout.split() == ["good", "good"]


def test_a_socket_that_was_not_handed_over():
    assert "systemd has handed no socket named acme" in activated("web:other").stderr


# --- behind a proxy, as the README shows ----------------------------------------------------------------

NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; pid {directory}/nginx.pid; error_log stderr;
events {{}}
stream {{
    map $ssl_preread_alpn_protocols $behind {{
        acme-tls/1  127.0.0.1:{ours};
        default     127.0.0.1:{web};
    }}
    server {{ listen 127.0.0.1:{public}; ssl_preread on; proxy_pass $behind; }}
}}
"""
HAPROXY = """
defaults
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend tls
    mode tcp
    bind 127.0.0.1:{public}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend acme if {{ req.ssl_alpn acme-tls/1 }}
    default_backend web
backend acme
    mode tcp
    server pvefw 127.0.0.1:{ours}
backend web
    mode tcp
    server web 127.0.0.1:{web}
"""


@pytest.mark.parametrize(
    ("command", "text"),
    [(["/usr/sbin/nginx", "-c"], NGINX), (["/usr/sbin/haproxy", "-db", "-f"], HAPROXY)],
    ids=["nginx", "haproxy"],
)
def test_behind_a_proxy_that_hands_validations_over(present, tmp_path, command, text):
    public, ours, web = (free_port() for _ in range(3))
    config = tmp_path / "proxy.conf"
    config.write_text(text.format(public=public, ours=ours, web=web, directory=tmp_path))
    log = tmp_path / "proxy.log"
    with process([*command, str(config)], log) as running, site(tmp_path, web):
        wait_for_port(public, running, log)
        challenge = present(TlsAlpn(port=ours, listen=["127.0.0.1"]))
        assert _validation.over_tls(challenge, public) == ""
        found, _ = shake(public, "www.example.com", ("http/1.1",))  # the site goes on meanwhile
        assert found.issuer.rfc4514_string() == "CN=pvefw test authority"


@contextlib.contextmanager
def site(directory, port):
    """A web site with TLS."""
    from pvefw.testing.acme_server import certificate_files

    certificate, key = certificate_files(directory, "www.example.com")
    command = ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-www"]
    command += ["-cert", str(certificate), "-key", str(key)]
    with process(command, directory / "site.log") as running:
        wait_for_port(port, running, directory / "site.log")
        yield


# --- whole orders ---------------------------------------------------------------------------------------


def ordering(host, directory, ca_file, tls_port, *names):
    host.run(
        *["acme", "account", "register", "default", "mail@example.invalid", "--accept-tos"],
        *["--directory", directory, "--ca-file", ca_file],
    )
    data = host.root.parent / "tls.data"
    data.write_text(f"port={tls_port}\nlisten=127.0.0.1\n")
    host.run("acme", "plugin", "add", "challenge", "tls", "--api", "tls-alpn", "--data", data)
    for number, name in enumerate(names):
        host.run("config", "set", f"--acmedomain{number}", f"{name},plugin=tls")
    said = host.run("acme", "cert", "order")
    assert not listens(tls_port)
    return said


@pytest.fixture
def host(tmp_path):
    from whole_host import Host

    return Host(tmp_path / "root")


@pytest.fixture
def pebble(tmp_path):
    with run_pebble(tmp_path / "pebble") as server:
        yield server


def test_pebble_validates_names_and_addresses(host, pebble):
    names = ("a.example", "b.example", "127.0.0.1")
    said = ordering(host, pebble.directory, pebble.ca_file, pebble.tls_port, *names)
    assert f"Answering TLS handshakes on port {pebble.tls_port}" in said
    assert host.paths.proxy_certificate.exists()


def test_the_server_for_tests_validates(host, tmp_path):
    port = free_port()
    with acme_server(tmp_path, types=[KIND], tls_port=port) as acme:
        ordering(host, acme.directory, acme.ca_file, port, "a.example", "127.0.0.1")
        assert len(acme.issued) == 1
