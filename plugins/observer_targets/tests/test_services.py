"""Each service as it is installed: it serves what it was given, and keeps what it had otherwise."""

import contextlib
import os
from functools import partial
from pathlib import Path

import pytest
from resources import uses
from servers.libvirt import as_nobody
from servers.nginx import write_configuration
from servers.processes import free_port, process, wait_for_port
from waiting import wait_until

from pvefw.api import ProviderError
from pvefw.testing.fakes import FakeTask
from pvefw_observer_targets import services
from pvefw_observer_targets.services import Apache, Cockpit, LibvirtTls, Nginx

APACHE = """
ServerRoot /etc/apache2
ServerName www.example
PidFile {here}/apache.pid
ErrorLog {here}/apache.error
DefaultRuntimeDir {here}
Mutex file:{here}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
User www-data
Group www-data
Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile {here}/ssl/web.pem
SSLCertificateKeyFile {here}/ssl/web.key
"""
LIBVIRT = """
listen_tls = 1
listen_addr = "127.0.0.1"
tls_port = "{port}"
key_file = "{pki}/serverkey.pem"
cert_file = "{pki}/servercert.pem"
ca_file = "{pki}/cacert.pem"
tls_no_verify_certificate = 1
"""


@pytest.fixture
def here(short_path):
    short_path.chmod(0o755)  # servers become other users
    found = short_path / "service"
    found.mkdir(mode=0o755)
    return found


def nginx(here, port):
    config = write_configuration(here, port, here / "ssl/web.pem", here / "ssl/web.key")
    target = Nginx(
        certificate=f"{here}/ssl/{{name}}.pem",
        key=f"{here}/ssl/{{name}}.key",
        config=config,
        reload=f"nginx -c {config} -s reload",
    )
    return target, process(["nginx", "-c", str(config)], here / "log")


def apache(here, port):
    config = here / "apache.conf"
    config.write_text(APACHE.format(here=here, port=port))
    target = Apache(
        certificate=f"{here}/ssl/{{name}}.pem",
        key=f"{here}/ssl/{{name}}.key",
        config=config,
        reload=f"kill -USR1 $(cat {here}/apache.pid)",
    )
    return target, process(["apache2", "-f", str(config), "-DFOREGROUND"], here / "log")


@uses("server")
@pytest.mark.parametrize("make", [nginx, apache])
def test_a_web_server(here, issue, served, monkeypatch, make):
    port, task = free_port(), FakeTask()
    target, server = make(here, port)
    monkeypatch.setattr(services, "is_stopped", lambda _unit: True)
    first = issue()
    target.on_certificate(first, task)
    assert "is stopped; it reads the certificate when it starts" in task.lines[-1]
    monkeypatch.undo()
    with server as running:
        wait_for_port(port, running, here / "log")
        assert served(port) == first.fingerprint
        second = issue()
        files = [str(here / "ssl/web.key"), str(here / "ssl/web.pem")]
        plan = target.certificate_plan(second)
        assert [line.split(" ")[1] for line in plan[:2]] == files
        assert [line.partition(" ")[0] for line in plan[2:]] == ["check", "run"]
        target.on_certificate(second, task)
        wait_until(lambda: served(port) == second.fingerprint, "it serves the new one", 60)
        assert target.certificate_plan(second) == plan[2:]
        kept = [second.key.read_bytes(), second.certificate.read_bytes()]
        target.config.write_text("nonsense")
        with pytest.raises(ProviderError, match="refuses its configuration") as error:
            target.on_certificate(issue(), task)
        assert "The old files are back" in error.value.hint
        assert [Path(file).read_bytes() for file in files] == kept
        wait_until(lambda: served(port) == second.fingerprint, "its old processes end", 60)


COCKPIT = """
mount -t tmpfs cockpit /run || exit 1
mkdir -p /run/cockpit/wsinstance
trap 'kill $!; exit' TERM
while :; do
    rm -rf $RUNTIME_DIRECTORY
    mkdir -p -m 700 $RUNTIME_DIRECTORY
    /usr/lib/cockpit/cockpit-certificate-ensure --for-cockpit-tls || exit 1
    systemd-socket-activate -E RUNTIME_DIRECTORY -l 127.0.0.1:$0 \
        /usr/lib/cockpit/cockpit-tls --idle-timeout 0 &
    echo $! > $1
    wait $!
done
"""
"""As its units do it; the directory that its programs have in them is a private one."""


