"""Runs of ``pvefw renew`` as those who watch over them hear of them."""

import sys
from types import SimpleNamespace

import pytest
from certificates import Calendar, Log

from pvefw import instances
from pvefw.certs import renew
from pvefw.core.errors import PvefwError, StoreError
from pvefw.instances import Instance, trial
from pvefw.store.node import Node
from pvefw.tasks import events


@pytest.fixture
def heard(monkeypatch):
    """What observers hear, and what the run says."""
    found = []
    monkeypatch.setattr(
        events, "tell_renewals", lambda _node, event: found.append(event) or [failed] * broken[0]
    )
    failed, broken = events.Outcome("checks", "no connection"), [0]
    return found, broken


def run(paths, clock, **options):
    lines = []
    good = renew.run(paths, lines.append, lines.append, clock, **options)
    return good, lines


@pytest.fixture
def clock():
    return Calendar()


def test_a_run_begins_and_ends(paths, heard, clock):
    paths.node_dir().mkdir(parents=True)
    paths.proxy_certificate.write_text("rubbish")
    good, lines = run(paths, clock)
    assert not good
    first, last = heard[0]
    assert (first.phase, last.phase, last.good) == ("started", "ended", False)
    assert last.lines == lines
    assert "not a PEM certificate" in lines[0]


def test_a_dry_run_is_none(paths, heard, clock):
    assert run(paths, clock, dry_run=True) == (True, [])
    assert heard[0] == []


def test_who_cannot_be_told_is_a_line_and_no_failure(paths, heard, clock):
    heard[1][0] = 1
    good, lines = run(paths, clock)
    assert good
    assert lines == ["checks: could not be notified of this run: no connection"] * 2


def test_a_failed_renewal_that_waits_is_not_well_for_who_watches(paths, heard, clock, monkeypatch):
    """The command ends with 0, as nothing was tried; a watchdog that turned green would hide it."""
    waits = SimpleNamespace(
        line=lambda _now: "due, but the last try failed",
        due=lambda _now: False,
        held_back=lambda _now: True,
        decision=object(),
    )
    monkeypatch.setattr(renew.renewal_plan, "plan", lambda *_arguments, **_options: [waits])
    monkeypatch.setattr(renew, "_remind", lambda *_arguments: None)
    good, _ = run(paths, clock)
    assert good
    assert [(event.phase, event.good) for event in heard[0]] == [
        ("started", True),
        ("ended", False),
    ]


def test_a_run_that_breaks_off_ends_badly(paths, heard, clock, monkeypatch):
    def broken(*_arguments, **_options):
        raise StoreError("the cluster file system is away")

    monkeypatch.setattr(renew.renewal_plan, "plan", broken)
    with pytest.raises(StoreError):
        run(paths, clock)
    assert [(event.phase, event.good) for event in heard[0]] == [
        ("started", True),
        ("ended", False),
    ]
    assert heard[0][1].lines == ["the cluster file system is away"]


def test_it_reaches_an_observer_that_is_configured(paths, clock, tmp_path):
    pytest.importorskip("pvefw_observer_generic")
    settings = {"url": f"cmd:{sys.executable} -c \"print('http://127.0.0.1:9')\""}
    instances.add(paths, Instance("observer", "checks", "healthchecks", settings))
    good, lines = run(paths, clock)
    assert good
    assert len(lines) == 2
    assert all(line.startswith("checks: could not be notified of this run: ") for line in lines)


@pytest.mark.parametrize(
    ("plugin", "settings", "said"),
    [
        ("files", {"key": "/nowhere/key.pem"}, "pvefw cert deploy NAME --test one"),
        (
            "healthchecks",
            {"url": "cmd:echo http://127.0.0.1:9"},
            "one: 127.0.0.1:9: connection refused",
        ),
    ],
)
def test_observers_that_hear_of_no_failure_are_tested_otherwise(paths, plugin, settings, said):
    instances.add(paths, Instance("observer", "one", plugin, settings))
    with pytest.raises(PvefwError) as error:
        trial.test(Node.open(paths), "observer", "one", Log())
    assert said in f"{error.value.message} {error.value.hint}"
