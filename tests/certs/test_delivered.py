"""Whoever gets a new certificate, it reaches its targets, programs and people."""

import json
import sys

import pytest
from certificates import Log, self_signed

from pvefw import instances
from pvefw.certs import custom, deploy, issue
from pvefw.certs.certificate import Certificate
from pvefw.host.clock import SystemClock
from pvefw.instances import Instance
from pvefw.store.node import Node

PROGRAM = "import sys; print(sys.stdin.read().strip(), file=open({!r}, 'a'))"


@pytest.fixture
def web(paths, tmp_path, events):
    """A certificate with a target of its own; the program is there, too."""
    paths.cluster_pvefw_cfg.parent.mkdir(parents=True, exist_ok=True)
    with paths.cluster_pvefw_cfg.open("a") as config:
        config.write("\ncertificate: web\n\tacmedomain0 www.example\n\ttargets site\n")
    settings = {"fullchain": f"{tmp_path}/site.pem", "key": f"{tmp_path}/site.key"}
    instances.add(paths, Instance("observer", "site", "files", settings))
    return Certificate.load(Node.open(paths), "web")


@pytest.fixture
def events(paths, tmp_path):
    """What a program is told."""
    program, said = tmp_path / "program", tmp_path / "said"
    program.write_text(f"#!{sys.executable}\n{PROGRAM.format(str(said))}\n")
    program.chmod(0o755)
    instances.add(paths, Instance("observer", "hook", "exec", {"program": str(program)}))
    return lambda: [json.loads(line) for line in said.read_text().splitlines()]


def upload(certificate, pair, _monkeypatch):
    custom.set_pair(certificate, *pair, Log(), SystemClock().now())


def order(certificate, pair, monkeypatch):
    """The authority is left out; all that comes after it is real."""

    def issued(wanted, before, task):
        record = issue._record(wanted.certificate, "")
        issue._install(wanted.certificate, *pair, record, before, task)
        return wanted.account

    monkeypatch.setattr(issue, "_order", issued)
    issue.obtain(certificate, Log())


@pytest.mark.parametrize("bring", [upload, order])
def test_it_reaches_its_target_and_a_program_once(paths, web, events, tmp_path, monkeypatch, bring):
    pair = self_signed("www.example")
    bring(web, pair, monkeypatch)
    assert (tmp_path / "site.pem").read_bytes() == web.pem() == pair[0]
    assert (tmp_path / "site.key").read_bytes() == web.files.key.read_bytes()
    [event] = events()
    assert (event["event"], event["name"], event["names"]) == (
        "certificate",
        "web",
        ["www.example"],
    )
    assert event["fingerprint"] == web.event().fingerprint
    assert deploy.pending(Node.open(paths)) == {}
