"""Everything is printed through one door: pvefw.cli.streams.say, or the tables and JSON of output.

What is found here would show a terminal whatever somebody else has written.
"""

import ast

import pytest
from environments import ROOT

DOORS = {"pvefw/cli/streams.py", "pvefw/cli/output.py"}
ALLOWED = {
    ("pvefw/cli/__init__.py", "print"): "the version, the first page of help",
    ("pvefw/cli/__init__.py", "sys.stdout.write"): "words for the shell, which completes them",
    ("pvefw/cli/completion.py", "click.echo"): "the script for the shell",
    ("pvefw/cli/groups.py", "click.echo"): "the version",
    ("pvefw/cli/watching.py", "click.echo"): "what clears the screen",
    ("pvefw/cli/tasks.py", "click.echo"): "lines of the task's log, which come clean",
    ("pvefw/cli/acme_account.py", "click.prompt"): "questions of our own",
    ("pvefw/cli/boot.py", "click.confirm"): "as above",
    ("pvefw/cli/cert.py", "click.prompt"): "as above",
    ("pvefw/core/doctor.py", "sys.stdout.write"): "JSON for the parent process",
    ("pvefw/core/trace.py", "sys.stderr.write"): "cleaned there: core knows no command line",
}
PRINTS = {
    *(
        f"click.{name}"
        for name in ("echo", "secho", "prompt", "confirm", "pause", "echo_via_pager")
    ),
    *(f"sys.{stream}.{how}" for stream in ("stdout", "stderr") for how in ("write", "writelines")),
    *("print", "console.print", "rich.print", "pprint.pprint", "traceback.print_exc"),
    *("traceback.print_exception", "warnings.warn"),
}


def printing(source):
    """What in Python code prints, by its name; handing it to others counts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in PRINTS:
            yield ast.unparse(node)


def test_everything_is_printed_through_the_door():
    found = set()
    files = [
        *ROOT.glob("pvefw/**/*.py"),
        *ROOT.glob("plugins/*/src/**/*.py"),
        *ROOT.glob("shims/src/**/*.py"),
    ]
    for path in files:
        name = str(path.relative_to(ROOT))
        if name not in DOORS and not name.startswith("pvefw/testing/"):
            found |= {(name, call) for call in printing(path.read_text())}
    assert sorted(found - {*ALLOWED}) == []
    assert sorted({*ALLOWED} - found) == [], "these are not needed any more"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("click.echo(x)", True),
        ("run(echo=click.echo)", True),
        ("print(x)", True),
        ("sys.stderr.write(x)", True),
        ("say(x)", False),
        ("log.write(x)", False),
    ],
)
def test_the_rule_finds_what_it_is_for(source, wrong):
    assert bool(list(printing(source))) is wrong
