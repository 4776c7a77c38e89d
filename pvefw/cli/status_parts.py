"""What ``pvefw status`` looks at, and what it says of each part.

A part is a function; to add one, write it and name it in ``PARTS``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvefw.store.paths import Paths

OK, ATTENTION, FAILED, NONE = "ok", "attention", "failed", "none"
ACKNOWLEDGED = "acknowledged"
GOOD = (OK, NONE, ACKNOWLEDGED)
"""The states in which nobody has to act."""
_DAY = 24 * 60 * 60
_ENDS_SOON = 30 * _DAY
_CRITICAL = ("critical", "expired")
NO_TIMER = "nothing runs `pvefw renew` by itself; install the timer: pvefw renew install-timer"
_MOST_LINES = 5
"""Failed tasks that are named."""


@dataclass(frozen=True)
class Part:
    """What was found out about one thing."""

    state: str
    """``ok``; ``attention`` where somebody should act; ``acknowledged`` where somebody has said that all
    of that is known; ``failed`` where it could not be found out; ``none`` where this node has no such
    thing."""
    lines: Sequence[str]
    """For people."""
    data: Mapping[str, Any] = field(default_factory=dict)
    critical: bool = False
    """Somebody should act now: users of this node are affected, or soon are."""
    issues: Sequence[str] = ()
    """What is wrong, in words that stay the same as long as it does: no times, no counts of tries."""


# --- the parts ------------------------------------------------------------------------------------


def _certificates(paths: "Paths", now: datetime) -> Part:
    from pvefw.certs import deploy, exposure, references, renamed, renewal_plan, timer
    from pvefw.store.node import Node

    node = Node.open(paths)
    certificates = renewal_plan.overview(node, now)
    pending, missing = deploy.pending(node), renewal_plan.missing(node)
    problems = [*references.of_node(node), *exposure.of_node(node), *renamed.problems(node)]
    bad = [certificate for certificate in certificates if certificate["issue"]]
    lines = [
        f"{certificate['line']} [{certificate['urgency']}]"
        if certificate in bad
        else certificate["line"]
        for certificate in certificates
    ]
    lines += [absent.line(now) for absent in missing]
    lines += [f"not deployed yet: {', '.join(pending)}; deploy it: pvefw renew"] if pending else []
    lines += problems
    data: dict[str, Any] = {
        "certificates": certificates,
        "not-deployed": list(pending),
        "not-ordered": [absent.certificate.name for absent in missing],
        "problems": problems,
    }
    issues = [
        *(str(certificate["issue"]) for certificate in bad),
        *(absent.issue() for absent in missing if absent.removed),
        *(f"not deployed: {name}" for name in pending),
    ]
    issues += problems
    if any(certificate["due"] for certificate in certificates):
        data["timer"] = timer.is_installed(paths)
        lines += [] if data["timer"] else [NO_TIMER]
        issues += [] if data["timer"] else [NO_TIMER]
    if not lines:
        return Part(NONE, ["no certificates"], data)
    critical = any(
        certificate["urgency"] in _CRITICAL or certificate["revoked"] for certificate in bad
    )
    return Part(ATTENTION if issues else OK, [str(line) for line in lines], data, critical, issues)


def _served(paths: "Paths", _now: datetime) -> Part:
    """What the last look found, after a delivery or by ``renew``: nobody connects now."""
    from pvefw.certs import served
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    looks = [
        (certificate.name, look)
        for certificate in Certificate.all_of(Node.open(paths))
        for look in served.last_looks(certificate)
    ]
    bad = [(name, look) for name, look in looks if look.reason]
    issues = [served.problem(name, look) for name, look in bad]
    lines = [f"{name}: {look.address}" for name, look in looks if not look.reason] + issues
    for name in dict.fromkeys(name for name, _ in bad):
        lines.append(
            f"deliver it again: pvefw cert deploy {name}; check it: pvefw cert check {name}"
        )
    addresses = [
        {
            "certificate": name,
            "address": look_.address,
            "ok": not look_.reason,
            "reason": look_.reason,
        }
        for name, look_ in looks
    ]
    state = ATTENTION if bad else OK if looks else NONE
    lines = lines or ["no installed certificate says where it is served"]
    return Part(state, lines, {"addresses": addresses}, issues=issues)


def _credentials(paths: "Paths", now: datetime) -> Part:
    from pvefw.certs import credentials
    from pvefw.store.node import Node

    ends = sorted(credentials.ends(Node.open(paths)).items(), key=lambda item: item[1])
    soon = [id_ for id_, end in ends if (end - now).total_seconds() < _ENDS_SOON]
    lines = [
        f"{id_}: {'expired' if end < now else 'expires'} on {end.date()}"
        + (f"; renew it: pvefw acme plugin login {id_}" if id_ in soon else "")
        for id_, end in ends
    ]
    data = {"expires": {id_: end.isoformat() for id_, end in ends}}
    state = ATTENTION if soon else OK if ends else NONE
    issues = [f"{id_} expires on {end.date()}" for id_, end in ends if id_ in soon]
    return Part(state, lines or ["no DNS credentials that expire"], data, issues=issues)


def _records(paths: "Paths", now: datetime) -> Part:
    from pvefw.store import persistent_records

    known = persistent_records.load(paths)
    if not known:
        return Part(NONE, ["no persistent DNS records"], {"warnings": []})
    from pvefw.certs import persist

    warnings = persist.warnings(paths, now)
    names = ", ".join(record.domain for record in known)
    lines = warnings or [f"persistent DNS records: {names}"]
    return Part(ATTENTION if warnings else OK, lines, {"warnings": list(warnings)}, issues=warnings)


def _tasks(paths: "Paths", now: datetime) -> Part:
    from pvefw.tasks import history

    this = int(now.timestamp())  # what lies further in the future began while the clock was ahead
    wanted = history.Filter(source="all", errors=True, since=this - _DAY, until=this + _DAY)
    notes: list[str] = []
    failed = history.tasks(paths, wanted, limit=100, note=notes.append)
    running = history.tasks(
        paths, history.Filter(source="active", states=frozenset(["running"])), limit=100
    )
    lines = [f"{len(failed)} failed in the last day, {len(running)} running"]
    lines += [f"{task.upid} {task.status or ''}".rstrip() for task in failed[:_MOST_LINES]]
    lines += notes
    data = {
        "failed": [history.as_dict(task) for task in failed],
        "running": [history.as_dict(task) for task in running],
    }
    issues = [str(task.upid) for task in failed]
    return Part(ATTENTION if failed else OK, lines, data, issues=issues)


def _boot(paths: "Paths", _now: datetime) -> Part:
    from pvefw.boot import status as boot

    facts = boot.summary(paths)
    lines = [facts["problem"]] if facts["problem"] else []
    issues = [*lines, *([facts["unexpected"]["line"]] if facts["unexpected"] else [])]
    for esp in facts["esps"]:
        wrong = [
            *([] if esp["there"] else ["not found"]),
            *(["a refresh was interrupted"] if esp["interrupted"] else []),
            *([esp["failure"]] if esp["failure"] else []),
        ]
        lines.append(f"ESP {esp['uuid']}: {', '.join(wrong) or 'in place'}")
        issues += lines[-1:] if wrong else []
    for name, key in (("pinned", "pinned"), ("next boot", "next-boot")):
        lines += [f"{name}: {facts[key]}"] if facts[key] else []
    if facts["manual"]:
        lines.append(f"manually selected: {', '.join(facts['manual'])}")
    lines += [facts["unexpected"]["line"]] if facts["unexpected"] else []
    state = ATTENTION if issues else OK if facts["esps"] else NONE
    return Part(state, lines or ["no ESPs are managed, no kernel is pinned"], facts, issues=issues)


def _guests(paths: "Paths", _now: datetime) -> Part:
    from pvefw.core.errors import NotFound
    from pvefw.guests import backends
    from pvefw.store.node import Node

    node = Node.open(paths)
    try:
        backends.configured(node)
    except NotFound:
        return Part(NONE, ["no guest backend"], {"states": {}, "not-running": [], "failures": []})
    listed, failures = backends.Backends.load(node).list()
    states = Counter(entry.guest.state.value for entry in listed)
    down = [
        f"{entry.id} ({entry.guest.name})"
        for entry in listed
        if entry.guest.onboot and not entry.guest.template and entry.guest.state.value == "stopped"
    ]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    lines = [counts or "no guests"]
    lines += [f"start at boot, but do not run: {', '.join(down)}"] if down else []
    lines += [failure.message for failure in failures]
    data = {
        "states": dict(states),
        "not-running": down,
        "failures": [failure.message for failure in failures],
    }
    issues = [failure.message for failure in failures]
    return Part(ATTENTION if failures else OK, lines, data, issues=issues)


def _ksm(paths: "Paths", _now: datetime) -> Part:
    from pvefw.core.errors import NotFound
    from pvefw.node import ksm

    try:
        ksm_status = ksm.status(paths)
    except NotFound:
        return Part(NONE, ["this kernel has no KSM"])
    services: Any = ksm_status["services"]
    words = [
        f"{name} {service['active']}, {service['enabled']}" for name, service in services.items()
    ]
    bad = [
        f"{name} has failed" for name, service in services.items() if service["active"] == "failed"
    ]
    saved: Any = ksm_status["saved"]
    line = f"{ksm_status['state']}, {ksm.mebibytes(saved)} MiB saved; {'; '.join(words) or 'no service'}"
    return Part(ATTENTION if bad else OK, [line], ksm_status, issues=bad)


def _units(paths: "Paths", _now: datetime) -> Part:
    from pvefw.certs import timer
    from pvefw.cli import unit_state

    problems = unit_state.troubles(paths)
    installed = sorted(unit_state.installed(paths))
    data = {"installed": installed, "problems": problems}
    if problems:
        return Part(ATTENTION, problems, data, issues=problems)
    cron = [f"/{timer.CRON}"] if paths.below(timer.CRON).exists() else []
    line = ", ".join([*installed, *cron]) or "no units of pvefw are installed"
    return Part(OK if installed or cron else NONE, [line], data)


OF_THE_MACHINE = {"boot", "guests", "ksm", "units"}
"""Parts that only the machine itself can see."""

PARTS: Mapping[str, Callable[["Paths", datetime], Part]] = {
    "certificates": _certificates,
    "served": _served,
    "credentials": _credentials,
    "records": _records,
    "tasks": _tasks,
    "boot": _boot,
    "guests": _guests,
    "ksm": _ksm,
    "units": _units,
}
