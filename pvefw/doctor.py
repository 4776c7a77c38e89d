"""Examines installed plugins, each alone in a child process, and says what to mend.

The child is this module run as a program: it loads one plugin and prints what it found as JSON.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from typing import Any

from pvefw import plugins, settings, system
from pvefw.errors import PluginError, ProgramError
from pvefw.plugins import PluginInfo

CHILD_SECONDS = 30.0
_SECRET_WORDS = ("secret", "password", "passwd", "token", "apikey", "api_key", "private")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or could be better, with a plugin."""

    severity: str
    """``error``: it cannot be used; ``warning``: it can, but should be mended."""
    what: str
    mend: str


@dataclass(frozen=True)
class Diagnosis:
    """What the examination of one plugin found."""

    info: PluginInfo
    findings: Sequence[Finding]
    import_seconds: float | None
    """How long its import took, or ``None`` where it did not end well."""

    @property
    def usable(self) -> bool:
        return not any(one.severity == "error" for one in self.findings)


def examine_all() -> list[Diagnosis]:
    """Examine every installed plugin of every family, a few at a time."""
    infos = [info for family in plugins.FAMILIES.values() for info in plugins.installed(family)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(examine, infos))


def examine(info: PluginInfo) -> Diagnosis:
    """Examine one plugin: metadata here, the rest in a child process with a time limit."""
    findings = _metadata_findings(info)
    if any(one.severity == "error" for one in findings):
        return Diagnosis(info, findings, None)
    try:
        done = system.run(
            [sys.executable, "-m", "pvefw.doctor", info.family.name, info.name],
            env=_child_environment(),
            timeout=CHILD_SECONDS,
        )
        report = json.loads(done.stdout.splitlines()[-1])
    except (ProgramError, ValueError, LookupError) as error:
        why = str(error) if isinstance(error, ProgramError) else "it ends the whole process"
        gone = Finding("error", f"its import does not end well: {why}", _mend(info))
        return Diagnosis(info, [*findings, gone], None)
    findings += [Finding(**one) for one in report["findings"]]
    return Diagnosis(info, findings, report["import_seconds"])


def _child_environment() -> dict[str, str]:
    """What makes the child see the same plugins, under the same limit."""
    limit = os.environ.get("PVEFW_PLUGIN_TIMEOUT")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **({"PVEFW_PLUGIN_TIMEOUT": limit} if limit else {}),
    }


def _mend(info: PluginInfo) -> str:
    return f"Mend, upgrade or uninstall {info.distribution}."


def _metadata_findings(info: PluginInfo) -> list[Finding]:
    try:
        plugins.find(info.family, info.name)
    except PluginError as error:
        return [Finding("error", error.message, error.hint)]
    if info.api is None:
        return [
            Finding(
                "warning",
                "its distribution does not say which plugin API it speaks",
                'Add "pvefw>=1,<2" to its dependencies.',
            )
        ]
    return []


# --- in the child ---------------------------------------------------------------------------------


def _child(family_name: str, name: str) -> None:
    """Load one plugin and print the report as the last line of standard output."""
    connections: list[str] = []
    sys.addaudithook(
        lambda event, args: connections.append(str(args[1])) if event == "socket.connect" else None
    )
    info = plugins.find(plugins.FAMILIES[family_name], name)
    started = time.perf_counter()
    findings: list[Finding] = []
    seconds = None
    try:
        plugin = plugins.load(info)
        seconds = time.perf_counter() - started
        findings += [
            Finding("warning", f"its import connects to {one}", "Connect in a hook, not at import.")
            for one in connections
        ]
        findings += _setting_findings(plugin)
        plugins.bind_object(info.family, _without_settings(plugin), name)
    except PluginError as error:
        findings.append(Finding("error", error.message, error.hint or _mend(info)))
    report = {"findings": [asdict(one) for one in findings], "import_seconds": seconds}
    sys.stdout.write(f"\n{json.dumps(report)}\n")
    sys.stdout.flush()
    os._exit(0)  # threads that an import left behind must not keep the child


def _without_settings(plugin: type) -> object:
    """An instance that nobody configured: enough to see which hooks it has."""
    bare: Any = object.__new__(plugin)
    for one in fields(plugin):
        object.__setattr__(bare, one.name, None)
    return bare


def _setting_findings(plugin: type) -> list[Finding]:
    found = []
    for info in settings.declared(plugin):
        if not info.help:
            found.append(
                Finding(
                    "warning",
                    f"the setting {info.key} has no help",
                    'Declare it with setting(help="…").',
                )
            )
        if not info.secret and any(word in info.key.lower() for word in _SECRET_WORDS):
            found.append(
                Finding(
                    "warning",
                    f"the setting {info.key} sounds like a secret and is not marked as one",
                    "Declare it with setting(…, secret=True).",
                )
            )
    return found


if __name__ == "__main__":
    _child(*sys.argv[1:])
