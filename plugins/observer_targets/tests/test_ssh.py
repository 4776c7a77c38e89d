"""Files on another host, through a real sshd."""

import getpass
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from privileges import only_root
from servers.processes import free_port, process, wait_for_port

from pvefw.api import CredentialsRejected, ProviderError, Unavailable
from pvefw.testing.fakes import FakeTask
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_targets.ssh import Ssh

pytestmark = only_root("may log in at an sshd, whatever its password is")

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {here}/host
AuthorizedKeysFile {here}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""


def key(path):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path.with_name(f"{path.name}.pub").read_text()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """A server for our own user; what reaches it."""
    here, port = tmp_path_factory.mktemp("sshd"), free_port()
    host, _ = key(here / "host"), key(here / "client")
    (here / "known").write_text(f"[127.0.0.1]:{port} {host}")
    (here / "config").write_text(CONFIG.format(here=here, port=port))
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 - where it shuts itself in
    command = [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", str(here / "config")]
    with process(command, here / "log") as running:
        wait_for_port(port, running, here / "log")
        yield {
            "host": "127.0.0.1",
            "port": port,
            "user": getpass.getuser(),
            "identity": here / "client",
            "known_hosts": here / "known",
        }


@pytest.fixture
def there(tmp_path):
    return tmp_path / "other host"


@pytest.fixture
def target(sshd, there):
    return Ssh(**sshd, fullchain=there / "site's.pem", key=there / "site.key", mode="0640")


def modes(there):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in there.iterdir()}


def test_files_and_then_a_command(sshd, target, there, issue):
    event, task = issue(), FakeTask()
    target = replace(
        target, pkcs12=there / "p12", command=f"cat '{there}/site.key' > '{there}/read'"
    )
    assert target.certificate_plan(event) == [
        f"write 127.0.0.1:{there}/site's.pem (fullchain, 0644)",
        f"write 127.0.0.1:{there}/site.key (key, 0640)",
        f"write 127.0.0.1:{there}/p12 (pkcs12, 0640)",
        f"run on 127.0.0.1: {target.command}",
    ]
    assert not there.exists()
    target.on_certificate(event, task)
    assert (there / "site's.pem").read_bytes() == event.certificate.read_bytes()
    assert (
        (there / "read").read_bytes() == (there / "site.key").read_bytes() == event.key.read_bytes()
    )
    assert (there / "p12").read_bytes()[:1] == b"\x30"
    assert {key: mode for key, mode in modes(there).items() if key != "read"} == {
        "site's.pem": 0o644,
        "site.key": 0o640,
        "p12": 0o640,
    }


def test_all_or_none(target, there, issue):
    """What cannot be staged keeps the others from their places; nothing unfinished is left."""
    target.on_certificate(issue(), FakeTask())
    kept = (there / "site's.pem").read_bytes()
    (there / "file").write_text("in the way")
    with pytest.raises(ProviderError, match="nothing is written"):
        replace(target, key=there / "file/site.key").on_certificate(issue(), FakeTask())
    assert (there / "site's.pem").read_bytes() == kept
    assert sorted(modes(there)) == ["file", "site's.pem", "site.key"]
    with pytest.raises(ProviderError, match="invalid user"):
        replace(target, owner="no-such-user").on_certificate(issue(), FakeTask())
    assert (there / "site's.pem").read_bytes() == kept


def test_what_a_command_refuses_is_taken_back(target, there, issue):
    target = replace(target, command="echo no >&2; exit 3")
    with pytest.raises(ProviderError, match=r"'echo no >&2; exit 3' failed, the old .*: no"):
        target.on_certificate(issue(), FakeTask())
    assert list(there.iterdir()) == []
    replace(target, command=None).on_certificate(issue(), FakeTask())
    kept = {path: (path.read_bytes(), path.stat().st_mode) for path in there.iterdir()}
    with pytest.raises(ProviderError, match="the old files are back"):
        target.on_certificate(issue(), FakeTask())
    assert {path: (path.read_bytes(), path.stat().st_mode) for path in there.iterdir()} == kept


def test_nothing_is_sent_to_a_host_that_is_not_known(sshd, target, there, issue, tmp_path):
    for text in ("", sshd["known_hosts"].read_text().split()[0] + f" {key(tmp_path / 'other')}"):
        (tmp_path / "known").write_text(text)
        stranger = replace(target, known_hosts=tmp_path / "known")
        with pytest.raises(ProviderError, match="host key is not the one that is known") as error:
            stranger.on_certificate(issue(), FakeTask())
        assert f"ssh-keyscan -p {sshd['port']} 127.0.0.1" in error.value.hint
        assert str(tmp_path / "known") in error.value.hint
    assert not there.exists()


def test_who_may_not_log_in_and_who_cannot_be_reached(sshd, target, issue, tmp_path):
    key(tmp_path / "stranger")
    with pytest.raises(CredentialsRejected, match="Permission denied"):
        replace(target, identity=tmp_path / "stranger").on_certificate(issue(), FakeTask())
    shutil.copy(sshd["identity"], tmp_path / "open")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(CredentialsRejected):
        replace(target, identity=tmp_path / "open").on_certificate(issue(), FakeTask())
    with pytest.raises(Unavailable, match="refused"):
        replace(target, port=free_port()).on_certificate(issue(), FakeTask())


@pytest.mark.parametrize(
    "wrong",
    [{"host": "-oProxyCommand=true"}, {"user": "a b"}, {"owner": "a;b"}, {"command": "if"}],
)
def test_settings_that_are_no_settings(wrong):
    with pytest.raises(ValueError, match="is not"):
        Ssh(**{"host": "web2", "key": Path("/site.key"), **wrong})


class TestSsh(ObserverConformance):
    @pytest.fixture
    def plugin(self, target):
        return target

    @pytest.fixture
    def heard(self, there):
        path = there / "site's.pem"
        return lambda: path.read_bytes() if path.exists() else None

    @pytest.fixture
    def broken_plugin(self, target):
        return replace(target, port=free_port())
