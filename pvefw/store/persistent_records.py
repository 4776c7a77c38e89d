"""What is known of records of dns-persist-01: which were published or found, and until when they count.

One JSON file for the cluster. The records themselves are in DNS; this says which names need no other
challenge, when to publish again, and with what a record that was published is found again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pvefw.core import causes
from pvefw.core.errors import ConfigError
from pvefw.store import files, locks
from pvefw.store.paths import Paths

_LOCK = "pvefw-persist"


@dataclass(frozen=True)
class Kept:
    """One record."""

    domain: str
    """Under which it lies; A-labels without a final dot."""
    text: str
    """Its content."""
    account: str
    """The name of the account that it is for."""
    thumbprint: str
    """Of the account's key at that time; empty where the record does not depend on it."""
    wildcard: bool = False
    until: float = 0.0
    """Unix time after which it is no longer valid; 0 for never."""
    plugin: str = ""
    """The instance that published it; empty where somebody did by hand."""
    alias: str = ""

    def command(self, own_account: str) -> str:
        """The command that makes such a record again, for hints.

        :param own_account: the account that is taken where none is named.
        """
        options = {
            "--plugin": self.plugin,
            "--alias": self.alias,
            "--account": self.account if self.account != own_account else "",
        }
        words = ["publish" if self.plugin else "show", self.domain]
        words += [f"{option} {value}" for option, value in options.items() if value]
        return f"pvefw acme persist {' '.join(words)}{' --wildcard' if self.wildcard else ''}"


def load(paths: Paths) -> Sequence[Kept]:
    """Every record that is known, by domain.

    :raises ConfigError: the file is damaged.
    """
    data = files.read_if_exists(paths.persistent_records)
    if data is None:
        return ()
    try:
        return tuple(_kept(record) for record in files.parse_json(data)["records"])
    except files.DAMAGED as error:
        raise ConfigError(
            f"{paths.persistent_records}: this cannot be read: {causes.damage(error)}",
            hint="Delete it, then: pvefw acme persist check DOMAIN",
        ) from error


def _kept(members: Mapping[str, Any]) -> Kept:
    """A record as it was kept.

    :raises TypeError: a field is missing, or of another type.
    """
    kept = Kept(**members)
    texts = (getattr(kept, field_.name) for field_ in fields(kept) if field_.type is str)
    numbers = isinstance(kept.until, int | float) and isinstance(kept.wildcard, bool)
    if not numbers or not all(isinstance(text, str) for text in texts):
        raise TypeError("a value is of another type")
    return kept


def keep(paths: Paths, record: Kept) -> None:
    """Add what is known of a record, or replace it.

    :raises Locked: another process or node is at it.
    """
    _change(paths, record.domain, [record])


def forget(paths: Paths, domain: str) -> None:
    """Remove what is known of a domain's record; nothing known is not an error."""
    _change(paths, domain, [])


def _change(paths: Paths, domain: str, new: Sequence[Kept]) -> None:
    with locks.cluster_lock(paths, _LOCK):
        others = [record for record in load(paths) if record.domain != domain]
        records = sorted([*others, *new], key=lambda other: other.domain)
        text = json.dumps({"records": [asdict(record) for record in records]}, indent=1)
        files.replace(paths.persistent_records, f"{text}\n".encode(), private=True)
