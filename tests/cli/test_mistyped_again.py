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
    # copied with what is around them
    "root@pve1:~# pvefw boot status": "Did you mean: pvefw boot status",
    "'$' pvefw config get": "Did you mean: pvefw config get",
    "'cert info'": "Did you mean: pvefw cert info",
    "status \u2014check": "printed text. Did you mean: pvefw status --check",
    "renew \u2013-dry-run": "Did you mean: pvefw renew --dry-run",
    "\u2013-help": "Did you mean: pvefw --help",
    "stopall \u201c100\u201d": "Did you mean: pvefw stopall --vms",
    "''": "See: pvefw --help",
    # the contrary is never meant
    "stopall --no-force-stop": "Did you mean: pvefw stopall --force-stop 0",
    "task list --errors --no-errors": "It is off unless --errors is given.",
    "renew remove-timer": "systemctl disable --now pvefw-renew.timer",
    "boot cmdline add quiet": "The whole line is set at once",
    # words of another group
    "acme cert delete": "Did you mean: pvefw cert delete",
    "acme directories": "Did you mean: pvefw acme directory list",
    "cert update": "pvefw renew",
    "updatecerts": "pvefw cert node refresh",
    "store init": "Did you mean: pvefw store join",
    "guest add libvirt": "pvefw guest backend add libvirt --api libvirt",
    "guest log 100": "pvefw task list --vmid ID",
    "guest autostart 100": "pvefw guest set ID --onboot 1",
    "node maintenance enable pve1": "pvefw node drain",
    "update-grub": "Did you mean: pvefw boot refresh",
    "grub-install /dev/sda": "Did you mean: pvefw boot init PARTITION grub",
    "api post /nodes/pve1/startall": "Did you mean: pvefw api create",
    # words too many
    "task list vzdump": "pvefw task list --typefilter TYPE",
    "migrateall pve2 pve3": "pvefw migrateall --spread pve2,pve3",
    "node drain pve9 --to pve2": "pvefw node drain --to NODE",
    "boot kernel unpin 6.8.12-4-pve": "pvefw boot kernel unpin",
    "boot kernel add 6.8.12-4-pve 6.8.12-5-pve": "One version at a time",
    "boot reinit /dev/sda2": "It is for all ESPs: pvefw boot reinit",
    "cert info www": "pvefw cert info",
    "config get acmedomain0 acmedomain1": "pvefw config get",
    "plugin doctor ovh": "pvefw plugin doctor",
    "acme account register default a@example.com b@example.com c@example.com": "a@example.com,b@ex",
    # options and values
    "status -v": "Options: --check",
    "boot status --verbose": "Options: --quiet",
    "task list -n 5": "pvefw task list --limit N",
    "task log -f UPID:x": "Did you mean: pvefw task log --follow UPID:x",
    "completion --bash": "pvefw completion bash",
    "stopall --force-stop": "--force-stop takes 1 or 0",
    "status --output-format JSON": "Choose from: text, json",
    "migrateall pve2 --online": "without an option",
    "apply --dry-run /dev/null": "Did you mean: pvefw apply --check /dev/null",
    "api token add root@pam": "pvefw api token add USER@REALM TOKEN",
    "cert set": "pvefw cert set CERTIFICATE",
    "acme plugin add dns cf --api cf --data /": "--data takes a file: check the path.",
    "--root /etc/passwd status": "--root takes a directory: check the path.",
    "--node pve1.example.com status": "A short host name, without a domain: pve1.",
    "wakeonlan AA:BB:CC:DD:EE:FF": "config set --wakeonlan AA:BB:CC:DD:EE:FF",
    "task log UPID:pve1:0000442B:00024AFF:6B09DA49:certset::root@pam": "Its last colon is missing",
    "migrateall 'pve 2'": "A short host name, without a domain.",
    "config set --acmedomain0 a.example,plugin": "The format is: [domain=]DOMAIN[,plugin=ID]",
    "config set --acme domains=a.example,b.example": "account=NAME,domains=DOMAIN;DOMAIN",
    "config set --resolvers dns.google": "The format is: IP",
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


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "the name of the command is empty"),
        (
            "config set --acmedomain0 a.example,plugin",
            "'plugin' is not KEY=VALUE, and domain is given",
        ),
        ("config set --acme domains=a.example,b.example", "several domains have ';' between them"),
        (
            "config set --acmedomain0 \u201ca.example\u201d",
            "it has the character \u201c",
        ),
        ("config set --resolvers dns.google", "'dns.google' is not an IP address"),
        ("acme plugin add dns cf --api cf --data /", "--data: / is a directory"),
        ("--root /etc/passwd status", "--root: /etc/passwd is a file"),
        ("cert set", "CERTIFICATE or NAME is missing"),
        ("status --output-format JSON", "'JSON' is not valid (did you mean json?)"),
    ],
)
def test_the_cause_is_named(tmp_path, capsys, line, sentence):
    words = shlex.split(line) or [""]
    assert run(words if "--root" in words else ["--root", str(tmp_path), *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("line", ["store start", "ksm run 2", "boot order"])
def test_a_word_of_another_group_is_not_suggested_alone(mistype, line):
    assert "pvefw" not in mistype(line)[1].replace(" --help", "").replace("See: pvefw", "")


@pytest.mark.parametrize(
    "line", ["--node {} status", "--root {} status", "acme plugin set {} --disable"]
)
def test_a_word_without_end_is_shortened(tmp_path, capsys, monkeypatch, line):
    monkeypatch.setenv("PVEFW_ROOT", str(tmp_path))
    assert run(line.format("x" * 5000).split()) in (1, 2)
    said = capsys.readouterr().err
    assert "internal error" not in said
    assert "…" in said
    assert len(said) < 1000


def test_a_part_of_a_word_to_choose_is_understood(mistype):
    assert mistype("status certs")[0] == (
        "pvefw status: PART: 'certs' is not valid (did you mean certificates?)"
    )


def test_of_many_options_the_first_is_suggested():
    assert suggestions.option(
        ["config", "set"], "--acmedomain", ["--acmedomain", "x.example"]
    ).endswith("--acmedomain0 x.example")


def test_settings_come_from_standard_input(tmp_path, capsys, monkeypatch):
    """``--data -``; an empty one says what is missing."""
    add = ["acme", "plugin", "add", "dns", "corp", "--api", "rfc2136", "--data", "-"]
    for text, expected in (("", 2), ("server=192.0.2.1\n", 0)):
        given = tmp_path / "given"
        given.write_text(text)
        monkeypatch.setattr("pvefw.cli.data_option._STANDARD_INPUT", given)
        assert run(["--root", str(tmp_path), "--node", "pve1", *add]) == expected
    assert "server is missing" in capsys.readouterr().err
