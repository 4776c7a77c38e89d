"""Examines installed plugins, each alone in a child process, and says what to fix.

The child is this module run as a program: it loads one plugin and prints what it found as JSON.
"""

import json
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from pvefw import PROJECT
from pvefw.core import binding, families, finding, settings
from pvefw.core.errors import PluginError, ProgramError, PvefwError
from pvefw.core.families import DNS, DNS_CATALOG, Family
from pvefw.core.finding import PluginInfo
from pvefw.host import descriptors, programs
from pvefw.host.concurrency import side_by_side

CHILD_SECONDS = 30.0
_MEMORY = 4 << 30
"""Bytes of address space that an import may take."""
SLOW_SECONDS = 1.0
"""An import that takes longer is worth a word: whoever uses the plugin waits for it."""
_SECRET_WORDS = (
    *("secret", "password", "passwd", "passphrase", "token", "credential"),
    *("apikey", "api_key", "access_key", "private"),
)
_NO_SECRET = re.compile(r"\b(?:id|name|file|path)\b", re.IGNORECASE)
"""In the help of a setting that only sounds like a secret: a token's id, a password file."""
_TROUBLE = {
    "socket.connect": "connects to {1}",
    "socket.sendto": "sends to {1}",
    "socket.getaddrinfo": "looks {0} up",
    "socket.gethostbyname": "looks {0} up",
    "subprocess.Popen": "starts {0}",
    "os.system": "starts {0}",
}
"""What an import must not do, by the interpreter's audit event, in terms of its arguments."""
_MOST_NAMES = 10
_ALIKE = 0.85
"""How much a method's name must be like a hook's to be taken for a misspelt one (0 to 1)."""
_IMPORT_TIME = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or could be better, with a plugin."""

    severity: str
    """``error``: it cannot be used; ``warning``: it can, but should be fixed; ``note``: good to know."""
    what: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What the examination of one plugin found."""

    info: PluginInfo
    findings: Sequence[Finding]
    import_seconds: float | None
    """How long its import took, or ``None`` where it did not end well."""
    providers: Sequence[str] = ()
    """What a catalogue offers."""

    @property
    def usable(self) -> bool:
        return not any(fault.severity == "error" for fault in self.findings)


def examine_all() -> list[Diagnosis]:
    """Examine every installed plugin of every family, a few at a time."""
    infos = [
        info
        for family in families.FAMILIES.values()
        for info in finding.installed(family)
        if info.distribution != "pvefw"  # core's own is no plugin that somebody could fix
    ]
    diagnoses = side_by_side(examine, infos, os.cpu_count() or 1)
    catalogues = {
        diagnosis.info.name: diagnosis.providers
        for diagnosis in diagnoses
        if diagnosis.info.family is DNS_CATALOG
    }
    return [_with_namesakes(diagnosis, catalogues) for diagnosis in diagnoses]


def _with_namesakes(diagnosis: Diagnosis, catalogues: Mapping[str, Sequence[str]]) -> Diagnosis:
    """Say where a DNS plugin or a catalogue hides providers of another catalogue with the same names."""
    name = diagnosis.info.name
    if diagnosis.info.family is DNS_CATALOG:
        notes = [
            _shared(name, other, sorted({*diagnosis.providers} & {*names}))
            for other, names in sorted(catalogues.items())
            if other > name and {*diagnosis.providers} & {*names}
        ]
        return replace(diagnosis, findings=[*diagnosis.findings, *notes])
    hidden = [catalogue for catalogue, names in sorted(catalogues.items()) if name in names]
    if diagnosis.info.family is not DNS or not hidden:
        return diagnosis
    others = " and ".join(f"{catalogue}/{name}" for catalogue in hidden)
    note = Finding(
        "note",
        f"{' and '.join(hidden)} offers a provider {name}, too",
        f"`--api {name}` is this plugin; write {others} for the other.",
    )
    return replace(diagnosis, findings=[*diagnosis.findings, note])


def _shared(first: str, second: str, names: Sequence[str]) -> Finding:
    some = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    return Finding(
        "note",
        f"{second} offers {len(names)} of its providers, too: {some}",
        f"`--api NAME` is {first}'s; write {second}/NAME for the other.",
    )


def examine(info: PluginInfo) -> Diagnosis:
    """Examine one plugin: metadata here, the rest in a child process with a time limit."""
    findings = _metadata_findings(info)
    if any(fault.severity == "error" for fault in findings):
        return Diagnosis(info, findings, None)
    try:
        report, _ = _in_child(info)
    except (ProgramError, *_NO_REPORT) as error:
        why = str(error) if isinstance(error, ProgramError) else "it ends the whole process"
        gone = Finding("error", f"its import fails: {why}", _fix(info))
        return Diagnosis(info, [*findings, gone], None)
    findings += report.findings
    seconds = report.import_seconds
    if seconds is not None and seconds > SLOW_SECONDS:
        findings.append(_slow(info, seconds))
    return Diagnosis(info, findings, seconds, report.providers)


@dataclass(frozen=True)
class _Report:
    """What a child found."""

    findings: Sequence[Finding]
    import_seconds: float | None
    providers: Sequence[str]

    @classmethod
    def read(cls, line: str) -> "_Report":
        """The report in a line that the child printed, or what the plugin printed in its place.

        :raises Exception: one of :data:`_NO_REPORT`.
        """
        document = json.loads(line)
        findings = [
            Finding(**{key: str(values[key]) for key in _FINDING})
            for values in document["findings"]
        ]
        seconds = document["import_seconds"]
        providers = [str(provider) for provider in document["providers"]]
        return cls(findings, None if seconds is None else float(seconds), providers)


