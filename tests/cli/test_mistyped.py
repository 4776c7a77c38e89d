"""What a tired person types: one clear sentence, its cause, and the next step, which can be pasted."""

import re
import shlex

import pytest

from pvefw.cli import moments, suggestions
from pvefw.cli.run import run

NOBODY = "https://127.0.0.1:1/directory"
MISTYPED = {
    # words of pvefw's own, in another place or form
    "cert order": "pvefw acme cert order",
    "acme order": "pvefw acme cert order",
    "order": "pvefw acme cert order",
    "order cert": "pvefw acme cert order",
    "boot pin 6.8.12-1-pve": "pvefw boot kernel pin 6.8.12-1-pve",
    "boot pin": "pvefw boot kernel pin VERSION",
    "boot unpin": "pvefw boot kernel unpin",
    "boot list": "pvefw boot status",
    "boot esps": "pvefw boot status",
    "ksm on": "pvefw ksm enable",
    "ksm off": "pvefw ksm disable",
    "tasks": "pvefw task list",
    "tasks list": "pvefw task list",
    "task logs": "pvefw task log UPID",
    "task show": "pvefw task log UPID",
    "certs": "pvefw cert list",
    "cert ls": "pvefw cert list",
    "cert renew": "pvefw acme cert renew",
    "account register default me@example.com": "pvefw acme account register default me@example.com",
    "accounts": "pvefw acme account list",
    "config show": "pvefw config get",
    "config delete acmedomain0": "pvefw config set --delete KEY",
    "install-timer": "pvefw renew install-timer",
    "renew timer": "pvefw renew install-timer",
    "renew all": "pvefw renew",
    "qm list": "pvefw guest list",
    "acme plugin set standalone port=80": "--data FILE",
    "acme plugin set standalone --port 80": "--data FILE",
    "startall --vms": "--vms takes ID, several with commas",
    "plugin shwo dns ovh": "pvefw plugin show dns ovh",
    "dns clean": "pvefw dns cleanup",
    "acme plugin ls": "pvefw acme plugin list",
    "--force acme cert order": "pvefw acme cert order --force",
    "-acmedomain x.example": "pvefw config set --acmedomain0 x.example",
    "config set -acmedomain x.example": "pvefw config set --acmedomain0 x.example",
    "config set acmedomain0 x.example": "pvefw config set --acmedomain0 x.example",
    "config set acmedomain0=x.example": "pvefw config set --acmedomain0 x.example",
    "config get --acmedomain0": "pvefw config get acmedomain0",
    "status --json": "pvefw status --output-format json",
    "status -o json": "pvefw status --output-format json",
    "guest list 100": "pvefw guest show 100",
    "stopall 100": "pvefw stopall --vms 100",
    "stopall web": "pvefw stopall --vms web",
    "cert-info": "pvefw cert info",
    "acme-cert-order": "pvefw acme cert order",
    "STATUS": "pvefw status",
    "sudo status": "pvefw status",
    "--outputformat json status": "pvefw status --output-format json",
    "--json status": "pvefw status --output-format json",
    "boot refresh --dryrun": "pvefw boot refresh --dry-run",
    "startall 100 101": "pvefw startall --vms 100,101",
    "migrateall pve2 100": "pvefw migrateall pve2 --vms 100",
    "migrateall --target pve2": "pvefw migrateall pve2",
    # habits of certbot
    "certonly -d example.com": "pvefw acme cert order",
    "certificates": "pvefw cert list",
    "register --agree-tos -m me@example.com": "pvefw acme account register CONTACT",
    "renew --force-renewal": "pvefw acme cert renew --force",
    "acme cert order --staging": "--directory letsencrypt-test",
    "acme account register default me@example.com --agree-tos": "--accept-tos",
    "acme cert order -d example.com": "pvefw config set --acmedomain0 NAME",
    # habits of acme.sh
    "--issue -d example.com": "pvefw acme cert order",
    "--cron": "pvefw renew",
    "issue -d example.com --dns dns_cf": "pvefw acme cert order",
    "--register-account -m me@example.com": "pvefw acme account register CONTACT",
    "install-cronjob": "pvefw renew install-timer",
    # habits of pvenode, proxmox-boot-tool and qm
    "node config get": "pvefw config get",
    "acme cert info": "pvefw cert info",
    "init /dev/sda2": "pvefw boot init /dev/sda2",
    "refresh": "pvefw boot refresh",
    "kernel list": "pvefw boot kernel list",
    "kernel pin 6.8.12-1-pve --next-boot": "pvefw boot kernel pin 6.8.12-1-pve --next-boot",
    "start 100": "pvefw startall --vms 100",
    "shutdown 100": "pvefw stopall --vms 100",
    "migrate 100 pve2": "pvefw migrateall",
    "wol pve2": "pvefw wakeonlan pve2",
    # options and values
    "-v": "pvefw --version",
    "-V": "pvefw --version",
    "--nod pve2 status": "pvefw --node pve2 status",
    "guest set 100 --onboot": "--onboot takes 0 or 1",
    "task list --limit ten": "",
    "task list --since someday": "",
    "status --output-format xml": "Choose from: text, json, json-pretty, yaml",
    "acme plugin add cf": "pvefw acme plugin add TYPE ID",
    "acme plugin add dns cf --api cf --data CF_Token=s3cret": "--data takes a file",
    "wakeonlan": "pvefw wakeonlan NODE",
    "completion tcsh": "Choose from: bash, zsh, fish",
    "acme account register default me": "admin@example.com",
    "acme account register me@example.com default": "register default me@example.com",
}
"""The next step that is shown for each."""


