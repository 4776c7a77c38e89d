"""Forty more lines as a tired person types them: the next step is shown, and it is not a silly one."""

import re
import shlex

import pytest

from pvefw.cli import suggestions
from pvefw.cli.run import run

MISTYPED = {
    "cert renew": "pvefw acme cert renew",
    "cert order --force": "pvefw acme cert order --force",
    "cert revoke": "pvefw acme cert revoke",
    "acme revoke": "pvefw acme cert revoke",
    "acme cert renew --all": "Without it: pvefw acme cert renew",
    "renew --now": "Without it: pvefw renew",
    "stopall --all": "Without it: pvefw stopall",
    "startall --all --dry-run": "Without it: pvefw startall --dry-run",
    "startall all": "Without it: pvefw startall",
    "acme plugin add ovh myovh": "pvefw acme plugin add dns ID --api NAME --data FILE",
    "acme plugin remove dns ovh": "Did you mean: pvefw acme plugin remove ovh",
    "acme plugin config standalone web": "Did you mean: pvefw acme plugin config web",
    "acme plugin delete ovh": "pvefw acme plugin remove ovh",
    "acme account add default me@example.com": "account register default me@example.com",
    "acme account list default": "pvefw acme account info default",
    "plugin install ovh": "pipx inject pvefw pvefw-NAME",
    "observer add mail admin@example.com": "pvefw observer add ID --api NAME",
    "config set acmedomain0=a.example": "pvefw config set --acmedomain0 a.example",
    "config set acme account=default": "pvefw config set --acme account=default",
    "config set --acmedomains a.example": "pvefw config set --acmedomain0 a.example",
    "config delete acmedomain0": "pvefw config set --delete KEY",
    "config set --delete": "--delete takes KEY, several with commas",
    "boot pin 6.8.12-4-pve": "pvefw boot kernel pin 6.8.12-4-pve",
    "boot kernel pin": "pvefw boot kernel pin VERSION",
    "boot kernel unpin --next": "pvefw boot kernel unpin --next-boot",
    "boot status --json": "pvefw boot status --output-format json",
    "guest start 100": "pvefw startall --vms ID",
    "task log": "pvefw task log UPID",
    "task log last": "pvefw task list",
    "task list --failed": "pvefw task list --errors",
    "tasks": "pvefw task list",
    "log": "pvefw task log UPID",
    "renew install-timers": "pvefw renew install-timer",
    "ksm on": "pvefw ksm enable",
    "ksm off": "pvefw ksm disable",
    "dns test corp": "pvefw dns test PLUGIN DOMAIN",
    "status certs": "Choose from: certificates, ",
    "--output-format json status": "come after it: pvefw status --output-format json",
    "cert show": "pvefw cert info",
    "completion": "Choose from: bash, zsh, fish",
    "renew www": "pvefw acme cert renew NAME",
    "renew --cert-name www": "pvefw acme cert renew NAME",
    "config set -reload-command systemctl reload nginx": "-reload-command 'systemctl reload nginx'",
    "node drain n2": "Did you mean: pvefw node drain --to n2",
    "boot cmdline set quiet splash": "The whole line is one word",
    "startall --vms 101 102": "Did you mean: pvefw startall --vms 101,102",
    "guest set web0 --autostart": "--onboot",
    "cert add web2 --domain www.example.com": "pvefw cert add NAME --acmedomain0 DOMAIN",
}


@pytest.fixture
def mistype(tmp_path, capsys, monkeypatch):
    """Runs a line that is wrong: what is said, and the hint."""
    monkeypatch.setenv("PVEFW_ROOT", str(tmp_path))
    monkeypatch.setenv("PVEFW_NODE", "pve1")

    def do(line):
        assert run(shlex.split(line)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        said, *hint = captured.err.splitlines()
        return said, "\n".join(hint)

    return do


@pytest.mark.parametrize(("line", "step"), MISTYPED.items(), ids=list(MISTYPED))
def test_the_next_step_is_shown(mistype, line, step):
    said, hint = mistype(line)
    assert step in hint
    assert re.fullmatch(r"pvefw[\w -]*: [^\n\[\]]+[^.\n]", said), "no brackets of a usage line"


def test_a_part_of_a_word_to_choose_is_understood(mistype):
    assert mistype("status certs")[0] == (
        "pvefw status: PART: 'certs' is not valid (did you mean certificates?)"
    )


def test_of_many_options_the_first_is_suggested():
    assert suggestions.option(
        ["config", "set"], "--acmedomain", ["--acmedomain", "x.example"]
    ).endswith("--acmedomain0 x.example")
