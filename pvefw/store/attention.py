"""What needs attention on this node and is known: acknowledged by somebody, or told lately.

Both are kept by what is wrong, in words that stay the same as long as it does. What is over is forgotten:
should it come again, it is news.
"""

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pvefw.store import files
from pvefw.store.paths import Paths

_TELL_AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class Attention:
    """What is known of it."""

    acknowledged: frozenset[str] = frozenset()
    told: Mapping[str, datetime] = field(default_factory=dict)
    """When somebody was told last."""

    def is_news(self, issue: str, now: datetime) -> bool:
        """Whether somebody should be told; a time in the future is of a clock that was wrong."""
        when = self.told.get(issue)
        late = when is None or not timedelta() <= now - when < _TELL_AGAIN
        return issue not in self.acknowledged and late


def load(paths: Paths) -> Attention:
    """What is kept; nothing where it is damaged."""
    document = files.read_object_if_possible(paths.attention)
    with contextlib.suppress(*files.DAMAGED):
        told = {str(key): datetime.fromisoformat(value) for key, value in document["told"].items()}
        if any(value.tzinfo is None for value in told.values()):
            raise ValueError("a time without its zone")
        return Attention(frozenset(map(str, document["acknowledged"])), told)
    return Attention()


def save(paths: Paths, known: Attention) -> None:
    """Keep it; where that cannot be, people are told again."""
    if known == load(paths):
        return
    told = {key: value.isoformat() for key, value in known.told.items()}
    document = {"acknowledged": sorted(known.acknowledged), "told": told}
    data = json.dumps(document, indent=1).encode()
    files.replace_if_possible(paths.attention, data, "people are notified again")


def acknowledge(paths: Paths, parts: Collection[str], issues: Collection[str]) -> None:
    """Let what is wrong now be quiet.

    :param parts: those that were looked at; of others, what was acknowledged stays.
    :param issues: what is wrong there, each with its part before it, ``boot: …``.
    """
    known = load(paths)
    others = {issue for issue in known.acknowledged if issue.partition(": ")[0] not in parts}
    save(paths, Attention(frozenset({*others, *issues}), known.told))
