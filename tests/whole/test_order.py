"""Orders, end to end: the command line, a real ACME server, real sockets, real files."""

import dataclasses
import itertools
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import certificates
import pytest
from servers import faulty_acme as faults
from servers.faulty_acme import faulty_acme
from servers.pebble import pebble as run_pebble
from servers.processes import free_port
from waiting import wait_until

from pvefw.certs import chain
from pvefw.core.errors import CertificateError
from pvefw.host.clock import SystemClock

REFERENCE_ORDER = [
    "Loading ACME account details",
    "Placing ACME order",
    "Order URL: ",
    "Getting authorization details from ",
    "The validation for a.example is pending!",
    "Setting up webserver",
    "Triggering validation",
    "'valid'",
    "Taking down webserver",
    "All domains validated!",
    "Creating CSR",
    "Checking order status",
    "Order is ready, finalizing order",
    "valid!",
    "Downloading certificate",
    "Setting pveproxy certificate and key",
    "Task OK",
]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_order_in_the_manner_of_the_reference(host, pebble, tmp_path):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example", "-acmedomain1", "b.example")
    said = host.run("acme", "cert", "order")
    places = [said.index(text) for text in REFERENCE_ORDER]
    assert places == sorted(places)
    assert stat.S_IMODE(host.paths.proxy_key.stat().st_mode) == 0o600
    [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert sorted(info["san"]) == ["a.example", "b.example"]
    anchor = tmp_path / "root.pem"
    anchor.write_bytes(pebble.root())
    subprocess.run(
        [
            *["openssl", "verify", "-CAfile", anchor, "-untrusted", host.paths.proxy_certificate],
            *["-verify_hostname", "b.example", host.paths.proxy_certificate],
        ],
        check=True,
        capture_output=True,
    )
    assert not listens(pebble.http_port)
    [task] = json.loads(
        host.run("task", "list", "--typefilter", "acmenewcert", "--output-format", "json")
    )
    assert task["status"] == "OK"
    log = host.run("task", "log", task["upid"])
    assert log.splitlines()[-1] == "TASK OK"
    assert "Placing ACME order" in log
    assert (
        json.loads(host.run("task", "status", task["upid"], "--output-format", "json"))[
            "exitstatus"
        ]
        == "OK"
    )


def test_fifty_names_in_one_order(host, pebble):
    host.register(pebble)
    names = ";".join(f"n{number}.many.example" for number in range(50))
    host.run("config", "set", "--acme", f"domains={names}")
    host.run("acme", "cert", "order")
    [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert len(info["san"]) == 50


@pytest.mark.parametrize("reject", [30, 60])
def test_refused_nonces_do_not_matter(host, tmp_path, reject):
    with run_pebble(tmp_path / "pebble", nonce_reject=reject) as server:
        host.register(server)
        host.run("config", "set", "--acme", "domains=a.example;b.example;c.example")
        host.run("acme", "cert", "order")


def test_a_certificate_that_is_there_is_not_replaced_without_force(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    before = host.pair()
    assert "--force" in host.fail("acme", "cert", "order", status=2)
    assert "not due until" in host.fail("acme", "cert", "renew", status=2)
    assert host.pair() == before
    host.run("acme", "cert", "renew", "--force")
    assert host.pair() != before


def test_a_failing_name_shows_the_authoritys_reason_and_keeps_the_old_pair(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    before = host.pair()
    pebble.address("wrong.example", "127.0.0.9")
    host.run("config", "set", "-acmedomain1", "wrong.example")
    host.standalone(pebble.http_port, "listen=127.0.0.1\n")
    said = host.fail("acme", "cert", "order", "--force")
    assert "Task ERROR: wrong.example: " in said
    assert "[connection]" in said
    assert "a.example:" not in said.replace("wrong.example", "")
    assert "must reach port 80" in said
    assert host.pair() == before
    assert not listens(pebble.http_port)


def test_a_refused_order_names_the_name(host, tmp_path):
    with run_pebble(tmp_path / "pebble", blocked=["blocked.example"]) as server:
        host.register(server)
        host.run("config", "set", "--acme", "domains=a.example;blocked.example")
        said = host.fail("acme", "cert", "order")
        assert "blocked.example" in said
        assert "rejectedIdentifier" in said


def test_the_port_is_taken_by_a_process_with_a_name(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        host.standalone(port, "listen=127.0.0.1\n")
        said = host.fail("acme", "cert", "order")
    assert f"127.0.0.1:{port} is in use by" in said
    assert f"(pid {os.getpid()})" in said


def test_account_and_names_must_be_there(host, pebble):
    assert "no names are configured" in host.fail("acme", "cert", "order")
    host.run("config", "set", "-acmedomain0", "a.example")
    said = host.fail("acme", "cert", "order")
    assert "no ACME account named default" in said
    assert "pvefw acme account register default" in said
    host.register(pebble)
    nowhere = ("config", "set", "-acmedomain0", "a.example,plugin=nowhere")
    assert "no plugin instance nowhere" in host.fail(*nowhere, status=2)
    host.run("config", "set", "-acmedomain0", "*.example")
    assert "through DNS" in host.fail("acme", "cert", "order")


def test_an_alternate_chain_is_chosen_by_its_root(host, tmp_path):
    with run_pebble(tmp_path / "pebble", alternate_roots=2) as server:
        host.register(server)
        for number in range(3):
            [root] = chain.parse(server.root(number), "root")
            name = chain._common_name(root)
            host.run("config", "set", "-acmedomain0", "a.example", "--preferred-chain", name)
            host.run("acme", "cert", "order", "--force")
            top = chain.parse(host.pair()[0], "pair")[-1]
            assert name in top.issuer.rfc4514_string()


def test_an_authority_that_reuses_authorizations(host, tmp_path):
    with run_pebble(tmp_path / "pebble", authz_reuse=100) as server:
        host.register(server)
        host.run("config", "set", "--acme", "domains=a.example")
        host.run("acme", "cert", "order")
        again = host.run("acme", "cert", "order", "--force")
        assert "All domains are validated already!" in again
        assert "Setting up webserver" not in again
        host.run("config", "set", "--acme", "domains=a.example;b.example")
        more = host.run("acme", "cert", "order", "--force")
        assert "a.example is already validated!" in more
        assert "The validation for b.example is pending!" in more


def test_revocation_removes_the_pair(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    assert "Revoking old certificate" in host.run("acme", "cert", "revoke")
    assert not host.paths.proxy_certificate.exists()
    assert not host.paths.proxy_key.exists()


def test_a_certificate_of_another_account_is_revoked_with_its_own_key(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    host.register(pebble, "other")
    host.run("config", "set", "--acme", "account=other")
    said = host.run("acme", "cert", "revoke")
    assert "with the certificate's own key" in said
    assert not host.paths.proxy_certificate.exists()


def test_the_reload_command_runs_and_its_failure_is_a_warning(host, pebble, tmp_path):
    host.register(pebble)
    marker = tmp_path / "reloaded"
    host.run("config", "set", "-acmedomain0", "a.example", "--reload-command", f"touch {marker}")
    host.run("acme", "cert", "order")
    assert marker.exists()
    host.run("config", "set", "--reload-command", "sh -c 'exit 5'")
    said = host.run("acme", "cert", "order", "--force")
    assert "Try again with: sh -c 'exit 5'" in said
    assert said.splitlines()[-1] == "Task WARNINGS: 1"


@pytest.mark.parametrize(("key_type", "bits"), [("ec384", 384), ("rsa2048", 2048)])
def test_key_types(host, pebble, key_type, bits):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example", "--key-type", key_type)
    host.run("acme", "cert", "order")
    [info] = json.loads(host.run("cert", "info", "--output-format", "json"))
    assert info["public-key-bits"] == bits


def test_the_key_is_kept_where_that_is_configured(host, pebble):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example", "--key-reuse", "1")
    host.run("acme", "cert", "order")
    before = host.pair()
    host.run("acme", "cert", "order", "--force")
    after = host.pair()
    assert after[1] == before[1]
    assert after[0] != before[0]


def foreign_chain(_proxy, _handler, answer):
    """A good chain, but of somebody else's key."""
    pem, _ = certificates.self_signed("a.example")
    return faults.Answer(answer.status, answer.headers, pem)


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("POST /order-plz", faults.busy("86400")),
        ("POST /authZ/", faults.changed(body=b"<html>", Content_Type="text/html")),
        ("POST /finalize-order/", faults.problem("badCSR", "no")),
        ("POST /certZ/", faults.changed(body=b"rubbish")),
        ("POST /certZ/", faults.changed(body=b"-----BEGIN CERTIFICATE-----\nrubbish\n")),
        ("POST /certZ/", foreign_chain),
        ("POST /certZ/", faults.gone),
    ],
)
def test_an_authority_that_misbehaves_changes_nothing_here(host, pebble, tmp_path, endpoint, fault):
    with faulty_acme(pebble, tmp_path) as proxy:
        host.register(dataclasses.replace(pebble, directory=proxy.directory, ca_file=proxy.ca_file))
        host.run("config", "set", "-acmedomain0", "a.example")
        host.run("acme", "cert", "order")
        before = host.pair()
        # a new name: Pebble sometimes reuses the authorization of the old one, and all is well at once
        host.run("config", "set", "-acmedomain0", "b.example")
        proxy.fail(endpoint, fault, times=5)
        said = host.fail("acme", "cert", "order", "--force")
        assert len(said.strip().splitlines()) <= 2
        assert host.pair() == before
        assert not listens(pebble.http_port)
        proxy.heal()
        host.run("acme", "cert", "order", "--force")
        assert valid_pair(host)


# --- interrupted --------------------------------------------------------------------------------------


def valid_pair(host):
    certificate, key = host.pair()
    try:
        chain.check_pair(certificate, key, "pair", SystemClock().now())
    except CertificateError:
        return False
    return True


def test_killed_at_any_point_the_old_pair_stays_and_the_next_order_works(host, pebble):
    host.register(pebble)
    host.run("config", "set", "--acme", "domains=a.example;b.example")
    started = time.monotonic()
    host.run("acme", "cert", "order")
    whole = time.monotonic() - started
    for step in itertools.count():
        before = host.pair()
        running = host.start("acme", "cert", "order", "--force")
        try:
            running.wait(0.15 + step * 0.02)
        except subprocess.TimeoutExpired:
            os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        host.run("config", "get")  # any command ends what was begun
        assert valid_pair(host), f"killed in step {step}"
        if host.pair() != before or step > 100:
            break
    assert step >= 3, f"the order took {whole:.2f} s and was never interrupted"
    running = host.start("acme", "cert", "order", "--force")
    wait_until(host.paths.open_order.exists, "the order is kept")  # within its task, for once
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    host.run("acme", "cert", "order", "--force")
    [task, *_] = json.loads(
        host.run("task", "list", "--errors", "--source", "all", "--output-format", "json")
    )
    assert task["status"] == "unexpected status"


def test_an_interrupted_order_is_resumed(host, pebble, tmp_path):
    with faulty_acme(pebble, tmp_path) as proxy:
        host.register(dataclasses.replace(pebble, directory=proxy.directory, ca_file=proxy.ca_file))
        host.run("config", "set", "-acmedomain0", "a.example")
        proxy.fail("authZ", faults.stall)  # nothing is validated, whenever it is killed
        running = host.start("acme", "cert", "order")
        wait_until(host.paths.open_order.exists, "the order is kept")
        os.kill(running.pid, signal.SIGKILL)
        before, _ = running.communicate()
        proxy.heal()
        said = host.run("acme", "cert", "order")
    url = re.search("Order URL: (.*)", before)[1]
    assert f"Resuming order {url}" in said
    assert valid_pair(host)
    assert not host.paths.open_order.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_order_after_its_clean_up(host, pebble, number):
    host.register(pebble)
    host.run("config", "set", "-acmedomain0", "a.example")
    host.run("acme", "cert", "order")
    before = host.pair()
    running = host.start("acme", "cert", "order", "--force")
    lines = []
    for line in running.stdout:
        lines.append(line)
        if "Setting up webserver" in line:
            running.send_signal(number)
            break
    rest, _ = running.communicate(timeout=30)
    said = "".join(lines) + rest
    if running.returncode == 0:  # it was done before the signal came
        return
    assert running.returncode == 1
    assert "Taking down webserver" in said
    assert "Task ERROR: interrupted" in said
    assert host.pair() == before
    assert not listens(pebble.http_port)
    [task] = json.loads(host.run("task", "list", "--errors", "--output-format", "json"))
    assert task["status"] == "interrupted by signal"


@pytest.mark.parametrize("endpoint", ["POST /order-plz", "POST /authZ/", "POST /my-order/"])
def test_a_signal_ends_an_order_at_once_while_the_authority_is_silent(
    host, pebble, tmp_path, endpoint
):
    with faulty_acme(pebble, tmp_path) as proxy:
        host.register(dataclasses.replace(pebble, directory=proxy.directory, ca_file=proxy.ca_file))
        host.run("config", "set", "--acme", "domains=a.example;b.example")
        reached = threading.Event()

        def silent(*arguments):
            reached.set()
            return faults.stall(*arguments)

        proxy.fail(endpoint, silent)
        running = host.start("acme", "cert", "order")
        assert reached.wait(20)
        started = time.monotonic()
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=30)
        assert time.monotonic() - started < 4
        assert "Task ERROR: interrupted" in said
        assert not listens(pebble.http_port)


def test_two_orders_at_once_do_not_meet(host, pebble):
    host.register(pebble)
    host.run("config", "set", "--acme", "domains=a.example;b.example")
    both = [host.start("acme", "cert", "order", "--force") for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert valid_pair(host)
    refused = [text for process, text in zip(both, said, strict=True) if process.returncode]
    for text in refused:
        assert "has locked this" in text
    assert len(refused) < 2


# --- several at once ------------------------------------------------------------------------------


def test_two_instances_validate_one_certificate(host, pebble, tmp_path):
    host.register(pebble)
    for number, address in enumerate(("127.0.0.3", "127.0.0.4")):
        name = f"{number}.two.example"
        pebble.address(name, address)
        data = tmp_path / f"data{number}"
        data.write_text(f"port={pebble.http_port}\nlisten={address}\n")
        host.run("acme", "plugin", "add", "standalone", f"http{number}", "--data", data)
        host.run("config", "set", f"-acmedomain{number}", f"{name},plugin=http{number}")
    said = host.run("acme", "cert", "order")
    assert said.count("Setting up webserver") == 2
    assert said.count("Taking down webserver") == 2


def test_a_webroot_serves_the_challenge(host, pebble, tmp_path):
    import http.server
    import threading

    webroot = tmp_path / "www"
    webroot.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(webroot))

        def log_message(self, *args):
            pass

    host.register(pebble)
    host.standalone(pebble.http_port, f"webroot={webroot}\n")
    host.run("config", "set", "-acmedomain0", "a.example")
    with http.server.ThreadingHTTPServer(("127.0.0.1", pebble.http_port), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            host.run("acme", "cert", "order")
        finally:
            server.shutdown()
            thread.join()
    assert list(webroot.iterdir()) == []


def test_a_terminal_shows_that_something_is_waited_for(host, tmp_path):
    import pexpect

    with (
        run_pebble(tmp_path / "pebble") as server,
        socket.create_server(("127.0.0.1", server.http_port)),
    ):
        host.register(server)
        host.run("config", "set", "-acmedomain0", "a.example")
        server.address("a.example", "127.0.0.1")
        other = host.root.parent / "webroot"
        other.mkdir()
        host.standalone(server.http_port, f"webroot={other}\n")
        command = host.command("acme", "cert", "order")
        session = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=20)
        session.expect("Triggering validation")
        session.expect(r"… \d s")  # the authority waits for a server that does not answer
        session.sendintr()
        session.expect("Task ERROR: interrupted")
        session.expect(pexpect.EOF)
        session.close()
        assert session.exitstatus == 1
        assert list(other.iterdir()) == []


def test_a_reader_that_leaves_does_not_change_how_a_task_ends(host):
    command = " ".join(host.command("cert", "ca", "init"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    [task] = json.loads(host.run("task", "list", "--output-format", "json"))
    assert task["status"] == "OK"