@pytest.fixture
def mistype(tmp_path, capsys, monkeypatch):
    """Runs a line that is wrong: what is said, and the hint."""
    monkeypatch.setenv("PVEFW_ROOT", str(tmp_path))
    monkeypatch.setenv("PVEFW_NODE", "pve1")

    def do(line):
        status = run(shlex.split(line))
        captured = capsys.readouterr()
        assert (status, captured.out) == (2, ""), captured
        said, *hint = captured.err.splitlines()
        return said, "\n".join(hint)

    return do


@pytest.mark.parametrize(("line", "step"), MISTYPED.items(), ids=list(MISTYPED))
def test_the_next_step_is_shown(mistype, line, step):
    said, hint = mistype(line)
    assert re.fullmatch(r"pvefw[\w -]*: [^\n]+[^.\n]", said)
    assert len(said) < 150
    assert step in hint
    assert hint.startswith("  ")
    assert not re.search(r"No such|Got unexpected|Invalid value|valid integer|s3cret", said + hint)


@pytest.mark.parametrize("line", [line for line, step in MISTYPED.items() if "pvefw " in step])
def test_the_next_step_can_be_pasted_into_zsh(mistype, line):
    """Nothing in a line to copy is a glob, a redirection or an end of a sentence."""
    for shown in re.findall(r"pvefw .*?(?=, or pvefw|$)", mistype(line)[1], re.MULTILINE):
        command = re.sub(r"'[^']*'", "", shown)
        assert not re.search(r"[][<>*?|;&`…]|\.$", command), shown


@pytest.mark.parametrize(
    "line",
    [
        "xyzzy",
        "reboot",
        "qm start",
        "acme directory add",
        "stopall now",
        "list",
        "show",
        "get",
        "enable",
        "boot refresh --frobnicate",
        "cert x",
        "status now",
    ],
)
def test_nothing_silly_is_suggested(mistype, line):
    _, hint = mistype(line)
    assert "Did you mean" not in hint
    assert re.search(r"--help|Without it: pvefw |pvefw guest list|Choose from: ", hint)


def test_every_suggestion_of_the_table_is_accepted():
    for step in MISTYPED.values():
        if step.startswith("pvefw ") and not re.search(r"\b[A-Z]{2,}\b|migrateall$", step):
            assert suggestions.accepted(step.split()[1:]) or step.endswith("--version"), step


@pytest.mark.parametrize("line", ["-h", "help", "cert info -h", "help cert info", "cert help info"])
def test_help_is_found_however_it_is_asked_for(capsys, line):
    assert run(line.split()) == 0
    assert capsys.readouterr().out.startswith("Usage: pvefw")


@pytest.mark.parametrize("line", ["version", "--version", "-version"])
def test_so_is_the_version(capsys, line):
    assert run([line]) == 0
    assert re.fullmatch(r"pvefw \d\S+\n", capsys.readouterr().out)


def test_one_property_is_shown_without_an_option(tmp_path, capsys):
    host = ["--root", str(tmp_path), "--node", "pve1", "config"]
    run([*host, "set", "--acmedomain0", "a.example"])
    assert run([*host, "get", "acmedomain0"]) == 0
    assert capsys.readouterr().out.split() == ["key", "value", "acmedomain0", "a.example"]
    assert run([*host, "get", "acmedomain1"]) == 1
    assert "config set --acmedomain1 VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("contact", ["me", "me@", "@example.com", "a b@example.com", "a@b@c"])
def test_a_contact_that_is_no_address_is_refused_before_anything_is_made(
    mistype, tmp_path, contact
):
    said, _ = mistype(f"acme account register default '{contact}' --directory {NOBODY}")
    assert "is not an e-mail address" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", "2023-11-14T22:13:20"),
        ("now", "2024-02-29T12:30:00"),
        ("yesterday", "2024-02-28T00:00:00"),
        ("today", "2024-02-29T00:00:00"),
        ("2h", "2024-02-29T10:30:00"),
        ("30 min", "2024-02-29T12:00:00"),
        ("3 days ago", "2024-02-26T12:30:00"),
        ("2024-02-01", "2024-02-01T00:00:00"),
        ("2024-02-01 08:15", "2024-02-01T08:15:00"),
        ("2024-02-01T08:15+01:00", "2024-02-01T07:15:00"),
        ("someday", None),
        ("3 months", None),
        ("", None),
    ],
)
def test_times_are_read_as_people_type_them(text, expected):
    from datetime import UTC, datetime

    now = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    found = moments.parse(text, now)
    shown = None if found is None else f"{datetime.fromtimestamp(found, UTC):%Y-%m-%dT%H:%M:%S}"
    assert shown == expected
