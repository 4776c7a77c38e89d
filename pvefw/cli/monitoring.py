"""The state of a node for Nagios and all who run its plugins.

As the Monitoring Plugins Development Guidelines have it: a short line with a word, which parts are not
well, and after a bar the figures, ``'label'=value;warn;crit;min;max``, to draw; then the details.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pvefw.cli.status_parts import Part
from pvefw.cli.streams import say

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""By exit status."""
_WORST_FIRST = (2, 1, 3, 0)
_STATUS = {"ok": 0, "none": 0, "acknowledged": 0, "attention": 1, "failed": 3}
_DAY = 86400
_BRIEF = 80
"""Characters of a part's first line: a short message is shown in one row of a table."""


def show(parts: Mapping[str, Part], now: datetime) -> int:
    """Print the line.

    :returns: the exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; the worst of the parts.
    """
    each = {name: 2 if part.critical else _STATUS[part.state] for name, part in parts.items()}
    status = next(code for code in _WORST_FIRST if code in each.values())
    wrong = [name for name in parts if each[name]]
    summary = ", ".join(map(_brief, wrong, (parts[name] for name in wrong))) or ", ".join(parts)
    line = " ".join(f"PVEFW {_WORDS[status]} - {summary}".replace("|", "/").split())
    figures = " ".join(_figures(parts, now))
    say(f"{line} | {figures}" if figures else line)
    for name in wrong:
        for detail in parts[name].lines:
            say(f"{name}: {detail}".replace("|", "/"))
    return status


def _brief(name: str, part: Part) -> str:
    """What is wrong in a part, for a short line: its first line, as far as that goes."""
    words = " ".join((part.issues or part.lines)[0].split()) if name != "tasks" else part.lines[0]
    more = f" (+{len(part.issues) - 1})" if name != "tasks" and len(part.issues) > 1 else ""
    return f"{name}: {words[:_BRIEF]}{'…' if len(words) > _BRIEF else ''}{more}"


def show_hosts(hosts: Mapping[str, tuple[int, str] | str]) -> int:
    """Print the line for several hosts: status and words of each, or why there are none.

    :returns: the exit status, the worst of the hosts; 3 (UNKNOWN) for one that does not answer.
    """
    unknown = _WORDS.index("UNKNOWN")
    each = {
        host: (unknown, answer) if isinstance(answer, str) else answer
        for host, answer in hosts.items()
    }
    bad = {host: f"{_WORDS[code]}: {sentence}" for host, (code, sentence) in each.items() if code}
    status = next(worst for worst in _WORST_FIRST if worst in {code for code, _ in each.values()})
    summary = "; ".join(f"{host} {why}" for host, why in bad.items()) or ", ".join(each)
    line = " ".join(f"PVEFW {_WORDS[status]} - {summary}".replace("|", "/").split())
    say(f"{line} | 'hosts'={len(each)};;;0 'hosts not ok'={len(bad)};0;;0")
    return status


def _figures(parts: Mapping[str, Part], now: datetime) -> Iterator[str]:
    data: dict[str, Mapping[str, Any]] = {name: part.data for name, part in parts.items()}
    certificates = data.get("certificates", {})
    for certificate in certificates.get("certificates", []):
        left = (datetime.fromisoformat(certificate["not-after"]) - now).total_seconds() / _DAY
        yield f"'{certificate['file']} days left'={left:.2f}"
    if "not-deployed" in certificates:
        yield f"'not deployed'={len(certificates['not-deployed'])};0;;0"
    if "addresses" in data.get("served", {}):
        wrong = [address for address in data["served"]["addresses"] if not address["ok"]]
        yield f"'served wrong'={len(wrong)};0;;0"
    tasks = data.get("tasks", {})
    for label, key, limit in (("failed tasks", "failed", "0"), ("running tasks", "running", "")):
        if key in tasks:
            yield f"'{label}'={len(tasks[key])};{limit};;0"
    for state, count in sorted(data.get("guests", {}).get("states", {}).items()):
        yield f"'guests {state}'={count};;;0"
