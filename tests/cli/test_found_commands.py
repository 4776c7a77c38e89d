"""Commands of other distributions: entry points of ``pvefw.command``."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
from environments import ROOT

from pvefw.cli import tree

GOOD = """
    import click
    from pvefw.cli.framework import Command, Group

    @click.command(cls=Command)
    @click.option("--colour", type=click.Choice(["red", "green"]), help="Which.")
    def paint(colour):
        '''Paint this node.'''
        click.echo(f"painted {colour}")

    not_a_command = 42
"""


@pytest.fixture
def install(tmp_path):
    """Install a distribution with commands into a directory of its own, which is returned."""
    site = tmp_path / "site"
    site.mkdir()

    def do(commands, code=GOOD, name="dist-paint", requires="pvefw>=1,<2"):
        module = name.replace("-", "_")
        info = site / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\nSummary: Paint hosts.\n"
            f"Requires-Dist: {requires}\n"
        )
        lines = "".join(f"{key} = {module}:{attribute}\n" for key, attribute in commands.items())
        (info / "entry_points.txt").write_text(f"[pvefw.command]\n{lines}")
        (site / f"{module}.py").write_text("\n".join(line[4:] for line in code.splitlines()))
        return site

    return do


def run(site, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pvefw", *arguments],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_foreign_command_is_in_the_help_and_runs(install):
    site = install({"paint": "paint"})
    assert "  paint            Paint hosts." in run(site, "--help").stdout.splitlines()
    assert run(site, "paint", "-colour", "red").stdout == "painted red\n"


def test_it_can_be_in_a_group_of_ours(install):
    site = install({"acme.paint": "paint"})
    assert re.search(r"^  paint +Paint hosts\.$", run(site, "acme", "--help").stdout, re.MULTILINE)
    assert run(site, "acme", "paint", "--colour", "green").stdout == "painted green\n"
    assert "paint" not in run(site, "--help").stdout


def test_the_tab_key_knows_it_and_its_options(install):
    site = install({"paint": "paint"})
    names = run(site, "pvefw pai", _PVEFW_COMPLETE="bash").stdout
    values = run(site, "pvefw paint --colour ", _PVEFW_COMPLETE="bash").stdout
    assert names == "plain\tpaint\tPaint hosts.\n"
    assert values == "plain\tred\nplain\tgreen\n"


@pytest.mark.parametrize(
    ("attribute", "code", "requires", "said"),
    [
        ("paint", "    raise ValueError('no brush')", "pvefw>=1,<2", "ValueError: no brush"),
        ("paint", GOOD, "pvefw>=7,<8", "it requires pvefw"),
        ("not_a_command", GOOD, "pvefw>=1,<2", "is not a click command"),
        ("absent", GOOD, "pvefw>=1,<2", "AttributeError"),
        ("paint", "    import os; os._exit(3)", "pvefw>=1,<2", "os._exit(3)"),
    ],
)
def test_a_broken_one_concerns_only_its_callers(install, attribute, code, requires, said):
    site = install({"paint": attribute}, code, requires=requires)
    broken = run(site, "paint")
    assert broken.returncode == 1
    assert said in broken.stderr
    assert "dist-paint" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert run(site, "--help").returncode == 0
    assert run(site, "completion", "bash").returncode == 0


def test_none_of_ours_is_replaced(install):
    site = install({"completion": "paint", "acme.account": "paint"})
    assert "complete -o nosort" in run(site, "completion", "bash").stdout
    assert "Paint" not in run(site, "--help").stdout


def test_each_of_our_commands_has_its_line_of_help():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(declared["project"]["entry-points"][tree.GROUP]) == set(tree.LINES)


@pytest.mark.parametrize("code", ["1 / 0", "def units(_program): raise SystemExit(7)", "units = 3"])
def test_units_of_a_broken_distribution_hide_nothing(install, tmp_path, code):
    site = install({"paint": "paint"}, f"    {code}")
    (site / "dist_paint-1.5.dist-info/entry_points.txt").write_text(
        "[pvefw.units]\npaint = dist_paint:units\n"
    )
    folder = tmp_path / "root/etc/systemd/system"
    folder.mkdir(parents=True)
    for name in ("pvefw-paint.service", "pvefw-guests.service"):
        (folder / name).write_text("[Service]\nExecStart=/gone\n")
    done = run(site, "--root", tmp_path / "root", "status")
    assert "pvefw-guests.service runs /gone, which does not exist" in done.stdout, done.stderr
