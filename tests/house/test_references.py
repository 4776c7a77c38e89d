"""The generated references are up to date, and say what a plugin author needs to know."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pvefw import api
from pvefw.core import families

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
GENERATED = [path for path in sorted(ROOT.glob("docs/**/*.md")) if "[[[cog" in path.read_text()]

HOOKS = [(family, name) for family in families.FAMILIES.values() for name in family.hooks]
_ids = [f"{family.name}.{name}" for family, name in HOOKS]


def test_the_references_are_up_to_date():
    pages = [str(page) for page in GENERATED]
    assert len(pages) >= 5
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "-I", str(ROOT / "tools"), *pages],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run `make docs`:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(("family", "name"), HOOKS, ids=_ids)
def test_every_hook_is_in_the_reference(family, name):
    text = REFERENCE.joinpath("hooks.md").read_text()
    section = text.partition(f"\n## {family.name}\n")[2].partition("\n## ")[0]
    assert f"\n### {name}\n" in section


@pytest.mark.parametrize(("family", "name"), HOOKS, ids=_ids)
def test_every_hook_says_what_it_does_and_what_it_may_raise(family, name):
    function = getattr(family.spec, name)
    said = inspect.getdoc(function)
    assert said
    assert said.partition("\n")[0].strip().endswith(".")
    for raised in re.findall(r":raises (\w+):", said):
        assert hasattr(api, raised), f"{raised} cannot be imported from pvefw.api"


@pytest.mark.parametrize(("family", "name"), HOOKS, ids=_ids)
def test_every_hook_says_since_when_and_whether_it_is_called_at_once(family, name):
    kept = json.loads(ROOT.joinpath("tests/compatibility/1.0/api.json").read_text())
    said = " ".join((inspect.getdoc(getattr(family.spec, name)) or "").split())
    first = name in kept["families"].get(family.group, ())
    assert f"Since 1.{0 if first else 1}." in said
    assert re.search(r"at once|while other hooks run|those of :meth:`dns_add`", said)


def test_every_field_of_a_value_says_since_when():
    text = REFERENCE.joinpath("hooks.md").read_text().partition("\n## Values\n")[2]
    for name in ("Challenge", "Guest", "BootPlan", "TxtRecord"):
        table = text.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        fields = [field_.name for field_ in dataclasses.fields(getattr(api, name))]
        assert re.findall(r"^\| `(\w+)` \| `.*` \| 1\.\d \|", table, re.MULTILINE) == fields


@pytest.mark.parametrize(("family", "name"), HOOKS, ids=_ids)
def test_every_argument_is_explained_where_it_first_appears(family, name):
    """``timeout`` of the guest hooks is said once, at ``guest_start``; so is ``task``."""
    hooks = list(family.hooks)
    earlier = [getattr(family.spec, hook) for hook in hooks[: hooks.index(name) + 1]]
    said = "\n".join(inspect.getdoc(part) or "" for part in [family.spec, *earlier])
    arguments = list(inspect.signature(getattr(family.spec, name)).parameters)[1:]
    assert [
        argument
        for argument in arguments
        if f":param {argument}:" not in said and f"``{argument}``" not in said
    ] == []
