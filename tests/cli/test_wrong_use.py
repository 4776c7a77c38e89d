"""What was typed wrongly is said before anything else is tried."""

import pytest

from pvefw.cli.run import run

NOBODY = "https://127.0.0.1:1/directory"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["completion"], 2, "Choose from: bash, zsh, fish"),
        (
            ["boot", "cmdline", "set", "quiet"],
            2,
            "boot cmdline set: the kernel's command line has no",
        ),
        (
            ["acme", "plugin", "add", "dns", "x", "--api", "ovh"],
            1,
            "plugin instance x: give either",
        ),
        (["observer", "add", "x", "--api", "mail"], 1, "observer x: to is missing"),
    ],
)
def test_it_is_said_in_two_lines(tmp_path, capsys, arguments, status, said):
    assert run(["--root", str(tmp_path), "--node", "pve1", *arguments]) == status
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 2


@pytest.mark.parametrize(
    ("key", "status", "said"),
    [(None, 2, "belong together"), ("schlüssel", 1, "it is base64url")],
)
def test_a_wrong_binding_is_said_before_the_authority_is_asked(tmp_path, capsys, key, status, said):
    register = ["acme", "account", "register", "corp", "a@example.com", "--directory", NOBODY]
    options = ["--eab-kid", "kid"]
    if key:
        (tmp_path / "key").write_text(key, encoding="utf-8")
        options += ["--eab-hmac-key-file", str(tmp_path / "key")]
    assert run(["--root", str(tmp_path), "--node", "pve1", *register, *options]) == status
    assert said in capsys.readouterr().err


def test_without_an_esp_and_without_records_it_says_so(tmp_path, capsys):
    host = ["--root", str(tmp_path), "--node", "pve1"]
    assert run([*host, "boot", "refresh", "--dry-run"]) == 0
    assert run([*host, "dns", "cleanup", "--forget", "corp"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "No ESP is configured; nothing to do.",
        "The journal names no record of corp.",
    ]
