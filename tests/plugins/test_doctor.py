"""``plugin doctor``: what it finds, and what it says to do about it."""

import json
import subprocess
import sys

import pytest

from pvefw.core import doctor, finding
from pvefw.core.families import DNS, DNS_CATALOG

HEAD = """
    import time
    from dataclasses import dataclass
    from pvefw.api import hookimpl, setting
"""
HOOKS = """
        @hookimpl
        def dns_add(self, zone, records): ...
        @hookimpl
        def dns_remove(self, zone, records): ...
"""


def plugin(before="", settings="        pass", hooks=HOOKS):
    return f"{HEAD}\n    {before}\n\n    @dataclass\n    class Plugin:\n{settings}\n{hooks}"


def findings(name, family=DNS):
    [diagnosis] = [
        other for other in map(doctor.examine, finding.installed(family)) if other.info.name == name
    ]
    return {(problem.severity, problem.what): problem.fix for problem in diagnosis.findings}


@pytest.fixture
def alone(monkeypatch):
    """Only the plugins of the test: the others take their time."""
    known = finding.installed

    def installed(family):
        return [info for info in known(family) if info.distribution.startswith("dist-")]

    monkeypatch.setattr(finding, "installed", installed)


@pytest.fixture(autouse=True)
def _alone(alone):
    pass


@pytest.mark.parametrize(
    ("code", "severity", "what", "fix"),
    [
        (
            plugin(settings='        password: str = setting(help="It.")'),
            *("warning", "the setting password sounds like a secret and is not marked as one"),
            "Declare it with setting(…, secret=True).",
        ),
        (
            plugin(
                settings='        password: str = setting(help="It.", secret=True, default="x")'
            ),
            *("warning", "the secret setting password has a default that everybody can read"),
            "Leave the default out.",
        ),
        (
            plugin(settings="        region: str = 'eu'"),
            *("warning", "the setting region has no help"),
            'Declare it with setting(help="…").',
        ),
        (
            plugin("import socket; socket.getaddrinfo('localhost', 80)"),
            *("warning", "its import looks localhost up"),
            "Do that in a hook, not at import.",
        ),
        (
            plugin("import subprocess; subprocess.run(['true'])"),
            *("warning", "its import starts true"),
            "Do that in a hook, not at import.",
        ),
        (
            plugin(hooks=HOOKS + "\n        def dns_zones(self): return []"),
            *("warning", "its method dns_zones is not marked as a hook and is never called"),
            "Put @hookimpl above it.",
        ),
        (
            plugin(hooks=HOOKS + "\n        def dns_zone(self): return []"),
            *("warning", "its method dns_zone is not marked as a hook and is never called"),
            "Put @hookimpl above it and call it dns_zones.",
        ),
        (
            plugin(hooks=HOOKS.replace("@hookimpl", "")),
            *("error", "acme: it lacks the hook dns_add, dns_remove"),
            "Put @hookimpl above dns_add, dns_remove.",
        ),
        (
            plugin(hooks=HOOKS.replace("records)", "record)", 1)),
            *("error", "acme: dns_add asks for record, which core does not have (did you mean"),
            "dns_add may declare zone, records, task.",
        ),
        (
            plugin(hooks=HOOKS.replace("dns_remove", "dns_remvoe")),
            *("error", "acme: it has a hook dns_remvoe that the dns family does not know (did you"),
            "Fix, upgrade or uninstall dist-acme.",
        ),
        (
            plugin(
                "print('noise'); import sys; sys.stderr.write('noise')", settings="        n: set"
            ),
            *("error", "Plugin.n: <class 'set'> cannot be a setting"),
            "Use str, int, float, bool, Path or list[str]",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and "\n" not in value else "",
)
def test_a_finding_says_what_to_do(install, code, severity, what, fix):
    install("dns", "acme", code)
    found = findings("acme")
    [said] = [key for key in found if key[1].startswith(what)]
    assert said[0] == severity
    assert fix in found[said]


def test_a_connection_at_import(install):
    """Caught although it is refused, and although the plugin hides that."""
    code = "import socket, contextlib\n    with contextlib.suppress(OSError): "
    install("dns", "acme", plugin(code + "socket.create_connection(('127.0.0.1', 9))"))
    assert any(
        sentence == "its import connects to ('127.0.0.1', 9)" for _, sentence in findings("acme")
    )


def test_a_slow_import_and_whose_fault_it_is(install, site, monkeypatch):
    monkeypatch.setattr(doctor, "SLOW_SECONDS", 0.05)
    (site / "dist_heavy_library.py").write_text("sum(range(30_000_000))\n")
    install("dns", "acme", plugin("import dist_heavy_library"))
    [(_, what)] = findings("acme")
    assert what.startswith("its import takes ")
    assert what.endswith(" % of it for the package dist_heavy_library")


@pytest.mark.parametrize(
    ("requires", "severity", "said"),
    [
        ("pvefw>=2,<3", "error", "it requires pvefw<3,>=2, this is pvefw"),
        ("pvefw<1", "error", "it requires pvefw<1"),
        (None, "warning", "does not say which plugin API it speaks"),
    ],
)
def test_the_api_number(install, requires, severity, said):
    install("dns", "acme", plugin(), requires=requires)
    [(found, what)] = findings("acme")
    assert found == severity
    assert said in what


def test_a_name_that_two_distributions_have(install):
    install("dns", "acme", plugin(), distribution="dist-one")
    install("dns", "acme", plugin(), distribution="dist-two")
    for diagnosis in doctor.examine_all():
        assert [finding.severity for finding in diagnosis.findings] == ["error"]
        assert "dist-one 1.5 and dist-two 1.5" in diagnosis.findings[0].what


def test_a_name_that_a_catalogue_has_too(install):
    install("dns", "acme", plugin())
    hooks = """
        @hookimpl
        def catalog_names(self): return ["acme", "other"]
        @hookimpl
        def catalog_entry(self, name): ...
        @hookimpl
        def catalog_make(self, name, values): ...
"""
    install("dns_catalog", "many", plugin(hooks=hooks))
    by_family = {diagnosis.info.family: diagnosis for diagnosis in doctor.examine_all()}
    [note] = by_family[DNS].findings
    assert (note.severity, note.what) == ("note", "many offers a provider acme, too")
    assert "many/acme" in note.fix
    assert by_family[DNS].usable
    assert not by_family[DNS_CATALOG].findings


def test_as_json_and_as_text(install):
    install("dns", "acme", plugin(settings="        region: str = 'eu'"))

    def said(*options):
        command = [sys.executable, "-m", "pvefw", "plugin", "doctor", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        return done.stdout

    [row] = [line for line in json.loads(said("--output-format", "json")) if line["name"] == "acme"]
    assert row["import_seconds"] > 0
    assert {key: row[key] for key in ("family", "distribution", "api", "usable", "findings")} == {
        "family": "dns",
        "distribution": "dist-acme",
        "api": 1,
        "usable": True,
        "findings": [
            {
                "severity": "warning",
                "what": "the setting region has no help",
                "fix": 'Declare it with setting(help="…").',
            }
        ],
    }
    text = said()
    assert "dns/acme (dist-acme 1.5): ok, import 0." in text
    assert "  warning: the setting region has no help\n    Declare it with" in text
