"""Wake-on-LAN by the bytes that arrive at the other end of a cable."""

import errno
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from privileges import only_root

from pvefw.core.errors import NotFound
from pvefw.node import wakeonlan
from pvefw.store import files, node_settings, nodes, oddities
from pvefw.store.paths import Paths

MACHINE = Path(__file__).with_name("machine.py")
MAC = "00:16:3E:aB:cd:0f"
PAYLOAD = "ff" * 6 + "00163eabcd0f" * 16

namespaces = only_root("makes network namespaces")


def configure(paths, node, value):
    node_settings.change(Paths(paths.root, node), {"wakeonlan": value})


@pytest.fixture
def wake(paths):
    """Runs pvefw in a network of its own; what arrived where, and what it said."""
    configure(paths, "pve2", MAC)

    def do(*arguments, port=0):
        command = [sys.executable, str(MACHINE), str(port), "--root", str(paths.root)]
        done = subprocess.run(
            ["unshare", "--net", *command, "--node", "pve1", "wakeonlan", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return json.loads(done.stdout)

    return do


@namespaces
@pytest.mark.parametrize("pair", [0, 1])
def test_the_packet_leaves_through_the_interface_that_it_is_bound_to(paths, wake, pair):
    configure(paths, "pve1", f"00:00:00:00:00:02,bind-interface=near{pair}")
    seen = wake("pve2")
    assert seen["frames"] == [
        {
            "at": f"far{pair}",
            "ethernet": "ff:ff:ff:ff:ff:ff",
            "to": "255.255.255.255",
            "payload": PAYLOAD,
        }
    ]
    assert (seen["status"], seen["err"]) == (0, "")
    assert seen["out"] == (
        f"Wake-on-LAN packet for pve2 ({MAC}) sent to 255.255.255.255 through near{pair}\n"
    )


@namespaces
@pytest.mark.parametrize("pair", [0, 1])
def test_a_directed_broadcast_finds_its_network(paths, wake, pair):
    configure(paths, "pve1", f"00:00:00:00:00:02,broadcast-address=10.10.{pair}.255")
    (frame,) = wake("pve2")["frames"]
    assert (frame["at"], frame["to"]) == (f"far{pair}", f"10.10.{pair}.255")
    assert (frame["ethernet"], frame["payload"]) == ("ff:ff:ff:ff:ff:ff", PAYLOAD)


@namespaces
def test_both_together(paths, wake):
    configure(paths, "pve1", "00:00:00:00:00:02,bind-interface=near1,broadcast-address=10.10.1.255")
    (frame,) = wake("pve2")["frames"]
    assert (frame["at"], frame["to"], frame["payload"]) == ("far1", "10.10.1.255", PAYLOAD)


@namespaces
@pytest.mark.parametrize(
    ("ours", "why", "hint"),
    [
        (
            "bind-interface=nowhere0",
            "255.255.255.255 through nowhere0: No such device",
            "no such interface",
        ),
        (
            "bind-interface=down0",
            "255.255.255.255 through down0: Network is unreachable",
            "down0 is down. Bring it up: ip link set dev down0 up",
        ),
        ("broadcast-address=192.0.2.255", "192.0.2.255: Network is unreachable", "bind-interface"),
    ],
)
def test_a_packet_that_cannot_be_sent(paths, wake, ours, why, hint):
    configure(paths, "pve1", f"00:00:00:00:00:02,{ours}")
    seen = wake("pve2")
    assert (seen["frames"], seen["out"], seen["status"]) == ([], "", 1)
    assert f"wakeonlan: pve2: the packet could not be sent to {why}" in seen["err"]
    assert hint in seen["err"]


def test_an_interface_that_is_up_and_leads_nowhere_needs_another_address(monkeypatch):
    magic = wakeonlan.MagicPacket("pve2", MAC, "192.0.2.255", "near0")
    assert "near0 is down. Bring it up: " in wakeonlan._hint(magic, errno.ENETUNREACH)
    monkeypatch.setattr(wakeonlan, "_is_up", lambda _interface: True)
    assert wakeonlan._hint(magic, errno.ENETUNREACH) == (
        "near0 has no route to 192.0.2.255: set another broadcast-address."
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@namespaces
def test_waiting_until_the_node_answers_where_the_cluster_says_it_is(paths, wake):
    configure(paths, "pve1", "00:00:00:00:00:02,bind-interface=near0")
    members = {"nodename": "pve1", "nodelist": {"pve2": {"id": 2, "online": 0, "ip": "127.0.0.1"}}}
    paths.members.write_text(json.dumps(members))
    port = free_port()
    seen = wake("pve2", "--wait", "100", "--port", str(port), port=port)
    assert (seen["status"], seen["err"]) == (0, "")
    assert f"pve2 answers on 127.0.0.1 port {port} after " in seen["out"]


@namespaces
def test_a_node_that_does_not_wake_up(paths, wake):
    configure(paths, "pve1", "00:00:00:00:00:02,bind-interface=near0")
    seen = wake("pve2", "--wait", "1", "--address", "127.0.0.1")
    assert seen["status"] == 1
    assert len(seen["frames"]) == 1
    assert "pve2: no answer from 127.0.0.1 port 8006 within 1 seconds" in seen["err"]


# --- what is refused ------------------------------------------------------------------------------


def test_waking_oneself(paths, pvefw):
    configure(paths, "pve1", MAC)
    status, _, said = pvefw("wakeonlan", "pve1")
    assert (status, said.splitlines()[0]) == (
        2,
        "pvefw: wakeonlan: pve1: this is the node itself",
    )


def test_an_unknown_node_names_those_that_are_known(paths, pvefw):
    configure(paths, "pve2", MAC)
    configure(paths, "pve3", MAC)
    status, _, said = pvefw("wakeonlan", "pve4")
    assert status == 1
    assert "pve4: there is no such node" in said
    assert "pve2, pve3" in said
    assert pvefw("wakeonlan", "../etc")[0] == 2


def test_a_node_without_a_mac(paths, pvefw):
    paths.node_dir("pve2").mkdir(parents=True)
    status, _, said = pvefw("wakeonlan", "pve2")
    assert status == 1
    assert "pve2: its MAC address is not configured" in said
    assert "pvefw --node pve2 config set --wakeonlan MAC" in said


@pytest.mark.parametrize("value", ["00:16:3e:ab:cd", "bind-interface=vmbr0", "01:00:5e:00:00:01"])
def test_a_damaged_configuration_counts_as_not_set_with_a_warning(paths, pvefw, value):
    configure(paths, "pve1", f"{MAC},broadcast-address=127.0.0.1")
    configure(paths, "pve2", MAC)
    paths.node_config("pve2").write_text(f"#note\nwakeonlan: {value}\n")
    status, _, said = pvefw("wakeonlan", "pve2")
    assert status == 1
    assert f"warning: {paths.node_config('pve2')}:2: wakeonlan: " in said
    assert "[mac=]MAC[,bind-interface=IF][,broadcast-address=IP]" in said
    assert "pve2: its MAC address is not configured" in said


def test_a_damaged_configuration_of_this_node_sends_to_everybody(paths):
    configure(paths, "pve2", MAC)
    files.replace(paths.node_config("pve1"), b"wakeonlan: nonsense\n")
    heard = []
    with oddities.listening(heard.append):
        call = wakeonlan.prepare(paths, "pve2")
    assert (call.mac, call.broadcast, call.interface) == (MAC, "255.255.255.255", "")
    assert heard[0].startswith(f"{paths.node_config('pve1')}:1: wakeonlan: ")


def test_a_name_server_that_does_not_answer_is_given_up(paths, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(nodes, "_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: never.wait())
    try:
        with pytest.raises(
            NotFound, match=r"pve7: its address is not known: .* no name server answers"
        ):
            nodes.address(paths, "pve7")
    finally:
        never.set()


def test_a_node_whose_address_nobody_knows_is_not_waited_for(paths, pvefw, monkeypatch):
    def unknown(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no name server is to be asked
    configure(paths, "no-such-name", MAC)
    for members in ("", "{}", "nonsense", '{"nodelist": {"no-such-name": 7}}'):
        paths.members.write_text(members)
        status, out, said = pvefw("wakeonlan", "no-such-name", "--wait", "5")
        assert (status, out) == (1, "")
        assert "its address is not known" in said
        assert "--address" in said
