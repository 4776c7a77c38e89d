"""What the original refuses before there is a task is no failed task in the history here, either."""

import shlex
from datetime import timedelta

import certificates
import pytest
from certificates import NOW

from pvefw.acme.renewal_info import RenewalInfo
from pvefw.certs import renewal_plan
from pvefw.store import files
from pvefw_shims import pvenode

NAMED = {"etc/pve/nodes/pve1/config": b"acmedomain0: a.example.com\n"}
NOBODYS = {"etc/pve/nodes/pve1/config": b"acmedomain0: a.example.com,plugin=nobody\n"}
TWICE = {"etc/pve/nodes/pve1/config": b"acme: domains=a.example.com\nacmedomain0: a.example.com\n"}
RUNS_OUT = certificates.self_signed("a.example.com", begin=-85)
GOOD = certificates.self_signed("a.example.com")


@pytest.fixture
def pvenode_on(paths, monkeypatch, capfd):
    """Runs a command line of pvenode on a node with these files; what it said, and how many tasks ran."""
    monkeypatch.setenv("PVEFW_ROOT", str(paths.root))
    monkeypatch.setenv("PVEFW_NODE", paths.node)

    def type_(line, there, pair=None):
        for name, data in there.items():
            files.replace(paths.root / name, data)
        for path, data in zip((paths.proxy_certificate, paths.proxy_key), pair or (), strict=False):
            files.replace(path, data)
        assert pvenode.run(shlex.split(line)) == pvenode.FAILURE
        logs = [
            path for path in (paths.root / "var/log/pve/tasks").rglob("UPID:*") if path.is_file()
        ]
        return capfd.readouterr().err, len(logs)

    return type_


@pytest.mark.parametrize(
    ("line", "there", "pair", "why"),
    [
        ("acme cert order", {}, None, "no names are configured"),
        ("acme cert order --force", {}, GOOD, "no names are configured"),
        ("acme cert order", NAMED, GOOD, "already exists"),
        ("acme cert order", NOBODYS, None, "there is no plugin instance nobody"),
        ("acme cert order", TWICE, None, "a.example.com is configured twice: acme and acmedomain0"),
        ("acme cert renew", NAMED, None, "no certificate of its own"),
        ("acme cert renew --force", NAMED, None, "no certificate of its own"),
        ("acme cert renew", NAMED, GOOD, "not due until"),
        ("acme cert renew", {}, RUNS_OUT, "no names are configured"),
        ("acme cert renew --force", {}, RUNS_OUT, "no names are configured"),
        ("acme cert renew", NOBODYS, RUNS_OUT, "there is no plugin instance nobody"),
        ("acme cert revoke", NAMED, None, "no certificate of its own"),
        ("acme account update", {}, None, "default"),
        ("acme account deactivate", {}, None, "default"),
        ("acme acount list", {}, None, "Did you mean: pvenode acme account list"),
    ],
)
def test_it_is_refused_without_a_task(pvenode_on, line, there, pair, why):
    said, tasks = pvenode_on(line, there, pair)
    assert why in said
    assert said.startswith("pvenode: ")
    assert tasks == 0


def test_a_certificate_whose_authority_wants_it_later_is_not_due(pvenode_on, monkeypatch):
    """Who is asked in the end decides before there is a task, too."""
    later = RenewalInfo(NOW + timedelta(hours=24), NOW + timedelta(hours=30), "", None)
    certificate, key = certificates.self_signed("a.example.com", begin=-65)
    assert pvenode_on("acme cert renew", NAMED, (certificate, key))[1] == 1, "else it is due"
    monkeypatch.setattr(renewal_plan, "_renewal_info", lambda *_: (later, None))
    renewed = certificates.self_signed("a.example.com", begin=-65)
    said, tasks = pvenode_on("acme cert renew", NAMED, renewed)
    assert "not due until" in said
    assert tasks == 1


def test_what_fails_at_its_work_is_a_failed_task(pvenode_on):
    said, tasks = pvenode_on("acme cert order", NAMED)
    assert said.startswith("Task ERROR")
    assert tasks == 1
