"""Certificates delivered to nginx and HAProxy as they are installed, from Pebble to the handshake."""

import os
import signal

import pytest
from servers.nginx import write_configuration
from servers.processes import free_port, process, wait_for_port

HAPROXY = """
global
    maxconn 20
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
frontend web
    bind 127.0.0.1:{port} ssl crt {here}/haproxy.pem
"""


@pytest.fixture
def here(tmp_path):
    found = tmp_path / "service"
    found.mkdir()
    return found


@pytest.fixture
def ordered(host, pebble, here):
    """A node with a certificate for each of the two servers, delivered before they start."""
    host.register(pebble)
    targets = {
        "nginx": f"fullchain={here}/site.pem\nkey={here}/site.key\n",
        "haproxy": f"combined={here}/haproxy.pem\nmode=0640\n",
    }
    for name, text in targets.items():
        data = here / f"{name}.data"
        data.write_text(text)
        host.run("observer", "add", f"to-{name}", "--api", "files", "--data", data)
        host.run("cert", "add", name, "-acmedomain0", f"{name}.example", "--targets", f"to-{name}")
    return host


def test_nginx_and_haproxy_serve_what_was_ordered_and_a_server_that_does_not_is_told(ordered, here):
    host = ordered
    ports = {name: free_port() for name in ("nginx", "haproxy")}
    host.run("acme", "cert", "order", "nginx")
    host.run("acme", "cert", "order", "haproxy")
    write_configuration(here, ports["nginx"], here / "site.pem", here / "site.key")
    (here / "haproxy.cfg").write_text(HAPROXY.format(here=here, port=ports["haproxy"]))
    nginx = ["nginx", "-p", str(here), "-c", str(here / "nginx.conf")]
    haproxy = ["haproxy", "-W", "-db", "-f", str(here / "haproxy.cfg")]
    with (
        process(nginx, here / "nginx.log") as first,
        process(haproxy, here / "haproxy.log") as second,
    ):
        for name, running in (("nginx", first), ("haproxy", second)):
            wait_for_port(ports[name], running, here / f"{name}.log")
        reload = {"nginx": f"kill -HUP {first.pid}", "haproxy": f"kill -USR2 {second.pid}"}
        for name, port in ports.items():
            where = f"127.0.0.1:{port}"
            host.run("cert", "set", name, "--reload-command", reload[name], "--serves", where)
            assert host.run("cert", "deploy", name, "--dry-run").splitlines() == [
                f"to-{name}: it already has this certificate",
                f"reload-command: run {reload[name]}",
            ]
            said = host.run("acme", "cert", "renew", name, "--force")
            assert f"{where} serves it" in said
            assert "Task OK" in said
            assert host.run("cert", "check", name)
        host.run("cert", "set", "nginx", "--reload-command", "true")
        said = host.run("acme", "cert", "renew", "nginx", "--force")
        assert "another certificate is served: for nginx.example" in said
        assert "Task WARNINGS: 1" in said
        assert "another certificate is served" in host.fail_output("renew")
        os.kill(first.pid, signal.SIGHUP)
        host.run("cert", "deploy", "nginx", "--retry")
        host.run("renew")


def test_a_target_is_tried_alone_and_told_of_its_certificate_only(host, here, pebble):
    data = here / "data"
    data.write_text(f"combined={here}/one.pem\n")
    host.register(pebble)
    host.run("observer", "add", "one", "--api", "files", "--data", data)
    host.run("config", "set", "-acmedomain0", "pve1.example")
    host.run("acme", "cert", "order")
    assert not (here / "one.pem").exists(), "it is a target of no certificate yet"
    host.run("config", "set", "--targets", "one")
    assert "Not deployed yet: one" in host.run("renew", "--dry-run")
    (here / "one.pem").mkdir()
    assert "one.pem" in host.fail("cert", "deploy", "--test", "one")
    (here / "one.pem").rmdir()
    host.run("cert", "deploy", "--test", "one")
    assert (here / "one.pem").read_bytes() == b"".join(host.pair())
    assert "Not deployed" not in host.run("renew", "--dry-run")
