"""The service as it runs: root's helper, and a front of another user, on a tree of its own."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import certificates
import full_node
import proxmoxer
import pytest
import requests
import servers.pebble
from privileges import seen_by_others
from resources import uses
from servers.machines.cache import locked
from servers.processes import free_port, process
from waiting import wait_until

from pvefw.host.clock import SystemClock
from pvefw.store.paths import Paths
from pvefw_api_server import tickets, users

ROOT = Path(__file__).resolve().parents[3]
PVEFW = Path(sys.executable).with_name("pvefw")
AUDITOR = "monitor@pve"
OPERATOR = "operator@pve"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Page</title>
<script src="transport.js"></script><script src="page.js" defer></script></head>
<body><header><h1>Page</h1></header><main id="page"></main></body></html>
"""
SCRIPT = """
const show = text => { document.getElementById("page").textContent = text; };
call("GET", "/nodes/localhost/config").then(
    found => call("PUT", "/nodes/localhost/config", { description: "by hand" }).then(
        () => show("changed"), error => show(error.message)),
    error => show(error.message));
"""


def fill(root, node="pve1"):
    """A node that has one of everything that needs no server, and users of the API."""
    paths = Paths(root, node)
    full_node.fill(paths)
    paths.proxy_certificate.write_bytes(b"")
    new_pair(paths)
    with users.changing(paths) as found:
        for name, grants in ((AUDITOR, ["/=Sys.Audit"]), (OPERATOR, ["/vms/100=VM.PowerMgmt"])):
            found[name] = users.User(name, users.grants(grants))
        found["reader@pam"] = users.User("reader@pam", users.grants(["/=Sys.Audit"]))
        found["admin@pam"] = users.User("admin@pam", users.grants(["/=Sys.Audit,Sys.Modify"]))
    return paths


def new_pair(paths):
    """Another certificate, put in place as pvefw does: the key first, each by a rename."""
    pem, key = certificates.self_signed()
    for path, data in ((paths.proxy_key, key), (paths.proxy_certificate, pem)):
        staged = path.with_suffix(".new")
        staged.write_bytes(data)
        staged.rename(path)
    return pem


@dataclass
class Service:
    """What tests need of the service that runs."""

    paths: Paths
    port: int
    place: Path
    front: subprocess.Popen[bytes]
    helper: subprocess.Popen[bytes]
    said: Path
    address: str = "127.0.0.1"

    @staticmethod
    def as_front(words):
        """A command line that runs as the front's user: one without rights, where we are root."""
        if os.geteuid() != 0:
            return list(words)
        seen_by_others(ROOT)
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *words]

    def replace_pair(self):
        """Install another certificate; it is returned."""
        return new_pair(self.paths)

    def share(self, other, *names):
        """Files of /etc/pve that another node has, too: pmxcfs, or a store, sees to that."""
        for name in names:
            given, taken = self.paths.etc_pve / name, other.paths.etc_pve / name
            taken.parent.mkdir(parents=True, exist_ok=True)
            taken.write_bytes(given.read_bytes())
            taken.chmod(given.stat().st_mode)

    def url(self, path):
        return f"https://{self.address}:{self.port}{path}"

    def call(self, method, path, *, as_=None, csrf=True, **options):
        """A request with the ticket of a user, or a token."""
        headers = dict(options.pop("headers", {}))
        if as_ and "!" in as_:
            headers["Authorization"] = f"PVEAPIToken={as_}"
        elif as_:
            ticket, against = self.ticket(as_)
            headers["Cookie"] = f"PVEAuthCookie={ticket}"
            if csrf:
                headers["CSRFPreventionToken"] = against
        url = self.url(f"/api2/json{path}")
        return requests.request(method, url, headers=headers, verify=False, timeout=60, **options)

    def ticket(self, user, age=0):
        now = SystemClock().now().timestamp()
        return tickets.issue(tickets.key(self.paths), user, now - age)

    def client(self, user="root@pam"):
        """Proxmox VE's own client, logged in: a ticket is as good as a password."""
        ticket, _ = self.ticket(user)
        return self._client(user=user, password=ticket)

    def client_of_token(self, words):
        full, _, secret = words.partition("=")
        user, _, id_ = full.partition("!")
        return self._client(user=user, token_name=id_, token_value=secret)

    def _client(self, **who):
        return proxmoxer.ProxmoxAPI(
            self.address, port=self.port, backend="https", verify_ssl=False, timeout=60, **who
        )


