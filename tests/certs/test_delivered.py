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


def test_only_those_who_are_told_of_certificates_can_be_late(paths, web, events, tmp_path):
    """An observer that notifies people is never told of one, so it is not waited for; a broken one is."""
    upload(web, self_signed("www.example"), None)
    late = {
        "admins": ("mail", {"to": "admin@example.com"}),
        "chat": ("webhook", {"url": "https://chat.example/"}),
        "second": ("exec", {"program": str(tmp_path / "program")}),
        "gone": ("of-a-plugin-that-was-removed", {}),
    }
    with paths.cluster_pvefw_cfg.open("a") as config:
        for id_, (api, settings) in late.items():
            lines = "".join(f"\t{key} {value}\n" for key, value in settings.items())
            config.write(f"\nobserver: {id_}\n\tapi {api}\n{lines}")
    node = Node.open(paths)
    assert deploy.pending(node) == {"web: second": "", "web: gone": ""}
    assert deploy.deploy(Certificate.load(node, "web"), Log()) == ["gone"]
    assert list(deploy.pending(Node.open(paths))) == ["web: gone"]
