"""Runs a dnsapi script as it is, as nobody, with its credentials in a pipe and nothing else.

One shell runs the helpers, the script and the calls, all from its standard input: neither the script
nor a credential has to be in a file or an argument that others can see.
"""

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from pvefw.api import Sandbox, Task, TxtRecord, run
from pvefw_acme_dns_generic import failure

_SECONDS = 240.0
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What can be the name of a variable; a script cannot read another key."""


class Script:
    """One script with its credentials.

    :param name: the provider's name; the script defines ``dns_NAME_add`` and ``dns_NAME_rm``.
    """

    def __init__(self, name: str, path: Path, values: Mapping[str, str]) -> None:
        self._name = name
        self._path = path
        self._values = values

    def call(self, action: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Call ``dns_NAME_add`` or ``dns_NAME_rm`` for every record, until one fails.

        :param action: ``add`` or ``rm``.
        :raises ProviderError: the script failed; its own words.
        """
        shell = "bash" if shutil.which("bash") else "sh"
        with _workdir() as workdir:
            done = run(
                [shell, "-s"],
                input=self._program(action, records),
                timeout=_SECONDS,
                check=False,
                sandbox=Sandbox(workdir),
            )
        said = failure.sort(done.stderr)
        for message in said.notes:
            task.log(message)
        if done.returncode != 0:
            raise failure.explain(f"{self._path.name} {action}", said, done.stdout)

    def _program(self, action: str, records: Sequence[TxtRecord]) -> str:
        """Everything that the shell reads."""
        helpers = resources.files(__package__).joinpath("helpers.sh").read_text(encoding="utf-8")
        credentials = [
            f"{prefix}{key}={shlex.quote(value)}"
            for key, value in self._values.items()
            if _VARIABLE.fullmatch(key)
            for prefix in ("CONF_", "")
        ]
        calls = [
            f"dns_{self._name}_{action} {shlex.quote(one.name.rstrip('.'))} "
            f"{shlex.quote(one.value)} </dev/null || exit 1"
            for one in records
        ]
        script = self._path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        return "\n".join([helpers, *credentials, script, *calls, "exit 0", ""])


@contextmanager
def _workdir() -> Iterator[Path]:
    """A directory for the script alone; gone when it is done."""
    path = Path(tempfile.mkdtemp(prefix="pvefw-dns-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
