"""The standalone plugin: the conformance kit, real sockets, and clients that mean no good."""

import contextlib
import errno
import http.client
import os
import socket
import subprocess
import sys
import threading

import pytest
from privileges import only_root
from servers.processes import free_port

from pvefw.api import ProviderError
from pvefw.testing.challenge import ChallengeConformance, make_challenge
from pvefw.testing.fakes import FakeTask
from pvefw_acme_standalone import Standalone

PREFIX = "/.well-known/acme-challenge/"


def ask(port, path, method="GET", address="127.0.0.1"):
    """Status and body of one request; ``None`` where nobody listens."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def fetch_from(port):
    def fetch(challenge):
        answer = ask(port, PREFIX + challenge.token)
        return answer[1] if answer and answer[0] == 200 else None

    return fetch


class TestListener(ChallengeConformance):
    @pytest.fixture
    def plugin(self):
        return Standalone(port=free_port())

    @pytest.fixture
    def fetch(self, plugin):
        return fetch_from(plugin.port)


class TestWebroot(ChallengeConformance):
    @pytest.fixture
    def plugin(self, tmp_path):
        return Standalone(webroot=tmp_path)

    @pytest.fixture
    def fetch(self, tmp_path):
        def fetch(challenge):
            path = tmp_path / PREFIX.strip("/") / challenge.token
            return path.read_text() if path.exists() else None

        return fetch


@pytest.fixture
def present():
    """Presents challenges, and cleans up after the test."""
    done = []

    def do(plugin, count=1):
        challenges = [make_challenge(number) for number in range(count)]
        done.append((plugin, challenges))
        plugin.challenge_present(challenges=challenges, task=FakeTask())
        return challenges

    yield do
    for plugin, challenges in done:
        plugin.challenge_cleanup(challenges=challenges, task=FakeTask())


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_ipv4_and_ipv6(present):
    plugin = Standalone(port=free_port())
    [challenge] = present(plugin)
    assert ask(plugin.port, PREFIX + challenge.token) == (200, challenge.key_authorization)
    if has_ipv6():
        assert ask(plugin.port, PREFIX + challenge.token, address="::1") == (
            200,
            challenge.key_authorization,
        )


def test_only_the_addresses_that_are_set(present):
    plugin = Standalone(port=free_port(), listen=["127.0.0.5"])
    [challenge] = present(plugin)
    assert ask(plugin.port, PREFIX + challenge.token, address="127.0.0.5")[0] == 200
    assert ask(plugin.port, PREFIX + challenge.token) is None


def test_nobody_listens_before_and_after():
    plugin = Standalone(port=free_port())
    challenge, task = make_challenge(0), FakeTask()
    for _ in range(3):  # at once again: nothing waits for old connections to time out
        assert ask(plugin.port, "/") is None
        plugin.challenge_present(challenges=[challenge], task=task)
        assert ask(plugin.port, PREFIX + challenge.token)[0] == 200
        plugin.challenge_cleanup(challenges=[challenge], task=task)
    assert ask(plugin.port, "/") is None
    assert task.lines[:2] == [
        f"Setting up webserver on port {plugin.port}",
        "Taking down webserver",
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", PREFIX + make_challenge(0).token, 200),
        ("GET", "/", 404),
        ("GET", PREFIX, 404),
        ("GET", PREFIX + "../../etc/passwd", 404),
        ("GET", PREFIX + make_challenge(1).token, 404),
        ("GET", "/" + make_challenge(0).token, 404),
        ("POST", PREFIX + make_challenge(0).token, 501),
        ("BREW", PREFIX, 501),
        ("GET", "/" + "x" * 70000, 414),
    ],
)
def test_everything_else_gets_a_status_and_no_body(present, method, path, status):
    plugin = Standalone(port=free_port())
    present(plugin)
    assert ask(plugin.port, path, method) == (status, "")


def test_fifty_tokens(present):
    plugin = Standalone(port=free_port())
    for challenge in present(plugin, 50):
        assert ask(plugin.port, PREFIX + challenge.token) == (200, challenge.key_authorization)


def test_clients_that_never_finish_do_not_keep_the_authority_out(present):
    plugin = Standalone(port=free_port())
    [challenge] = present(plugin)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", plugin.port)))
            slow.sendall(b"GET / HT")
        assert ask(plugin.port, PREFIX + challenge.token) == (200, challenge.key_authorization)


def test_without_descriptors_who_waits_longest_makes_room(present, monkeypatch):
    accept, calls = socket.socket.accept, []

    def refuse(listening):
        calls.append(listening)
        if 1 < len(calls) < 5:  # all of them are taken by the first one
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", refuse)
    plugin = Standalone(port=free_port(), listen=["127.0.0.1"])
    [challenge] = present(plugin)
    with socket.create_connection(("127.0.0.1", plugin.port), 5) as idle:
        assert idle.recv(1) == b""
        assert ask(plugin.port, PREFIX + challenge.token) == (200, challenge.key_authorization)


def test_rubbish_in_quantity(present):
    plugin = Standalone(port=free_port())
    [challenge] = present(plugin)
    for number in range(500):
        with socket.create_connection(("127.0.0.1", plugin.port)) as rude:
            rude.sendall(bytes([number % 256]) * 40 + b"\r\n\r\n")
    assert ask(plugin.port, PREFIX + challenge.token) == (200, challenge.key_authorization)


def test_many_at_once(present):
    plugin = Standalone(port=free_port())
    challenges = present(plugin, 20)
    wrong = []

    def work():
        wrong.extend(
            challenge
            for challenge in challenges
            if ask(plugin.port, PREFIX + challenge.token) != (200, challenge.key_authorization)
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_taken_port_names_the_process(present):
    code = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
        "print('up', flush=True); sys.stdin.read()"
    )
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as taker:
        assert taker.stdout.readline() == "up\n"
        with pytest.raises(ProviderError, match=rf"is in use by python3?.* \(pid {taker.pid}\)"):
            present(Standalone(port=port, listen=["127.0.0.1"]))
        taker.stdin.close()


def test_one_address_that_is_taken_leaves_none_open(present):
    port = free_port()
    with (
        socket.create_server(("127.0.0.2", port)),
        pytest.raises(ProviderError, match=r"127\.0\.0\.2:"),
    ):
        present(Standalone(port=port, listen=["127.0.0.1", "127.0.0.2"]))
    assert ask(port, "/") is None


def test_an_address_that_this_host_does_not_have(present):
    with pytest.raises(ProviderError, match="does not have that address"):
        present(Standalone(port=free_port(), listen=["192.0.2.1"]))


@only_root("becomes another user")
def test_a_low_port_without_root_says_what_to_do():
    code = (
        "import os; os.setuid(65534)\n"
        "from pvefw_acme_standalone.listener import Listener\n"
        "try: Listener(['127.0.0.1'], 81, {})\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "Permission" in done.stderr:
        pytest.skip("nobody cannot read this checkout")
    if done.stdout:  # some kernels let everybody have every port
        assert "run as root, or set a port above 1023" in done.stdout


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none(port):
    with pytest.raises(ValueError, match="is not from 1 to 65535"):
        Standalone(port=port)


def test_a_missing_webroot(tmp_path, present):
    with pytest.raises(ProviderError, match="is not a directory"):
        present(Standalone(webroot=tmp_path / "nowhere"))


def test_a_webroot_keeps_what_is_not_ours(tmp_path, present):
    ours = tmp_path / PREFIX.strip("/")
    ours.mkdir(parents=True)
    (ours / "foreign").write_text("keep")
    plugin = Standalone(webroot=tmp_path)
    challenges = present(plugin, 2)
    assert (ours / challenges[0].token).stat().st_mode & 0o777 == 0o644
    plugin.challenge_cleanup(challenges=challenges, task=FakeTask())
    assert [path.name for path in ours.iterdir()] == ["foreign"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_webroot_is_readable_whatever_the_umask(tmp_path, present, umask):
    root = tmp_path / "htdocs"
    root.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        challenges = present(Standalone(webroot=root))
    finally:
        os.umask(before)
    directory = root / PREFIX.strip("/")
    for path in (directory, directory.parent):
        assert path.stat().st_mode & 0o777 == 0o755
    assert (directory / challenges[0].token).stat().st_mode & 0o777 == 0o644


def test_a_webroot_that_is_closed_to_the_web_server_is_named(tmp_path):
    """Directories that were there stay as they are; they are named."""
    closed = tmp_path / ".well-known"
    closed.mkdir(mode=0o700)
    closed.chmod(0o700)
    task = FakeTask()
    Standalone(webroot=tmp_path).challenge_present(challenges=[make_challenge(1)], task=task)
    assert any(f"{closed} (drwx------) is closed to other users" in line for line in task.lines)
