"""Advisories are matched with the pinned versions; the documents have the form of OSV's schema 1.6."""

import json
import runpy
import zipfile

import pytest
from environments import ROOT
from packaging.version import Version

AUDIT = runpy.run_path(str(ROOT / "tools/audit.py"))


def advisory(*events, versions=(), name="Some_Library", ecosystem="PyPI", **more):
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    package = {"name": name, "ecosystem": ecosystem}
    affected = [{"package": package, "ranges": ranges, "versions": list(versions)}]
    return {"id": "PYSEC-1", "summary": "It leaks.", "affected": affected, **more}


FROM_1_TO_2 = [{"introduced": "1.0"}, {"fixed": "2.0"}]
ALWAYS_BUT_1_5 = [{"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "1.6"}]


@pytest.mark.parametrize(
    ("known", "version", "concerned"),
    [
        (advisory(*FROM_1_TO_2), "1.0", True),
        (advisory(*FROM_1_TO_2), "1.10", True),
        (advisory(*FROM_1_TO_2), "2.0", False),
        (advisory(*FROM_1_TO_2), "2.0rc1", True),
        (advisory(*FROM_1_TO_2), "0.9", False),
        (advisory(*reversed(FROM_1_TO_2)), "1.2", True),
        (advisory(*ALWAYS_BUT_1_5), "1.4", True),
        (advisory(*ALWAYS_BUT_1_5), "1.5.1", False),
        (advisory(*ALWAYS_BUT_1_5), "3", True),
        (advisory({"introduced": "0"}, {"last_affected": "1.3"}), "1.3", True),
        (advisory({"introduced": "0"}, {"last_affected": "1.3"}), "1.3.1", False),
        (advisory(versions=["1.2", "1.3"]), "1.3.0", True),
        (advisory(versions=["1.2", "not a version"]), "1.4", False),
        (advisory(*FROM_1_TO_2, name="another"), "1.2", False),
        (advisory(*FROM_1_TO_2, ecosystem="npm"), "1.2", False),
        (advisory(*FROM_1_TO_2, withdrawn="2026-01-01T00:00:00Z"), "1.2", False),
    ],
)
def test_it_concerns_the_versions_that_have_the_fault(known, version, concerned):
    found = AUDIT["known"]({"some-library": Version(version)}, iter([known]))
    assert bool(found) is concerned


def test_whoever_releases_reads_what_it_is_and_what_to_take(tmp_path, capsys):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# pins\nSome.Library==1.2  # why\nother==3\n")
    database = tmp_path / "all.zip"
    with zipfile.ZipFile(database, "w") as made:
        made.writestr("PYSEC-1.json", json.dumps(advisory(*FROM_1_TO_2)))
        made.writestr("PYSEC-2.json", json.dumps(advisory(name="unheard-of", versions=["1"])))
    assert AUDIT["main"](database, constraints) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "some-library 1.2: PYSEC-1: It leaks. (fixed in 2.0)"
    assert said[1] == "2 pins, 2 advisories, 1 concern us"
    constraints.write_text("some-library==2.0\n")
    assert AUDIT["main"](database, constraints) == 0


@pytest.mark.parametrize("content", [None, b"", b"<html>not found</html>"])
def test_what_is_no_database_is_no_good_news(tmp_path, content):
    database = tmp_path / "all.zip"
    if content is not None:
        database.write_bytes(content)
    assert "is no database" in AUDIT["main"](database)


def test_all_that_is_installed_for_tests_is_pinned_as_it_can_be_audited():
    text = AUDIT["CONSTRAINTS"].read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(AUDIT["pinned"](text)) == len(lines) > 50
