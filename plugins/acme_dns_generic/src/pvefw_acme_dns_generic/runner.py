"""Runs a dnsapi script as it is, alone, with its credentials in a pipe and nothing else.

One shell runs the helpers, the script and the calls, all from its standard input: neither the script
nor a credential has to be in a file or an argument that others can see.
"""

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from pvefw.api import ProviderError, Sandbox, Task, TxtRecord, run
from pvefw_acme_dns_generic import failure

_SECONDS = 240.0
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What can be the name of a variable; a script cannot read another key."""
_OF_THE_SHELL = re.compile(
    r"PATH|HOME|TMPDIR|IFS|ENV|CDPATH|GLOBIGNORE|SHELLOPTS|(BASH|LD_|PS\d).*"
)
"""No credential is called so, and whoever may set one could choose which programs run."""


class Script:
    """One script with its credentials.

    :param name: the provider's name; the script defines ``dns_NAME_add`` and ``dns_NAME_rm``.
    :param unconfined: run it also where it cannot be kept apart from other programs.
    """

    def __init__(
        self, name: str, path: Path, values: Mapping[str, str], *, unconfined: bool = False
    ) -> None:
        self._name = name
        self._path = path
        self._values = values
        self._unconfined = unconfined

    def call(self, action: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Call ``dns_NAME_add`` or ``dns_NAME_rm`` for every record, until one fails.

        :param action: ``add`` or ``rm``.
        :raises ProviderError: the script failed; its own words.
        """
        shell = "bash" if shutil.which("bash") else "sh"
        if obstacle := Sandbox.obstacle():
            self._without_sandbox(obstacle, task)
        done = run(
            [shell, "-s"],
            input=self._program(action, records),
            timeout=_SECONDS,
            check=False,
            sandbox=Sandbox(),
        )
        output = failure.sort(done.stderr)
        for message in output.notes:
            task.log(message)
        if done.returncode != 0:
            raise failure.explain(f"{self._path.name} {action}", output, done.stdout)

    def _without_sandbox(self, obstacle: str, task: Task) -> None:
        """Say that the script is not kept apart.

        :raises ProviderError: that is not allowed.
        """
        if not self._unconfined:
            raise ProviderError(
                f"{self._path.name}: scripts cannot be kept apart on this host: {obstacle}",
                hint="Install bubblewrap, or allow it: unconfined 1 in the section dns_catalog: acmesh",
                unchanged=True,
            )
        task.log(f"{self._path.name} is not kept apart from other programs: {obstacle}")

    def _program(self, action: str, records: Sequence[TxtRecord]) -> str:
        """Everything that the shell reads.

        :raises ProviderError: a setting would change the shell itself.
        """
        for key in filter(_OF_THE_SHELL.fullmatch, self._values):
            raise ProviderError(f"{self._path.name}: {key} is the shell's, and cannot be a setting")
        helpers = resources.files(__package__).joinpath("helpers.sh").read_text(encoding="utf-8")
        credentials = [
            f"{prefix}{key}={shlex.quote(value)}"
            for key, value in self._values.items()
            if _VARIABLE.fullmatch(key)
            for prefix in ("CONF_", "")
        ]
        calls = [
            f"dns_{self._name}_{action} {shlex.quote(record.name.rstrip('.'))} "
            f"{shlex.quote(record.value)} </dev/null || exit 1"
            for record in records
        ]
        script = self._path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        return "\n".join([helpers, *credentials, script, *calls, "exit 0", ""])
