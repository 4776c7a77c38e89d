"""What buttons of the page do to real servers, loaders and networks: one node for all of them."""

import json
import os
import shutil
import signal
import socket
import ssl
import sys

import certificates
import pytest
from boot.conftest import KERNELS, UUIDS, HostTree
from browser.conftest import serving
from browser.visits import visiting
from environments import ROOT
from privileges import only_root
from servers.bootctl import write_bootctl
from servers.directory_machine import DirectoryMachine
from servers.knot import knot
from servers.libvirt import libvirt_nodes
from servers.nameserver import Zone, loopback
from servers.nginx import write_configuration
from servers.pebble import pebble as run_pebble
from servers.processes import free_port, process, wait_for_port
from waiting import wait_until
from whole_host import Host

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("page-and-programs"),  # they share a node
    only_root("mounts file systems, and is woken on port 9"),
]

PVEFW = f"{sys.executable} {ROOT / 'tests/guides/boot_host.py'}"
MAC = "02:50:56:24:00:18"
BOOT_ORDER = "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"
BINDING_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
BROADCAST = "127.255.255.255"
FIGURES = ("run", "pages_shared", "pages_sharing", "pages_unshared", "full_scans")


class Node(Host):
    """A node whose ESPs are directories with the real systemd-boot on them."""

    @property
    def esps(self):
        return [self.root.parent / "esps" / uuid for uuid in UUIDS]

    def command(self, *arguments):
        where = ["--root", self.root, "--node", self.node]
        return [str(word) for word in (self.root.parent / "bin/pvefw", *where, *arguments)]


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    place = tmp_path_factory.mktemp("node")
    tree = HostTree(place / "root")
    (tree.root / "sys/firmware/efi").mkdir()
    for name in ("efivars", "bin", "folder"):
        (place / name).mkdir()
    (place / "efivars" / BOOT_ORDER).write_bytes(b"\7" * 6)
    write_bootctl(place / "bin", place / "folder")
    script(place / "bin/pvefw", f'exec {PVEFW} {place} "$@"')
    script(place / "bin/apart", f'shift 2  # -m pvefw\nexec {PVEFW} {place} "$@"')
    tree.paths.ksm.mkdir(parents=True)
    for name in FIGURES:
        (tree.paths.ksm / name).write_text("0\n")
    (tree.paths.etc_pve / "nodes/pve1").mkdir(parents=True)
    machine = DirectoryMachine(place / "esps")
    made = Node(tree.root, {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"})
    for uuid in UUIDS:
        machine.add(uuid)
    for uuid in UUIDS:
        made.run("boot", "init", machine.path_of(uuid))
    return made


@pytest.fixture(scope="module")
def address(node):
    with serving(node.root, node.root.parent, {}) as found:
        yield found


@pytest.fixture
def visit(browser, address, tmp_path):
    with visiting(browser, address, tmp_path) as made:
        yield made
        assert made.wrong == []


# --- boot -----------------------------------------------------------------------------------------


def test_a_kernel_is_pinned_booted_once_and_let_go(visit, node):
    old, oldest = KERNELS[1], KERNELS[0]

    def boots():
        return [(esp / "loader/loader.conf").read_text() for esp in node.esps]

    before = boots()
    visit.open("boot", "boots by default")
    of(visit, old).get_by_role("button", name="Pin", exact=True).click()
    visit.is_told(f"pvefw boot kernel pin {old}")
    visit.sees("pinned")
    assert boots() == before, "the ESPs get it with a refresh"
    refresh(visit)
    assert all(old in conf for conf in boots())

    visit.open("boot", "boots by default")
    of(visit, oldest).get_by_role("button", name="Next boot only", exact=True).click()
    visit.is_told(f"pvefw boot kernel pin --next-boot {oldest}")
    visit.sees("once at the next boot")
    refresh(visit)
    armed = [
        path.read_bytes() for path in (node.root.parent / "efivars").glob("LoaderEntryOneShot*")
    ]
    assert [oldest in data.decode("utf-16-le", "replace") for data in armed] == [True]

    visit.open("boot", "once at the next boot")
    visit.check()
    visit.press("Unpin")
    visit.is_told("pvefw boot kernel unpin")
    visit.page.get_by_role("button", name="Unpin").wait_for(state="detached")
    refresh(visit)
    assert boots() == before


def of(visit, name):
    """The row of a table whose heading is this."""
    return visit.page.get_by_role("row").filter(
        has=visit.page.get_by_role("rowheader", name=name, exact=True)
    )


def refresh(visit):
    visit.press("Refresh")
    visit.is_told("pvefw boot refresh")
    visit.ends_well()


def test_a_kernel_is_kept_and_the_command_line_changed(visit, node):
    oldest = KERNELS[0]
    visit.open("boot", "Kernel command line")
    visit.fill({"text": "root=/dev/sda3 quiet intel_iommu=on"})
    visit.press("Save")
    visit.is_told("Save: done.")
    assert "intel_iommu=on" in node.run("boot", "cmdline", "get")
    visit.fill({"version": oldest})
    visit.press("Keep this kernel")
    visit.is_told(f"pvefw boot kernel add {oldest}")
    visit.sees("kept by hand")
    of(visit, oldest).get_by_role("button", name="Stop keeping").click()
    visit.is_told(f"pvefw boot kernel remove {oldest}")
    visit.page.get_by_role("button", name="Stop keeping").wait_for(state="detached")


# --- certificates and accounts --------------------------------------------------------------------


def test_what_is_served_is_what_the_service_really_serves(visit, node, tmp_path):
    (pem, key), (old, old_key) = (
        certificates.self_signed(f"{name}.example") for name in ("new", "old")
    )
    files = [tmp_path / name for name in ("new.pem", "new.key", "old.pem", "old.key")]
    for file, data in zip(files, (pem, key, old, old_key), strict=True):
        file.write_bytes(data)
    port = free_port()
    node.run("cert", "set", files[0], files[1])
    node.run("config", "set", "--serves", f"127.0.0.1:{port}")
    write_configuration(tmp_path, port, files[2], files[3])
    nginx = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    with process(nginx, tmp_path / "nginx.log") as server:
        wait_for_port(port, server, tmp_path / "nginx.log")
        visit.open("certificates", f"127.0.0.1:{port}")
        visit.press("What is served")
        visit.sees("another certificate is served: for old.example")
        visit.is_told("pvefw cert check pveproxy")
        visit.check()
        shutil.copy(files[0], files[2])
        shutil.copy(files[1], files[3])
        server.send_signal(signal.SIGHUP)
        wait_until(
            lambda: ssl.get_server_certificate(("127.0.0.1", port)).split() == pem.decode().split(),
            "nginx serves the new one",
        )
        visit.press("What is served")
        visit.page.locator("#served").get_by_text("yes", exact=True).wait_for()
    node.run("config", "set", "--delete", "serves")


def test_an_account_is_deactivated_after_a_second_press(visit, node, pebble):
    node.register(pebble, "leaving")
    visit.open("acme", "Deactivate")
    row = of(visit, "leaving")
    row.get_by_role("button", name="View").click()
    visit.sees("valid")
    row.get_by_role("button", name="Deactivate", exact=True).click()
    visit.is_told("Press the button again")
    assert "leaving" in node.run("acme", "account", "list")
    row.get_by_role("button", name="Deactivate leaving for good?").click()
    visit.ends_well()
    visit.is_told("pvefw acme account deactivate leaving")
    visit.open("acme", "ACME accounts: none.")


def test_an_account_of_an_authority_that_binds_accounts(visit, node, tmp_path):
    """The key goes over standard input; no command line that is told has it."""
    with run_pebble(tmp_path / "pebble", binding_keys={"kid-1": BINDING_KEY}) as authority:
        visit.open("acme", "Register an account")
        visit.fill({"directory": authority.directory, "ca-file": str(authority.ca_file)})
        visit.press("Show its terms")
        visit.page.get_by_label("I agree to the terms").check()
        visit.fill({"name": "bound", "contact": "a@b.example", "eab-kid": "kid-1"})
        visit.press("Register")
        visit.page.locator("main [name='eab-hmac-key']:invalid").wait_for()  # it is required here
        visit.fill({"eab-hmac-key": BINDING_KEY})
        visit.press("Register")
        visit.ends_well()
        visit.is_told("--eab-kid kid-1 --eab-hmac-key-file FILE")
        assert BINDING_KEY not in visit.page.content()
        assert "bound" in node.run("acme", "account", "list")
        node.run("acme", "account", "deactivate", "bound")


def test_a_name_is_added_with_plugin_and_alias_and_removed(visit, node, tmp_path):
    data = tmp_path / "data"
    data.write_text("server=127.0.0.1\n")
    node.run("acme", "plugin", "add", "dns", "there", "--api", "rfc2136", "--data", data)
    visit.open("acme", "Names of the certificate")
    form = visit.page.locator("section").filter(has_text="Names of the certificate").last
    form.locator("[name='domain']").fill("*.a.example")
    form.locator("[name='plugin']").select_option("there")
    form.locator("[name='alias']").fill("b.example")
    visit.press("Add the name")
    visit.is_told("Add the name: done.")
    wanted = "domain=*.a.example,plugin=there,alias=b.example"
    assert wanted in node.run("config", "get")
    row = of(visit, "*.a.example")
    assert row.get_by_text("b.example", exact=True).count() == 1
    row.get_by_role("button", name="Remove", exact=True).click()
    row.get_by_role("button", name="Stop ordering *.a.example?").click()
    row.wait_for(state="detached")
    assert "a.example" not in node.run("config", "get")


def test_the_time_line_of_a_test_record(visit, node, tmp_path):
    here = loopback()
    with knot(
        tmp_path / "knot", [Zone("page.test.", {"ns": here}, "www A 127.0.0.1")], address=here
    ) as server:
        where = f"{server.address}:{server.port}"
        data = tmp_path / "data"
        data.write_text(
            f"server={where}\nkey_name={server.key.name}\nsecret={server.key.secret}\n"
            f"algorithm={server.key.algorithm}\n"
        )
        node.run("acme", "plugin", "add", "dns", "knot", "--api", "rfc2136", "--data", data)
        node.run("config", "set", "--resolvers", where, "--authority-port", server.port)
        visit.open("acme", "Test a plugin instance in DNS")
        trial = visit.page.locator("section").filter(has_text="Test a plugin instance in DNS").last
        trial.locator("[name='plugin']").select_option("knot")
        trial.locator("[name='domain']").fill("www.page.test")
        trial.get_by_role("button", name="Test", exact=True).click()
        visit.ends_well()
        visit.is_told("pvefw dns test")
        visit.sees("seen at")
        assert server.txt("_acme-challenge.www.page.test.") == set()
    node.run("config", "set", "--delete", "resolvers,authority-port")


# --- the node -------------------------------------------------------------------------------------


def test_another_node_is_woken(visit, node):
    settings = f"bind-interface=lo,broadcast-address={BROADCAST}"
    node.run("config", "set", "--wakeonlan", f"02:00:00:00:00:01,{settings}")
    node.paths.node_dir("pve2").mkdir()
    node.paths.node_config("pve2").write_text(f"wakeonlan: {MAC}\n")
    payload = b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) * 16
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((BROADCAST, 9))
        ear.settimeout(60)
        visit.open("node", "pve2")
        of(visit, "pve2").get_by_role("button", name="Wake", exact=True).click()
        visit.is_told("pvefw wakeonlan pve2")
        visit.is_told("Wake: done.")
        assert ear.recv(1 << 16) == payload


def test_merging_is_turned_on_off_and_undone(visit, node):
    def run():
        return (node.paths.ksm / "run").read_text().strip()

    visit.open("node", "stopped")
    visit.press("Enable")
    visit.ends_well()
    visit.is_told("pvefw ksm enable")
    assert run() == "1"
    visit.open("node", "running")
    visit.press("Disable")
    visit.ends_well()
    assert run() == "0"
    visit.open("node", "stopped")
    visit.press("Unmerge")
    assert run() == "0"
    visit.press("Undo all merging now?")
    visit.ends_well()
    visit.is_told("pvefw ksm unmerge")
    assert run() == "2"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_real_guests_are_started_and_stopped_with_the_tab_closed_meanwhile(visit, node):
    """One of them does not listen, and is stopped by force."""
    with libvirt_nodes("pve1") as [daemon]:
        for name, deaf in (("web", False), ("db", True)):
            daemon.define(name, deaf=deaf)
        node.paths.cluster_pvefw_cfg.write_text(f"guest: libvirt\n\turi {daemon.uri}\n")
        guests = json.loads(node.run("guest", "list", "--output-format", "json"))
        for guest in guests:
            node.run("guest", "set", guest["id"], "--onboot", 1, "--up", 0, "--down", 5)
        visit.open("guests", "web")
        visit.press("Start…")
        visit.press("Start these guests")
        visit.ends_well()
        assert daemon.active() == {"web", "db"}
        daemon.wait_until_booted("web", "db")

        visit.open("guests", "web")
        visit.press("Stop…")
        visit.press("Stop these guests")
        visit.sees("Task stopall")
        visit.close_tab_and_open_another()
        visit.sees("WARNINGS: 1")
        progress = visit.page.get_by_role("region", name="What happens to each guest")
        progress.get_by_text("stopped after").wait_for()
        progress.get_by_text("force-stopped").wait_for()
        assert daemon.active() == set()
    node.paths.cluster_pvefw_cfg.unlink()


# --- observers ------------------------------------------------------------------------------------


def test_an_observer_is_added_and_tried(visit, node, tmp_path):
    calls, program = tmp_path / "calls", tmp_path / "hook"
    script(program, f"cat >> {calls}")
    visit.open("observers", "Notifications and deploy hooks")
    visit.press("Add…")
    visit.fill({"id": "lb", "api": "exec"})
    visit.press("Show its settings")
    visit.fill({"program": str(program)})
    visit.press("Add lb")
    visit.is_told("pvefw observer add")
    row = of(visit, "lb")
    row.get_by_role("button", name="Test", exact=True).click()
    visit.ends_well()
    visit.is_told("pvefw observer test lb")
    assert json.loads(calls.read_text())["names"] == ["test.invalid"]


# --- plugins --------------------------------------------------------------------------------------


def test_the_doctor_is_asked(visit):
    visit.open("plugins", "Installed plugins")
    visit.press("Run the doctor")
    visit.sees("What the doctor finds")
    visit.is_told("pvefw plugin doctor")
    visit.check()
