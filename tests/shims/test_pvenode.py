"""Every example of the administration guide for ``pvenode``, word for word, with what comes of it."""

import contextlib
import time

import certificates
import pexpect
from privileges import only_root
from shims.conftest import Node

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"


# --- the node -------------------------------------------------------------------------------------


@only_root("makes network namespaces")
def test_wake_on_lan(node):
    node.types("pvenode config set -wakeonlan 52:54:00:12:34:56")
    assert node.has("wakeonlan") == "52:54:00:12:34:56"
    node.types("pvenode config set -wakeonlan 52:54:00:12:34:56,bind-interface=vmbr0")
    assert node.has("wakeonlan").endswith("bind-interface=vmbr0")
    node.types("pvenode config set -wakeonlan 52:54:00:12:34:56,broadcast-address=192.0.2.255")
    assert node.has("wakeonlan").endswith("broadcast-address=192.0.2.255")
    node.write("etc/pve/nodes/pve2/config", "wakeonlan: 52:54:00:12:34:57\n")
    network = "ip link add w0 type veth peer name w1 && ip addr add 192.0.2.1/24 dev w0"
    network += " && ip link set w0 up && ip link set w1 up"
    said = node.types(f"unshare --net sh -c '{network} && pvenode wakeonlan pve2'")
    assert "52:54:00:12:34:57" in said


def test_tasks(node):
    line = f"{UPID} 6124E1CA ERROR: backup failed\n"
    node.write("var/log/pve/tasks/index", line)
    node.write(f"var/log/pve/tasks/9/{UPID}", "INFO: starting\nTASK ERROR: backup failed\n")
    listed = node.types("pvenode task list --errors --vmid 100")
    assert UPID in listed
    assert "ERROR" in listed
    for column in ("upid", "type", "id", "user", "starttime", "endtime", "status"):
        assert column in listed
    shown = node.types(f"pvenode task log {UPID}")
    assert shown == "INFO: starting\nTASK ERROR: backup failed\n"


def test_guests(farm):
    node = Node(farm.root, PYTHONPATH=str(farm.site))
    for vmid in (100, 101, 102, 103):
        farm.guest(vmid, onboot=False, memory=1 << 20)
    node.types("pvenode startall --vms 100,101,102 --force")
    assert [farm.state(vmid) for vmid in (100, 101, 102, 103)] == [*["running"] * 3, "stopped"]
    said = node.types("pvenode migrateall pve2 --vms 100,101,102 --with-local-disks")
    assert [event["target"] for event in farm.events("migrate")] == ["pve2"] * 3
    assert said.endswith("Task OK\n")
    node.types("pvenode stopall")
    assert [farm.state(vmid) for vmid in (100, 101, 102)] == ["stopped"] * 3
    node.types("pvenode config set --startall-onboot-delay 10")
    assert node.has("startall-onboot-delay") in (10, "10")


# --- certificates ---------------------------------------------------------------------------------


def test_a_certificate_of_ones_own(node):
    made = certificates.self_signed("pve1.example.com")
    (node.directory / "certificate.crt").write_bytes(made[0])
    (node.directory / "certificate.key").write_bytes(made[1])
    node.types("pvenode cert set certificate.crt certificate.key -force")
    assert (node.root / "etc/pve/nodes/pve1/pveproxy-ssl.pem").read_bytes().strip() == (
        made[0].strip()
    )


def registers(node, directory):
    """The registration of the guide, at a terminal."""
    with contextlib.closing(
        node.at_terminal("pvenode acme account register default mail@example.invalid")
    ) as session:
        session.expect("Directory endpoints:")
        session.expect_exact("0) Let's Encrypt V2 (https://acme-v02.api.letsencrypt.org/directory)")
        session.expect_exact("1) Let's Encrypt V2 Staging (https://acme-staging-v02")
        session.expect_exact("2) Custom")
        session.expect("Enter selection:")
        session.sendline("2")
        session.expect("Enter custom URL:")
        session.sendline(directory)
        session.expect("Terms of Service:")
        session.expect_exact("Do you agree to the above terms? [y|N]")
        session.sendline("y")
        session.expect("external account binding")
        session.sendline("n")
        session.expect("Task OK")
        session.expect(pexpect.EOF)


def test_from_an_account_to_a_certificate_and_to_another_account(authority, pebble):
    registers(authority, pebble.directory)
    authority.types("pvenode config set --acme domains=example.invalid")
    said = authority.types("pvenode acme cert order")
    steps = [
        *[
            "Loading ACME account details",
            "Placing ACME order",
            "Order URL",
            "Getting authorization",
        ],
        *["The validation for example.invalid is pending!", "Setting up webserver"],
        *["Triggering validation", "'valid'", "Taking down webserver", "All domains validated!"],
        *["Creating CSR", "Checking order status", "Order is ready, finalizing order", "valid!"],
        *["Downloading certificate", "Setting pveproxy certificate and key", "Task OK"],
    ]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    said = authority.types("pvenode acme account deactivate default")
    accounts = authority.root / "etc/pve/priv/acme"
    assert "_deactivated_default_0" in said
    assert (accounts / "_deactivated_default_0").exists()
    registers(authority, pebble.directory)
    assert (accounts / "default").exists()


def test_a_dns_plugin_and_a_name_of_its_own(node):
    (node.directory / "api-token").write_text("OVH_AK=key\nOVH_AS=secret-as\nOVH_CK=secret-ck\n")
    node.types("pvenode acme plugin add dns example_plugin --api ovh --data api-token")
    shown = node.types("pvenode acme plugin config example_plugin")
    for word in ("api", "data", "digest", "plugin", "type", "ovh", "OVH_AK="):
        assert word in shown
    assert "secret-as" not in shown
    assert "secret-as" in node.types("pvenode acme plugin config example_plugin --show-secrets")
    node.types("pvenode config set -acmedomain0 example.proxmox.com,plugin=example_plugin")
    assert node.has("acmedomain0") == "example.proxmox.com,plugin=example_plugin"
    node.types("pvenode config set -acmedomain1 domain1.example,alias=domain2.example")
    assert node.has("acmedomain1") == "domain1.example,alias=domain2.example"


def test_the_upid_of_the_example_is_of_the_past():
    assert int(UPID.split(":")[4], 16) < time.time()