@contextlib.contextmanager
@uses("server")
def running(root, *options, node="pve1", address="127.0.0.1", port=None, **more):
    """The service for the time of the block.

    :param options: more for the front.
    :param port: the one that all nodes of its cluster have.
    :param more: for the environment.
    """
    paths = fill(root / "root", node)
    front_user = pwd.getpwuid(65534 if os.geteuid() == 0 else os.geteuid()).pw_name
    place, port = root / "helper.sock", port or free_port()
    env = {**os.environ, "PVEFW_ROOT": str(paths.root), "PVEFW_NODE": node, "HOME": "/", **more}
    helper = [PVEFW, "api", "helper", "--socket", place, "--user", front_user, "--port", port]
    front = [PVEFW, "api", "serve", "--socket", place, "--listen", address, *options]
    front += ["--port", port]
    said = root / "helper.log"
    with process(list(map(str, helper)), said, env) as helping:
        listens(str(place), helping, said)
        log = root / "front.log"
        with process(Service.as_front(map(str, front)), log, env) as serving:
            listens((address, port), serving, log)
            yield Service(paths, port, place, serving, helping, said, address)


def listens(address, started, said):
    """Return when a server accepts connections, however slow the machine is."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX

    def accepts():
        assert started.poll() is None, said.read_text()
        with socket.socket(family) as client:
            return client.connect_ex(address) == 0

    wait_until(accepts, f"{address} accepts connections", 120)


@contextlib.contextmanager
def open_folder():
    """A folder that everybody can enter, as /run is."""
    root = Path(tempfile.mkdtemp(prefix="pvefw-api-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def service():
    """A service for all tests of a module."""
    with open_folder() as root, running(root) as found:
        yield found


MATRIX = "/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so"


@pytest.fixture
def pam_rules(tmp_path):
    """Makes rules of PAM, by which some users have the password ``secret``, until the test has ended."""
    with contextlib.ExitStack() as stack:

        def write(name, *accounts):
            place, passwords = Path("/etc/pam.d", name), tmp_path / f"{name}.passwords"
            stack.enter_context(locked(f"pam-{name}"))  # other workers have the same host
            if not Path(MATRIX).exists() or place.exists():
                pytest.skip(f"libpam-wrapper is not installed, or this host has {place}")
            passwords.write_text("".join(f"{account}:secret:{name}\n" for account in accounts))
            kinds = ("auth", "account")
            rules = (f"{kind} required {MATRIX} passdb={passwords}\n" for kind in kinds)
            stack.callback(place.unlink, missing_ok=True)
            place.write_text("".join(rules))

        yield write


@dataclass
class Front:
    """A front whose helper is the test."""

    connection: socket.socket
    """The helper's end, for pairs."""
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def listens(self):
        """Its port, once it serves a pair."""
        listens(("127.0.0.1", self.port), self.process, self.log)
        return self.port


@pytest.fixture
def front():
    """A front, which waits for its pair."""
    with open_folder() as root, socket.socket(socket.AF_UNIX) as listening:
        place, port, log = root / "helper.sock", free_port(), root / "front.log"
        listening.bind(str(place))
        place.chmod(0o777)
        listening.listen()
        listening.settimeout(120)
        words = [PVEFW, "api", "serve", "--socket", place, "--listen", "127.0.0.1", "--port", port]
        with process(
            Service.as_front(map(str, words)), log, {**os.environ, "HOME": "/"}
        ) as started:
            connection, _ = listening.accept()
            with connection:
                yield Front(connection, port, started, log)


@pytest.fixture
def pebble(tmp_path):
    with servers.pebble.pebble(tmp_path / "pebble") as server:
        yield server


@pytest.fixture
def service_that_trusts_pebble(pebble):
    """A service of its own, on a host whose trust anchors are those of the ACME server."""
    with open_folder() as root, running(root, SSL_CERT_FILE=str(pebble.ca_file)) as found:
        yield found


@pytest.fixture(scope="module")
def cluster():
    """The services of ``pve1``, which knows about the other node, and ``pve2``."""
    with open_folder() as folder, open_folder() as other:
        port = free_port()
        with (
            running(folder, address="127.0.0.2", port=port) as asked,
            running(other, node="pve2", address="127.0.0.3", port=port) as answers,
        ):
            asked.ticket("root@pam")
            asked.share(answers, "priv/pvefw-api.json", "priv/pvefw-api.key")
            answers.share(asked, "nodes/pve2/pveproxy-ssl.pem", "nodes/pve2/config")
            yield asked, answers


@pytest.fixture(scope="module")
def service_of_a_page():
    """A service with a page of one script, which shows the version or why it cannot."""
    with open_folder() as root:
        page = root / "page"
        page.mkdir()
        (page / "index.html").write_text(PAGE)
        (page / "page.js").write_text(SCRIPT)
        with running(root, "--page", page) as found:
            yield found


@pytest.fixture
def token(service):
    """Makes tokens: ``USER@REALM!ID=UUID``."""

    def make(name, id_=None, limits=None, expires=0):
        id_ = id_ or f"t{os.urandom(4).hex()}"
        with users.changing(service.paths) as found:
            found[name], secret = users.new_token(found[name], id_, limits, expires)
        return f"{name}!{id_}={secret}"

    return make


@pytest.fixture
def paths(tmp_path):
    """A node in a tree of its own."""
    (tmp_path / "root").mkdir()
    return Paths(tmp_path / "root", "pve1")
