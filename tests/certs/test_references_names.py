"""Where a name leads nowhere, the names that exist are said: one of them was meant."""

import json

import pytest

from pvefw.cli.run import run

ACCOUNT = {"account": {}, "directory": "https://ca.example/", "key": "", "location": "x"}


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--acmedomain0", "a.example,plugin=mycf", "There are: MyCF, standalone. Add it first: "),
        ("--acme", "account=Staging", "There are: staging. Register it first: "),
        ("--targets", "Web", "There are: web. Add it first: "),
    ],
)
def test_a_name_in_other_letters(paths, capsys, option, value, known):
    paths.acme_dir.mkdir(parents=True)
    (paths.acme_dir / "staging").write_text(json.dumps(ACCOUNT))
    paths.plugins_cfg.write_text("standalone: MyCF\n\n")
    paths.cluster_pvefw_cfg.write_text(
        "observer: web\n\tapi exec\n\tdata cHJvZ3JhbT0vYmluL3RydWUK\n"
    )
    arguments = ["--root", str(paths.root), "--node", paths.node, "config", "set", option, value]
    assert run(arguments) == 2
    assert known in capsys.readouterr().err
