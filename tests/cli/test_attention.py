"""What status sees is told, once a day, and what was acknowledged is quiet until it changes."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import certificates
import pytest
from certificates import NOW, Log

from pvefw import instances
from pvefw.boot import kernels
from pvefw.certs import deploy, renew, renewal_plan, timer
from pvefw.cli import attention, status
from pvefw.cli.run import run
from pvefw.core import notices
from pvefw.core.errors import ProviderError
from pvefw.core.model import NOTICES, BootSyncedEvent, RenewalFailedEvent, Urgency
from pvefw.guests import bulk
from pvefw.instances import Instance, trial
from pvefw.store import attention as kept
from pvefw.store import files
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.tasks import events


@pytest.fixture
def heard(monkeypatch):
    """The notices that observers get."""
    found = []

    def call(_node, hook, **arguments):
        if hook == events.NOTICE:
            found.append(arguments["event"])
        return iter(())

    monkeypatch.setattr(events, "_tell", call)
    monkeypatch.setattr(status, "_SECONDS", 120.0)  # a machine may be busy
    return found


def install(paths, days=90):
    pem, key = certificates.self_signed(days=days)
    files.replace(paths.proxy_certificate, pem)
    files.replace(paths.proxy_key, key, private=True)
    files.replace(paths.node_config(), b"acmedomain0: pve1.example\n")


def tell(paths, heard, now=NOW):
    heard.clear()
    attention._tell(paths, now, lambda _line: None)
    return [notice.kind for notice in heard]


def acknowledge(paths, *parts):
    return run(["--root", str(paths.root), "--node", "pve1", "status", "--acknowledge", *parts])


def test_a_timer_that_is_missing_is_told_once_a_day_until_it_is_there(paths, heard):
    install(paths)
    assert tell(paths, heard) == ["timer-missing"]
    assert tell(paths, heard, NOW + timedelta(hours=23)) == []
    assert tell(paths, heard, NOW + timedelta(hours=24)) == ["timer-missing"]
    timer.install(paths, lambda _said: None, cron=True)
    assert tell(paths, heard, NOW + timedelta(hours=25)) == []
    paths.below(timer.CRON).unlink()
    assert tell(paths, heard, NOW + timedelta(hours=26)) == ["timer-missing"]


def test_what_nobody_could_be_told_is_told_again(paths, heard, monkeypatch):
    """The mail server was down; a day later would be a day too late."""
    install(paths)
    ends = [[events.Outcome("mail", "down"), events.Outcome("hook", "down")]]
    monkeypatch.setattr(
        events, "_tell", lambda _node, hook, **_: iter(ends[0] if hook == events.NOTICE else [])
    )
    lines = []

    def tells(hours):
        lines.clear()
        attention._tell(paths, NOW + timedelta(hours=hours), lines.append)
        return sum(line == "WARN: down" for line in lines)

    assert [tells(0), tells(6)] == [2, 2]
    ends[0] = [events.Outcome("mail", "down"), events.Outcome("hook")]
    assert [tells(12), tells(18)] == [1, 0], "one has heard of it: the others are left in peace"


def test_esps_that_are_out_of_step(paths, heard):
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    assert tell(paths, heard) == ["boot-synced"]
    assert "ESP 5678-EF01: not found" in heard[0].lines


def test_another_kernel_than_the_pinned_one(paths, heard):
    files.replace(paths.pinned_kernel, b"6.8.4-2-pve\n")
    pinned = int(paths.pinned_kernel.stat().st_mtime)
    files.replace(paths.below("proc/stat"), f"cpu 1\nbtime {pinned - 60}\n".encode())
    assert tell(paths, heard) == []  # the host was not started since
    os.utime(paths.pinned_kernel, (pinned - 3600, pinned - 3600))
    assert tell(paths, heard) == ["boot-unexpected"]
    assert heard[0].facts == {"wanted": "6.8.4-2-pve", "running": kernels.running()}
    files.replace(paths.pinned_kernel, kernels.running().encode())
    os.utime(paths.pinned_kernel, (pinned - 3600, pinned - 3600))
    assert tell(paths, heard) == []


def test_what_is_acknowledged_is_quiet_until_it_changes(paths, heard, capsys):
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    arguments = ["--root", str(paths.root), "--node", "pve1", "status", "boot"]
    assert run(arguments) == 1
    assert acknowledge(paths, "boot") == 0
    capsys.readouterr()
    assert run([*arguments, "--output-format", "json"]) == 0
    part = json.loads(capsys.readouterr().out)["parts"]["boot"]
    assert part["state"] == "acknowledged"
    assert part["lines"] == ["ESP 5678-EF01: not found"]
    assert run([*arguments, "--check"]) == 0
    assert tell(paths, heard) == []
    files.replace(paths.esp_uuids, b"5678-EF01\nAAAA-0001\n")
    assert run(arguments) == 1
    assert tell(paths, heard) == ["boot-synced"]
    assert heard[0].lines[0] == "ESP AAAA-0001: not found"


def test_what_is_over_and_comes_again_is_news(paths, heard):
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    acknowledge(paths)
    files.replace(paths.esp_uuids, b"")
    assert tell(paths, heard) == []
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    assert tell(paths, heard) == ["boot-synced"]


def test_a_part_is_acknowledged_without_the_others(paths, heard):
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    install(paths)
    acknowledge(paths, "certificates")
    assert tell(paths, heard) == ["boot-synced"]
    acknowledge(paths, "boot")
    assert tell(paths, heard, NOW + timedelta(days=2)) == []


def test_a_failing_renewal_that_is_acknowledged_is_told_when_it_gets_worse(paths, heard):
    install(paths)

    def fail(days):
        heard.clear()
        now = NOW + timedelta(days=days)
        [planned] = renewal_plan.plan(Node.open(paths), now, keep=False, ask=False)
        record = planned.record.failed(f"refused at {now}", planned.info, now, None)
        renew._tell(paths, planned, record, Log(), now)
        return [(notice.kind, notice.severity.value) for notice in heard]

    assert fail(62) == [("renewal-failed", "notice")]
    assert fail(66) == [("renewal-failed", "notice")]
    issue = f"certificates: {paths.proxy_certificate.name}: its renewal fails"
    kept.acknowledge(paths, ["certificates"], [issue])
    assert fail(70) == []
    assert fail(75) == [("renewal-failed", "warning")]
    assert fail(84) == [("renewal-failed", "error")]


def test_a_delivery_that_failed_is_told_and_one_that_waits_is_not(paths, heard):
    """The service goes on with the old certificate, and no renewal fails: nobody else would say so."""
    install(paths)
    timer.install(paths, lambda _said: None, cron=True)
    own = certificates.own(paths)
    deploy.prepare(own)
    instances.add(paths, Instance("observer", "lb", "exec", {"program": "/bin/false"}))
    assert tell(paths, heard) == []
    assert deploy.deploy(certificates.own(paths), Log()) == ["lb"]
    assert tell(paths, heard) == ["not-delivered"]
    [notice] = heard
    assert "lb" in notice.subject and "false certificate failed" in notice.lines[0]
    assert tell(paths, heard, NOW + timedelta(hours=23)) == []
    instances.change(
        paths, "observer", "lb", lambda old: replace(old, settings={"program": "/bin/true"})
    )
    assert deploy.deploy(certificates.own(paths), Log()) == []
    assert tell(paths, heard, NOW + timedelta(hours=25)) == []


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("pveproxy-ssl.pem", "pvefw acme cert renew"),
        ("www.pem", "pvefw acme cert renew www"),
        ("pve-ssl.pem", "pvefw cert node refresh"),
    ],
)
def test_what_people_are_told_to_run_does_not_wait_for_the_next_try(file, command):
    event = trial._event(Node.open(Paths(Path("/nonexistent"), "pve1")), "renewal-failed")
    notice = notices.renewal_failed(replace(event, certificate=Path("/etc") / file))
    assert notice.lines[-1].split(":", 1)[1].strip() == command


def test_damaged_notes_cost_nothing(paths, heard):
    files.replace(paths.esp_uuids, b"5678-EF01\n")
    for text in (b"[]", b'{"acknowledged": 1, "told": {}}', b'{"told": {"boot": "never"}}'):
        files.replace(paths.attention, text)
        assert tell(paths, heard) == ["boot-synced"]
    [issue] = kept.load(paths).told
    no_zone = {"acknowledged": [], "told": {issue: "2020-01-01T00:00:00"}}
    files.replace(paths.attention, json.dumps(no_zone).encode())
    assert tell(paths, heard) == ["boot-synced"]


def test_a_bulk_action_with_failures_is_told(paths, heard):
    made = bulk.Bulk(Node.open(paths), None, 1, Log(), "startall")
    made._observed = True
    with pytest.raises(ProviderError, match="startall: 1 failed: the daemon is away"):
        made._judge([], [ProviderError("the daemon is away")])
    [notice] = heard
    assert (notice.kind, notice.severity.value) == ("bulk-failed", "error")
    assert notice.lines[0] == "the daemon is away"


# --- what there is to tell --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NOTICES)
def test_every_event_can_be_tried(paths, kind):
    notice = trial._notice(Node.open(paths), kind, trial._event(Node.open(paths), kind))
    assert notice.kind == kind
    assert notice.subject.startswith("TEST: pve1: ")
    assert notice.lines[0] == "this is a test: pvefw observer test"


def test_an_order_that_is_not_even_tried_is_another_event():
    pem = Path("/etc/pvefw/nodes/pve1/a.pem")
    event = RenewalFailedEvent("pve1", ["a"], pem, NOW, 2.0, 0, "no names", Urgency.CRITICAL)
    notice = notices.renewal_failed(event)
    assert (notice.kind, notice.severity.value) == ("renewal-overdue", "error")
    assert "is not being renewed" in notice.subject


def test_esps_that_are_all_refreshed_are_no_news():
    assert notices.of("on_boot_synced", BootSyncedEvent("pve1", [], ["A"], {})) is None
