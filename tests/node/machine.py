"""Runs inside a network namespace: a network, a machine that sleeps in it, and pvefw that wakes it.

Two pairs of interfaces: near0—far0 (10.10.0.1/24) and near1—far1 (10.10.1.1/24). What arrives at the
far ends for UDP port 9 is printed as JSON, with what pvefw said. With a port as first argument, the
machine listens there from the moment that it was called.
"""

import json
import select
import socket
import subprocess
import sys

ETH_P_IP = 0x0800
PAIRS = 2


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def network():
    ip("link", "set", "dev", "lo", "up")
    for number in range(PAIRS):
        near, far = f"near{number}", f"far{number}"
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("address", "add", f"10.10.{number}.1/24", "broadcast", "+", "dev", near)
        ip("link", "set", "dev", near, "up")
        ip("link", "set", "dev", far, "up")
    ip("link", "add", "down0", "type", "veth", "peer", "name", "down1")
    ip("address", "add", "10.10.9.1/24", "broadcast", "+", "dev", "down0")


def listener(interface):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    sock.bind((interface, 0))
    return sock


def heard(sock):
    """The next frame for UDP port 9, taken apart."""
    frame = sock.recv(2048)
    header = (frame[14] & 0xF) * 4
    udp = frame[14 + header :]
    if frame[23] != socket.IPPROTO_UDP or int.from_bytes(udp[2:4]) != 9:
        return None
    length = int.from_bytes(udp[4:6])
    return {
        "at": sock.getsockname()[0],
        "ethernet": frame[:6].hex(":"),
        "to": socket.inet_ntoa(frame[30:34]),
        "payload": udp[8:length].hex(),
    }


def main(port, *arguments):
    network()
    ears = [listener(f"far{number}") for number in range(PAIRS)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pvefw", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    frames, awake = [], []
    while (ready := select.select(ears, [], [], 0.1)[0]) or process.poll() is None:
        for ear in ready:
            frame = heard(ear)
            if frame:
                frames.append(frame)
                if int(port) and not awake:
                    awake.append(socket.create_server(("127.0.0.1", int(port))))
    out, err = process.communicate()
    print(json.dumps({"frames": frames, "status": process.returncode, "out": out, "err": err}))


main(*sys.argv[1:])
