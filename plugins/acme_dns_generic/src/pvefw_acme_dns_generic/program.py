"""dns-01 through a program of the administrator's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.api import (
    CredentialsRejected,
    ProviderError,
    Task,
    TxtRecord,
    Unavailable,
    hookimpl,
    run,
    setting,
)

__all__ = ["Exec"]

_FAILURES: dict[int, type[ProviderError]] = {
    69: Unavailable,
    75: Unavailable,
    77: CredentialsRejected,
}
"""Exit statuses of sysexits(3) that core acts upon: EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM."""


@dataclass
class Exec:
    """Calls PROGRAM add or PROGRAM remove with JSON on standard input."""

    program: Path = setting(help="The program, as an absolute path.")
    credential: str | None = setting(
        help="Passed to the program as 'credential' in its JSON.", default=None, secret=True
    )
    timeout: float = setting(help="Seconds that one call may take.", default=120.0)

    def __post_init__(self) -> None:
        if not self.program.is_absolute():
            raise ValueError(f"program {self.program} is not an absolute path")

    @hookimpl
    def dns_add(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Call it with ``add``."""
        self._call("add", zone, records, task)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Call it with ``remove``."""
        self._call("remove", zone, records, task)

    def _call(self, action: str, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        request: dict[str, object] = {
            "zone": zone,
            "records": [{"name": r.name, "value": r.value, "ttl": r.ttl} for r in records],
        }
        if self.credential is not None:
            request["credential"] = self.credential
        done = run(
            [str(self.program), action],
            input=json.dumps(request) + "\n",
            timeout=self.timeout,
            check=False,
        )
        for line in done.stdout.splitlines():
            task.log(line)
        if done.returncode != 0:
            raise _FAILURES.get(done.returncode, ProviderError)(
                f"{self.program.name} {action} {done.failure}"
            )
