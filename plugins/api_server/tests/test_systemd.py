"""The units of the service below a real systemd: who runs it, a renewal, a restart of each part."""

import hashlib
import sys
import sysconfig
from pathlib import Path

import certificates
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from servers.systemd import missing, systemd_host
from waiting import wait_until

from pvefw_api_server import units

PVEFW = Path(sysconfig.get_path("scripts")) / "pvefw"
FOLDER = "etc/pve/nodes/box"
SHOWN = """
import hashlib, socket, ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection(("127.0.0.1", 8006), timeout=60)) as tls:
    print(hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest())
"""


@pytest.fixture
def host(tmp_path):
    with systemd_host(tmp_path) as made:
        new_pair(made.files)
        made.boot()
        yield made


def new_pair(root):
    """Another pair, put in place as pvefw does; its fingerprint."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pem, key = certificates.self_signed()
    for name, data in (("pveproxy-ssl.key", key), ("pveproxy-ssl.pem", pem)):
        staged = folder / f"{name}.new"
        staged.write_bytes(data)
        staged.rename(folder / name)
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def shown(host):
    """The fingerprint of the certificate that is served; empty where nobody answers."""
    return host.try_(sys.executable, "-c", SHOWN).stdout.strip()


def main_process(host, unit):
    return host.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_the_service_as_its_units_run_it(host):
    host.run(PVEFW, "api", "install-service")
    wait_until(lambda: shown(host), "it is served", 120)
    first = main_process(host, units.FRONT)
    status = host.run("cat", f"/proc/{first}/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["Uid"].split()[0] == host.run("id", "-u", units.USER).strip()
    assert (lines["CapEff"], lines["NoNewPrivs"], lines["Seccomp"]) == ("0" * 16, "1", "2")
    analyzed = host.run("systemd-analyze", "security", "--no-pager", units.FRONT)
    assert float(analyzed.rpartition(": ")[2].split()[0]) < 2.5, analyzed

    renewed = new_pair(Path(f"/proc/{host.pid}/root"))
    wait_until(lambda: shown(host) == renewed, "the new pair is served", 120)
    assert main_process(host, units.FRONT) == first, "by the same process"

    for verbs in (["restart", units.HELPER], ["stop", units.FRONT], ["start", units.FRONT]):
        host.run("systemctl", *verbs)
        if verbs[0] == "stop":
            assert shown(host) == ""
        else:
            wait_until(lambda: shown(host) == renewed, f"it is served after {verbs}", 120)
    assert host.failed_units() == []
