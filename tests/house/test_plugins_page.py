"""docs/plugins.md lists every plugin of the tree, and no other as ours."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/plugins.md").read_text()


def offered(folder):
    """``family/name`` of every plugin below a folder, by distribution."""
    found = {}
    for path in sorted((ROOT / folder).glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text())["project"]
        for group, points in project.get("entry-points", {}).items():
            family = group.removeprefix("pvefw.")
            if family not in ("command", "units"):
                found.setdefault(project["name"], set()).update(
                    f"{family}/{point}" for point in points
                )
    return found


def test_every_plugin_of_the_project_is_listed():
    rows = re.findall(r"^\| `(pvefw-[a-z-]+)` \| ([^|]+) \|", PAGE, re.MULTILINE)
    listed = {name: set(re.findall(r"`([^`]+)`", plugins)) for name, plugins in rows}
    assert listed == offered("plugins")


def test_every_example_is_named():
    missing = {
        name for names in offered("examples").values() for name in names if f"`{name}`" not in PAGE
    }
    assert missing == set()
