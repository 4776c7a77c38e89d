"""The documentation of several releases on one branch, and its pictures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from environments import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def git(repository, *words):
    done = subprocess.run(
        ["git", "-C", str(repository), *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_newest_release_is_the_first_that_a_reader_sees(tmp_path):
    for name in ("Makefile", "mkdocs.yml", "tools", "docs", "plugins", "examples", "shims"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("README.md", "CONTRIBUTING.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    git(tmp_path, "init", "--quiet")
    for key in ("name", "email"):
        git(tmp_path, "config", f"user.{key}", "x")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "begin")
    bin_ = f"BIN={Path(sys.executable).parent}"
    for version in ("1.0", "1.1"):
        make = ["make", "-C", tmp_path, "-o", "venv", bin_, "site-version", f"VERSION={version}"]
        subprocess.run(make, check=True, capture_output=True)
    versions = json.loads(git(tmp_path, "show", "gh-pages:versions.json"))
    assert [(version["version"], version["aliases"]) for version in versions] == [
        ("1.1", ["latest"]),
        ("1.0", []),
    ]
    assert "latest/" in git(tmp_path, "show", "gh-pages:index.html")
    page = git(tmp_path, "show", "gh-pages:1.0/index.html")
    assert '"provider": "mike"' in page


def pictures():
    """What is said of each picture of the documentation, and where it is."""
    for page in PAGES:
        for words, target in re.findall(r"!\[(.*?)\]\(([^)\s]+)\)", page.read_text()):
            yield words, page.parent / target


def test_every_picture_says_what_it_shows():
    assert len(list(pictures())) >= 5
    assert [path for words, path in pictures() if len(words) < 20] == []


@pytest.mark.parametrize(
    "path", [path for _, path in pictures() if path.suffix == ".svg"], ids=lambda path: path.name
)
def test_a_picture_can_be_read_in_the_dark_and_fetches_nothing(path):
    picture = path.read_text()
    assert "<title" in picture
    assert 'role="img"' in picture
    assert "<rect" in picture, "it has no background"
    assert not re.search(r"(?:href|src)=|@import|url\(\W*http", picture)