_FINDING = ("severity", "what", "fix")
_NO_REPORT = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What a line that is no report raises."""


def _in_child(info: PluginInfo, *options: str) -> tuple[_Report, str]:
    """What the child reports, and what it wrote to standard error."""
    done = programs.run(
        [sys.executable, *options, "-m", "pvefw.core.doctor", info.family.name, info.name],
        env=_child_environment(),
        timeout=CHILD_SECONDS,
    )
    return _Report.read(done.stdout.splitlines()[-1]), done.stderr


def _slow(info: PluginInfo, seconds: float) -> Finding:
    """Say which package an import spends most of its time on; found out by importing it again."""
    fix = "Import slow modules inside the hooks that need them."
    try:
        _, times = _in_child(info, "-X", "importtime")
    except (ProgramError, *_NO_REPORT):
        return Finding("warning", f"its import takes {seconds:.1f} s", fix)
    own = Counter[str]()
    for microseconds, module in _IMPORT_TIME.findall(times):
        own[module.partition(".")[0]] += int(microseconds)
    if not own:
        return Finding("warning", f"its import takes {seconds:.1f} s", fix)
    [(package, most)] = own.most_common(1)
    share = f"{100 * most / own.total():.0f} %"
    what = f"its import takes {seconds:.1f} s, {share} of it for the package {package}"
    return Finding("warning", what, fix)


def _child_environment() -> dict[str, str]:
    """What makes the child see the same plugins, under the same limit."""
    limit = os.environ.get("PVEFW_PLUGIN_TIMEOUT")
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **({"PVEFW_PLUGIN_TIMEOUT": limit} if limit else {}),
    }


def _fix(info: PluginInfo) -> str:
    return f"Fix, upgrade or uninstall {info.distribution}."


def _metadata_findings(info: PluginInfo) -> list[Finding]:
    try:
        finding.find(info.family, info.name)
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
    trouble: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TROUBLE:
            trouble.append(_TROUBLE[event].format(*arguments))

    _bound()
    descriptors.keep()
    info = finding.find(families.FAMILIES[family_name], name)
    findings: list[Finding] = []
    seconds = None
    providers: list[str] = []
    sys.addaudithook(hear)
    started = time.perf_counter()
    try:
        plugin = binding.load(info)
        seconds = time.perf_counter() - started
        findings += [
            Finding("warning", f"its import {deed}", "Do that in a hook, not at import.")
            for deed in dict.fromkeys(trouble)
        ]
        findings += _setting_findings(plugin)
        findings += _unmarked(info.family, plugin)
        binding.bind_object(info.family, _without_settings(plugin), name)
        providers = _providers(info)
    except PluginError as error:
        findings.append(Finding("error", error.message, error.hint or _fix(info)))
    report = {
        "findings": [asdict(fault) for fault in findings],
        "import_seconds": seconds,
        "providers": providers,
    }
    sys.stdout.write(f"\n{json.dumps(report)}\n")
    sys.stdout.flush()
    sys.stderr.flush()


def _leave() -> NoReturn:
    """End the child with what an import left behind: programs, and threads that would keep it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(0)


def _bound() -> None:
    """Limits for what is examined: a plugin that wants everything does not get it."""
    for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard < 0 else min(most, hard), hard))


def _providers(info: PluginInfo) -> list[str]:
    """What a catalogue offers, as far as it can say so without settings."""
    if info.family is not DNS_CATALOG:
        return []
    try:
        hooks = binding.bind(DNS_CATALOG, info.name, {}).hooks
        return list(hooks.catalog_names(root=Path("/")))
    except PvefwError:
        return []


def _unmarked(family: Family, plugin: type) -> list[Finding]:
    """Methods that are called like a hook, or nearly so, and are not marked: nobody calls them."""
    findings = []
    for name, member in vars(plugin).items():
        if name.startswith("_") or not callable(member) or hasattr(member, f"{PROJECT}_impl"):
            continue
        for hook in get_close_matches(name, family.hooks, n=1, cutoff=_ALIKE):
            fix = "Put @hookimpl above it" + ("." if hook == name else f" and call it {hook}.")
            what = f"its method {name} is not marked as a hook and is never called"
            findings.append(Finding("warning", what, fix))
    return findings


def _without_settings(plugin: type) -> object:
    """An instance that nobody configured: enough to see which hooks it has."""
    bare: Any = object.__new__(plugin)
    for field_ in fields(plugin):
        object.__setattr__(bare, field_.name, None)
    return bare


def _setting_findings(plugin: type) -> list[Finding]:
    findings = []
    for info in settings.declared(plugin):
        if not info.help:
            findings.append(
                Finding(
                    "warning",
                    f"the setting {info.key} has no help",
                    'Declare it with setting(help="…").',
                )
            )
        told = info.secret or info.type in ("boolean", "path") or _NO_SECRET.search(info.help)
        if not told and any(word in info.key.lower() for word in _SECRET_WORDS):
            findings.append(
                Finding(
                    "warning",
                    f"the setting {info.key} sounds like a secret and is not marked as one",
                    "Declare it with setting(…, secret=True).",
                )
            )
        if info.secret and info.default:
            findings.append(
                Finding(
                    "warning",
                    f"the secret setting {info.key} has a default that everybody can read",
                    "Leave the default out.",
                )
            )
    return findings


if __name__ == "__main__":
    try:
        _child(*sys.argv[1:])
    finally:  # without a report, too
        _leave()
