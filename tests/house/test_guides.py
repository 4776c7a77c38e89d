"""What the guides show works, and their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


def anchors(page):
    """What a page's headings can be linked as, the way GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(link)
    assert dead == []


# --- the plugin in "Writing a plugin" ------------------------------------------------------------


def files_shown(page):
    """The files that a page shows: a name in backquotes and a colon, then a fenced block."""
    return dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


@pytest.fixture
def shown(tmp_path, node_root):
    """Runs pvefw where the guide's plugin is installed, in a root of its own."""
    project = tmp_path / "project"
    for name, text in files_shown((ROOT / "docs/plugin-author.md").read_text()).items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(project)], check=True)
    env = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "PVEFW_ROOT": str(node_root),
        "PVEFW_NODE": "pve1",
    }

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "pvefw", *arguments],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_plugin_that_the_guide_shows_can_be_installed_and_configured(shown, tmp_path):
    listed = shown("plugin", "list").stdout
    assert re.search(r"challenge +webroot +pvefw-acme-webroot +1\.0\.0 +1 +ok", listed)
    assert "document root" in shown("plugin", "show", "challenge", "webroot").stdout
    (tmp_path / "settings").write_text("webroot=/var/www/html\n")
    add = ["acme", "plugin", "add", "challenge", "web", "--api", "webroot", "--data"]
    added = shown(*add, "settings")
    assert (added.returncode, added.stderr) == (0, "")
    assert "/var/www/html" in shown("acme", "plugin", "config", "web").stdout
    doctor = shown("plugin", "doctor").stdout
    assert re.search(r"challenge/webroot .*: ok", doctor)


def test_the_plugin_that_the_guide_shows_passes_the_kit(shown, tmp_path):
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*pytest_, "tests"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTEST_ADDOPTS": ""},
        cwd=tmp_path / "project",
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"\b[1-9]\d* passed", done.stdout), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