def test_cockpit(here, issue, served, monkeypatch):
    folder, port, pid = here / "cockpit/ws-certs.d", free_port(), here / "pid"
    surroundings = {"XDG_CONFIG_DIRS": str(here), "RUNTIME_DIRECTORY": "/run/cockpit/tls"}
    target = Cockpit(
        certificate=f"{folder}/{{name}}.cert",
        key=f"{folder}/{{name}}.key",
        reload=f"test ! -e {pid} || kill $(cat {pid})",
    )
    monkeypatch.setattr(services, "run", partial(services.run, env=surroundings))
    first = issue()
    target.on_certificate(first, FakeTask())
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", COCKPIT]
    env = {**os.environ, **surroundings}
    with process([*argv, str(port), str(pid)], here / "log", env) as running:
        wait_for_port(port, running, here / "log")
        assert served(port) == first.fingerprint
        second = issue()
        target.on_certificate(second, FakeTask())
        wait_until(lambda: served(port) == second.fingerprint, "it serves the new one", 60)
    (folder / "zz.cert").write_bytes(second.certificate.read_bytes())
    (folder / "zz.key").write_bytes(second.key.read_bytes())
    with pytest.raises(ProviderError, match=f"would not use {folder}/web.cert.*zz.cert"):
        target.on_certificate(issue(), FakeTask())


@contextlib.contextmanager
def libvirtd(home, port):
    """A daemon of an ordinary user, in a namespace that ends with it."""
    pki = home / ".pki/libvirt"
    (home / "conf/libvirt").mkdir(parents=True)
    (home / "conf/libvirt/libvirtd.conf").write_text(LIBVIRT.format(port=port, pki=pki))
    folders = {"RUNTIME_DIR": "run", "CONFIG_HOME": "conf", "CACHE_HOME": "c", "DATA_HOME": "d"}
    env = {f"XDG_{key}": str(home / folder) for key, folder in folders.items()}
    env |= {"HOME": str(home), "PATH": f"{os.environ['PATH']}:/usr/sbin", "LANG": "C.UTF-8"}
    for folder in folders.values():
        (home / folder).mkdir(exist_ok=True)
    with process([*as_nobody(), "libvirtd", "--listen"], home / "log", env) as running:
        wait_for_port(port, running, home / "log")
        yield running
        running.kill()


def test_libvirt(here, issue, served):
    pki, port, task = here / ".pki/libvirt", free_port(), FakeTask()
    admin = f"libvirtd:///session?socket={here}/run/libvirt/libvirt-admin-sock"
    target = LibvirtTls(
        certificate=str(pki / "servercert.pem"),
        key=str(pki / "serverkey.pem"),
        reload=f"virt-admin -c '{admin}' server-update-tls libvirtd",
    )
    pki.mkdir(parents=True)
    issue.authority.cert_pem.write_to_path(pki / "cacert.pem")
    first = issue()
    (pki / "servercert.pem").write_bytes(first.certificate.read_bytes())
    (pki / "serverkey.pem").write_bytes(first.key.read_bytes())
    with libvirtd(here, port):
        assert served(port) == first.fingerprint
        second = issue()
        target.on_certificate(second, task)
        assert served(port) == second.fingerprint
        kept = (pki / "servercert.pem").read_bytes()
        issue.authority = type(issue.authority)()
        with pytest.raises(ProviderError, match="libvirtd does not load the new files"):
            target.on_certificate(issue(), task)
        assert served(port) == second.fingerprint
        assert (pki / "servercert.pem").read_bytes() == kept


def test_paths_are_absolute():
    with pytest.raises(ValueError, match="not an absolute path"):
        Nginx(key="site.key")


def test_reload_is_a_command_line():
    with pytest.raises(ValueError, match=r"reload 'a \|\|' is not a command line of sh\(1\)"):
        Nginx(reload="a ||")


def test_without_systemd_nothing_is_known_to_be_stopped(monkeypatch):
    monkeypatch.setattr(services.shutil, "which", lambda _name: None)
    assert services.is_stopped("nginx") is False
