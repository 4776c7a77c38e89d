"""Proxmox Backup Server and Mail Gateway get a certificate through their API, and nobody else does."""

from dataclasses import replace

import pytest
import trustme
from servers.processes import free_port
from servers.proxmox_certificates import (
    PASSWORD,
    SECRET,
    TOKEN,
    fingerprint,
    proxmox_server,
)

from pvefw.api import CredentialsRejected, ProviderError, Unavailable
from pvefw.testing.fakes import FakeTask
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_targets.proxmox import BackupServer, MailGateway


@pytest.fixture
def server(tmp_path):
    issued = trustme.CA().issue_cert("127.0.0.1")
    pem = issued.cert_chain_pems[0].bytes()
    with proxmox_server(tmp_path, pem, issued.private_key_pem.bytes()) as found:
        found.fingerprint = fingerprint(pem.decode())
        yield found


@pytest.fixture
def pbs(server):
    return BackupServer(
        host="127.0.0.1",
        port=server.port,
        token=TOKEN,
        secret=SECRET,
        fingerprint=server.fingerprint,
    )


@pytest.fixture
def pmg(server):
    return MailGateway(
        host="127.0.0.1",
        port=server.port,
        password=PASSWORD,
        fingerprint=server.fingerprint,
        use="smtp",
    )


@pytest.mark.parametrize(
    ("which", "path"),
    [
        ("pbs", "/nodes/localhost/certificates/custom"),
        ("pmg", "/nodes/localhost/certificates/custom/smtp"),
    ],
)
def test_it_gets_certificate_and_key(server, issue, request, which, path):
    target, event, task = request.getfixturevalue(which), issue(), FakeTask()
    [line] = target.certificate_plan(event)
    assert line.startswith("send web to Proxmox ")
    assert line.endswith(f": POST https://127.0.0.1:{server.port}/api2/json{path}")
    assert server.given == []
    target.on_certificate(event, task)
    [(where, form)] = server.given
    assert where == path
    assert form == {
        "certificates": event.certificate.read_text(),
        "key": event.key.read_text(),
        "force": "1",
        "restart": "1",
    }
    assert task.lines == ["127.0.0.1 has the certificate web"]


def test_once_its_ca_is_trusted_the_first_fingerprint_does_not_matter(server, pbs, issue, tmp_path):
    event = issue()
    server.use(event.certificate.read_bytes(), event.key.read_bytes())
    with pytest.raises(Unavailable, match="not trusted"):
        pbs.on_certificate(issue(), FakeTask())
    issue.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    replace(pbs, ca_file=tmp_path / "ca.pem").on_certificate(issue(), FakeTask())
    assert len(server.given) == 1


@pytest.mark.parametrize("which", ["pbs", "pmg"])
@pytest.mark.parametrize("pin", [None, ":".join(["00"] * 32)])
def test_nothing_is_sent_to_a_server_that_is_not_trusted(server, issue, request, which, pin):
    target = replace(request.getfixturevalue(which), fingerprint=pin)
    with pytest.raises(Unavailable):
        target.on_certificate(issue(), FakeTask())
    assert server.given == []


def test_who_has_no_rights(server, pbs, pmg, issue):
    for target in (replace(pbs, secret="wrong"), replace(pmg, password="wrong")):
        with pytest.raises(CredentialsRejected, match="status 401"):
            target.on_certificate(issue(), FakeTask())
    server.second_factor = True
    with pytest.raises(CredentialsRejected, match="second factor"):
        pmg.on_certificate(issue(), FakeTask())


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((400, None), ProviderError, "status 400"),
        ((502, None), Unavailable, "status 502"),
        ((200, []), ProviderError, "names another one"),
        ((200, [{"fingerprint": "00:11"}]), ProviderError, "names another one"),
        ((200, "x" * (2 << 20)), ProviderError, "larger than"),
        ((400, "x" * (2 << 20)), ProviderError, "larger than"),
    ],
)
def test_what_is_not_a_success(server, pbs, issue, answer, error, said):
    server.answers = [answer]
    with pytest.raises(error, match=said):
        pbs.on_certificate(issue(), FakeTask())


def test_a_token_has_a_form():
    with pytest.raises(ValueError, match="USER@REALM!NAME"):
        BackupServer(host="pbs", token="root@pam", secret="x")


class TestBackupServer(ObserverConformance):
    @pytest.fixture
    def event(self, issue):
        return issue()

    @pytest.fixture
    def plugin(self, pbs):
        return pbs

    @pytest.fixture
    def heard(self, server):
        return lambda: len(server.given)

    @pytest.fixture
    def broken_plugin(self, pbs):
        return replace(pbs, port=free_port())

    def test_the_next_certificate_is_heard_too(self, bound, heard, issue, task):
        """The kit's second one is none, and this server says which one it got."""
        for count in (1, 2):
            self.tell(bound, "on_certificate", issue(), task)
            assert heard() == count
