"""A plugin of every family, all of one distribution and all with the same settings."""

import sys
import textwrap

import pytest

from pvefw.core.families import FAMILIES

SETTINGS = """
from dataclasses import dataclass
from pvefw.api import hookimpl, setting

MADE = []

@dataclass
class Settings:
    place: str = setting(help="Where.")
    token: str | None = setting(help="A password.", default=None, secret=True)
    size: int = setting(help="How much.", default=1)
    def __post_init__(self):
        MADE.append(self)
"""
ANSWERS = {
    "challenge_types": "['http-01']",
    "dns_zones": "['a.example.']",
    "catalog_names": "['inside']",
    "boot_firmware": "[]",
    "guest_list": "[]",
}


def plugin(family):
    """A class with every hook of a family, whose hooks do nothing."""
    lines = ["@dataclass", f"class {family.name.title()}(Settings):"]
    for hook in family.hooks:
        lines += ["    @hookimpl", f"    def {hook}(self):", f"        return {ANSWERS.get(hook)}"]
    return "\n".join(lines)


@pytest.fixture
def everyone(tmp_path, monkeypatch):
    """The module of the plugins named ``every``."""
    info = tmp_path / "site" / "dist_every-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: dist-every\nVersion: 1.0\nRequires-Dist: pvefw>=1,<2\n"
    )
    points = [
        f"[{family.group}]\nevery = dist_every:{family.name.title()}\n"
        for family in FAMILIES.values()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    code = [textwrap.dedent(SETTINGS), *map(plugin, FAMILIES.values())]
    (info.parent / "dist_every.py").write_text("\n\n".join(code))
    monkeypatch.syspath_prepend(str(info.parent))
    import dist_every

    yield dist_every
    del sys.modules["dist_every"]
