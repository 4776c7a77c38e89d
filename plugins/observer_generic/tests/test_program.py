"""A program of the administrator's, as it is told of events."""

import dataclasses
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pvefw.api import (
    NOTICES,
    BootSyncedEvent,
    CertificateEvent,
    Guest,
    GuestPowerEvent,
    GuestState,
    ProviderError,
    RenewalFailedEvent,
    ServedEvent,
)
from pvefw.core import notices
from pvefw.core.errors import ProgramError
from pvefw.testing.fakes import FakeTask
from pvefw.testing.observer import ObserverConformance
from pvefw_observer_generic.program import EVENTS, Exec

DAY = datetime(2026, 11, 24, 8, tzinfo=UTC)
CERTIFICATE = CertificateEvent(
    "pve1", ["www.example.com"], Path("/c.pem"), Path("/c.key"), DAY, DAY, "AB:CD"
)
FAILED = RenewalFailedEvent("pve1", ["www.example.com"], Path("/c.pem"), DAY, 9.5, 3, "refused")
SYNCED = BootSyncedEvent("pve1", ["6.8.12-4-pve"], ["ABCD-1234"], {})
FAULTY = BootSyncedEvent("pve1", ["6.8.12-4-pve"], ["ABCD-1234"], {"1234-ABCD": "it is gone"})
NOTICES_HEARD = [
    notices.of("on_renewal_failed", FAILED),
    notices.of("on_renewal_failed", dataclasses.replace(FAILED, failures=0)),
    notices.of("on_renewal_recovered", CERTIFICATE),
    notices.of("on_served", ServedEvent("pve1", "web", "a:443", Path("/c.pem"), "another one")),
    notices.of("on_boot_synced", FAULTY),
    notices.esps_out_of_step("pve1", ["ESP 1234-ABCD: not found"]),
    notices.boot_unexpected("pve1", "6.8.12-4-pve", "6.8.12-1-pve"),
    notices.bulk_failed("pve1", "startall", ["vm 100: it is gone"]),
    notices.not_delivered("pve1", "web", "the target does not answer"),
    notices.timer_missing("pve1"),
]
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


class TestExec(ObserverConformance):
    ignores = ("on_boot_synced",)
    """That of the kit has failed, and of those the notice tells."""

    @pytest.fixture
    def plugin(self, program):
        return Exec(program, events=list(EVENTS))

    @pytest.fixture
    def heard(self, tmp_path):
        said = tmp_path / "said.json"
        return lambda: (said.read_text(), said.stat().st_mtime_ns) if said.exists() else None

    @pytest.fixture
    def broken_plugin(self, tmp_path):
        return Exec(tmp_path / "no-such-program")


@pytest.mark.parametrize(
    ("hook", "event", "name", "expected"),
    [
        ("on_certificate", CERTIFICATE, "certificate", {"key": "/c.key", "fingerprint": "AB:CD"}),
        *(
            ("on_notice", notice, notice.kind, {"subject": notice.subject})
            for notice in NOTICES_HEARD
        ),
        ("on_notice", NOTICES_HEARD[0], "renewal-failed", {"days_left": 9.5, "urgency": "notice"}),
        ("on_notice", NOTICES_HEARD[2], "renewal-recovered", {"not_after": DAY.isoformat()}),
        ("on_boot_synced", SYNCED, "boot-synced", {"synced": ["ABCD-1234"]}),
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
    Exec(program, events=["certificate"]).on_notice(NOTICES_HEARD[0], FakeTask())
    assert not (tmp_path / "said.json").exists()


def test_without_a_choice_it_is_called_for_all_that_people_are_told_of():
    assert Exec(Path("/p")).events == list(NOTICES)
    assert {notice.kind for notice in NOTICES_HEARD} == set(NOTICES) - {"certificate"}


def test_what_has_a_hook_of_its_own_is_told_once(program, tmp_path):
    hook = Exec(program)
    hook.on_boot_synced(FAULTY, FakeTask())
    hook.on_notice(notices.installed(CERTIFICATE), FakeTask())
    assert not (tmp_path / "said.json").exists()


def test_a_failure_has_the_programs_own_words(program, tmp_path):
    (tmp_path / "broken").touch()
    with pytest.raises(
        ProviderError, match=r"certificate failed with status \d+: .*the balancer is away"
    ):
        Exec(program).on_certificate(CERTIFICATE, FakeTask())


def test_a_program_that_hangs_is_ended(tmp_path):
    path = tmp_path / "slow"
    path.write_text("#!/bin/sh\nexec sleep infinity\n")
    path.chmod(0o755)
    with pytest.raises(ProgramError, match=r"did not end within 0\.2 seconds"):
        Exec(path, timeout=0.2).on_certificate(CERTIFICATE, FakeTask())


@pytest.mark.parametrize(
    "settings", [{"program": Path("here")}, {"program": Path("/p"), "events": ["nonsense"]}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ValueError, match=r"not an absolute path|not an event"):
        Exec(**settings)
