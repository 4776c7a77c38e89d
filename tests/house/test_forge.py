"""What forges read: both run the same on the same releases, and the README needs no address."""

import re

import pytest
import yaml
from environments import ROOT

GITHUB = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())


def test_both_forges_call_the_same_command_on_the_same_releases():
    [job] = GITHUB["jobs"].values()
    releases = [str(release) for release in job["strategy"]["matrix"]["debian"]]
    [matrix] = GITLAB["debian"]["parallel"]["matrix"]
    assert matrix["DEBIAN"] == releases == ["12", "13"]
    assert job["steps"][-1]["run"] == ".ci/run"
    assert GITLAB["debian"]["script"] == [".ci/run"]


def test_what_ci_runs_can_be_run():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    text = (ROOT / ".ci/run").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"check", "test", "quick"} <= targets
    assert re.search(r"^make .*--keep-going .*\bcheck\b", text, re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    [
        ".github/ISSUE_TEMPLATE/bug.md",
        ".github/PULL_REQUEST_TEMPLATE.md",
        ".gitlab/issue_templates/Bug.md",
        ".gitlab/merge_request_templates/Default.md",
    ],
)
def test_templates_are_there_for_both(page):
    assert "**" in (ROOT / page).read_text()


def test_changes_are_asked_the_same_on_both_forges():
    ours = (ROOT / ".github/PULL_REQUEST_TEMPLATE.md").read_text()
    assert (ROOT / ".gitlab/merge_request_templates/Default.md").read_text() == ours


def test_the_page_for_contributors_begins_with_the_quick_tests():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert re.search(r"^ {4}(\S.*)", text, re.MULTILINE)[1].startswith("make quick ")


def test_no_page_has_a_placeholder_for_its_own_address():
    pages = [
        path for path in ROOT.glob("*.md") if re.search(r"\bURL-OF|\bgit clone\b", path.read_text())
    ]
    assert pages == []
