"""A program of the administrator's, as it is told of events."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pvefw.api import (
    BootSyncedEvent,
    CertificateEvent,
    Guest,
    GuestPowerEvent,
    GuestState,
    ProviderError,
    RenewalFailedEvent,
)
from pvefw.core.errors import ProgramError
from pvefw.testing.fakes import FakeTask
from pvefw_observer_generic.program import Exec

DAY = datetime(2026, 11, 24, 8, tzinfo=UTC)
CERTIFICATE = CertificateEvent(
    "pve1", ["www.example.com"], Path("/c.pem"), Path("/c.key"), DAY, DAY, "AB:CD"
)
FAILED = RenewalFailedEvent("pve1", ["www.example.com"], Path("/c.pem"), DAY, 9.5, 3, "refused")
SYNCED = BootSyncedEvent("pve1", ["6.8.12-4-pve"], ["ABCD-1234"], {"1234-ABCD": "it is gone"})
GUEST = GuestPowerEvent("pve1", Guest(100, "web", "vm", GuestState.RUNNING), "start", "ok")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "(here / 'said.json').write_text(sys.stdin.read())\n"
        "(here / 'argument').write_text(sys.argv[1])\n"
        "print('deployed to', 'two places')\n"
        "if (here / 'broken').exists():\n    sys.exit('first line\\nthe balancer is away')\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("hook", "event", "name", "expected"),
    [
        ("on_certificate", CERTIFICATE, "certificate", {"key": "/c.key", "fingerprint": "AB:CD"}),
        ("on_renewal_failed", FAILED, "renewal-failed", {"days_left": 9.5, "urgency": "notice"}),
        ("on_renewal_recovered", CERTIFICATE, "renewal-recovered", {"not_after": DAY.isoformat()}),
        ("on_boot_synced", SYNCED, "boot-synced", {"failed": {"1234-ABCD": "it is gone"}}),
        ("on_guest", GUEST, "guest", {"action": "start", "outcome": "ok"}),
    ],
)
def test_an_event_arrives_as_json(program, tmp_path, hook, event, name, expected):
    task = FakeTask()
    getattr(Exec(program, events=[name]), hook)(event, task)
    said = json.loads((tmp_path / "said.json").read_text())
    assert (tmp_path / "argument").read_text() == said["event"] == name
    assert said["node"] == "pve1"
    assert {key: said[key] for key in expected} == expected
    assert "deployed to two places" in task.lines


def test_events_that_are_not_wanted_are_not_told(program, tmp_path):
    Exec(program, events=["certificate"]).on_renewal_failed(FAILED, FakeTask())
    assert not (tmp_path / "said.json").exists()


def test_a_failure_has_the_programs_own_words(program, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(
        ProviderError, match=r"certificate failed with status \d+: .*the balancer is away"
    ):
        Exec(program).on_certificate(CERTIFICATE, FakeTask())


def test_a_program_that_hangs_is_ended(tmp_path):
    path = tmp_path / "slow"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    with pytest.raises(ProgramError, match=r"did not end within 0\.2 seconds"):
        Exec(path, timeout=0.2).on_certificate(CERTIFICATE, FakeTask())


@pytest.mark.parametrize(
    "settings", [{"program": Path("here")}, {"program": Path("/p"), "events": ["nonsense"]}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match=r"not an absolute path|not an event"):
        Exec(**settings)
