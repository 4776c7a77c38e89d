"""Real guests by way of our own API: one node's pvefw manages another one's as if it were Proxmox VE."""

import hashlib
import ssl

import pytest
from api_schema import assert_fits
from resources import uses
from servers.libvirt import libvirt_nodes
from whole_host import Host

from pvefw.api import GuestState
from pvefw.testing.guest import GuestConformance
from pvefw_api import table
from pvefw_api_server import users
from pvefw_guest_libvirt import Libvirt
from pvefw_guest_pve import Pve

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]
RIGHTS = "/=Sys.Audit,VM.Audit,VM.PowerMgmt,VM.Config.Options,VM.Migrate"


@pytest.fixture(scope="module")
def daemon():
    with libvirt_nodes("n1") as [made]:
        yield made


@pytest.fixture(scope="module")
def settings(service, daemon):
    """Settings of the plugin ``pve`` that lead to our service, whose guests are the daemon's."""
    service.paths.cluster_pvefw_cfg.write_text(f"guest: libvirt\n\turi {daemon.uri}\n")
    with users.changing(service.paths) as found:
        manager = users.User("manager@pve", users.grants([RIGHTS]))
        found[manager.name], secret = users.new_token(manager, "node", None, 0)
    der = ssl.PEM_cert_to_DER_cert(service.paths.proxy_certificate.read_text())
    digest = hashlib.sha256(der).hexdigest().upper()
    return {
        "token": "manager@pve!node",
        "secret": secret,
        "host": "127.0.0.1",
        "port": service.port,
        "fingerprint": ":".join(digest[at : at + 2] for at in range(0, 64, 2)),
        "node": "pve1",
    }


@pytest.fixture
def guests(daemon, settings):
    """Defines guests; what they are called leads to their numbers."""

    def define(*names, deaf=()):
        for name in names:
            daemon.define(name, deaf=name in deaf)
        return {guest.name: guest.vmid for guest in Libvirt(uri=daemon.uri).guest_list()}

    yield define
    daemon.clear()


@pytest.fixture
def manager(tmp_path, settings):
    """Another node, whose guests are those of the service."""
    made = Host(tmp_path / "manager", node="pve9")
    secret = made.root / "secret"
    secret.write_text(settings["secret"])
    lines = {**settings, "secret": f"file:{secret}"}
    made.paths.cluster_pvefw_cfg.parent.mkdir(parents=True)
    text = "".join(f"\t{key} {value}\n" for key, value in lines.items())
    made.paths.cluster_pvefw_cfg.write_text(f"guest: pve\n{text}")
    return made


@pytest.fixture
@uses("night")  # the test after the kit's manages a node in the same way, every time
def three(guests):
    """The numbers of three guests, of which one ignores a shutdown."""
    return guests("web", "db", "deaf", deaf=["deaf"])


class TestOurOwnApi(GuestConformance):
    """The plugin for Proxmox VE cannot tell that it is pvefw which answers."""

    @pytest.fixture
    def vmids(self, three):
        return [three["web"], three["db"]]

    @pytest.fixture
    def names(self, daemon, vmids):
        return {guest.vmid: guest.name for guest in Libvirt(uri=daemon.uri).guest_list()}

    @pytest.fixture
    def stubborn(self, three):
        return three["deaf"]

    @pytest.fixture
    def plugin(self, settings, vmids):
        return Pve(**settings)

    @pytest.fixture
    def look(self, daemon, names):
        running, stopped = GuestState.RUNNING, GuestState.STOPPED
        return lambda vmid: running if names[vmid] in daemon.active() else stopped


def test_a_bulk_stop_from_another_node(manager, guests, daemon):
    """Each guest is a task there; one that ignores the button is stopped by force, and is named."""
    ids = guests("web", "deaf", deaf=["deaf"])
    for name, order in (("web", 1), ("deaf", 2)):
        manager.run("guest", "set", ids[name], "--onboot", 1, "--order", order, "--up", 0)
    manager.run("guest", "set", ids["deaf"], "--down", 1)
    manager.run("startall")
    assert daemon.active() == {"web", "deaf"}
    daemon.wait_until_booted("web", "deaf")
    said = manager.run("stopall")
    assert daemon.active() == set()
    assert f"WARN: {ids['deaf']} (deaf): force-stopped" in said
    assert "2 of 2 guests done" in said


def test_each_guests_power_is_a_permission_of_its_own(service, guests, token, daemon):
    """Who may see and start one guest may nothing with another, nor anything beyond its power."""
    ids = guests("mine", "other")
    limits = users.grants([f"/vms/{ids['mine']}=VM.PowerMgmt,VM.Audit"])
    with users.changing(service.paths) as found:
        found["narrow@pve"] = users.User("narrow@pve", limits)
    words = token("narrow@pve")
    base = f"/nodes/pve1/qemu/{ids['mine']}"
    assert service.call("GET", f"{base}/status/current", as_=words).json()["data"]["name"] == "mine"
    refused = [
        ("GET", f"/nodes/pve1/qemu/{ids['other']}/config", {}),
        ("POST", f"/nodes/pve1/qemu/{ids['other']}/status/start", {}),
        ("PUT", f"{base}/config", {"onboot": 1}),
        ("POST", f"{base}/migrate", {"target": "pve2"}),
    ]
    for method, path, given in refused:
        assert service.call(method, path, as_=words, data=given).status_code == 403, path
    [row] = service.call("GET", "/nodes/pve1/qemu", as_=words).json()["data"]
    assert row["vmid"] == ids["mine"]
    assert daemon.active() == set()


def test_what_a_guest_says_fits_the_published_schema(service, guests):
    ids = guests("web")
    of_one = ("", "/config", "/status", "/status/current", "/migrate")
    paths = [f"/nodes/pve1/qemu/{ids['web']}{path}" for path in of_one]
    paths += ["/nodes/pve1/qemu", "/nodes/pve1/lxc", "/cluster/resources", "/cluster/ha/resources"]
    for path in paths:
        answer = service.call("GET", path, as_="root@pam")
        assert answer.status_code == 200, answer.text
        assert_fits(table.find("GET", path)[0], answer.json()["data"])


def test_what_a_guest_is_refused_has_proxmox_ves_words(service, guests):
    """A guest that is not there, a container that is a machine, settings that are not kept here."""
    ids = guests("web")
    for path in ("qemu/999999", f"lxc/{ids['web']}"):
        answer = service.call("GET", f"/nodes/pve1/{path}/config", as_="root@pam")
        assert answer.status_code == 500
        assert "does not exist" in answer.json()["errors"]["message"]
    config = f"/nodes/pve1/qemu/{ids['web']}/config"
    for given, wrong in (
        ({"name": "x"}, "name"),
        ({"delete": "agent"}, "agent"),
        ({"startup": "later=1"}, "startup"),
        ({"onboot": "1", "digest": "0"}, "message"),
    ):
        answer = service.call("PUT", config, as_="root@pam", data=given)
        assert answer.status_code in (400, 500)
        assert set(answer.json()["errors"]) == {wrong}
