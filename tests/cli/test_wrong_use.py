"""What was typed wrongly is said before anything else is tried."""

import pytest

from pvefw.cli.run import run

UPID = "UPID:{}:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"
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
            2,
            "plugin instance x: give either",
        ),
        (["observer", "add", "x", "--api", "mail"], 2, "observer x: to is missing"),
        (["stopall", "--force-stop", "2"], 2, "'2' is neither yes nor no: give 1 or 0"),
        (["task", "log", UPID.format("pve1")], 1, "there is no log of this task on this node"),
        (["task", "status", UPID.format("pve1")], 1, "this task is not known on this node"),
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
        "No ESPs are managed; nothing to do.",
        "The journal names no record of corp.",
    ]


@pytest.mark.parametrize("command", ["log", "status"])
def test_a_task_of_another_node_is_looked_for_there(tmp_path, capsys, command):
    assert (
        run(["--root", str(tmp_path), "--node", "pve1", "task", command, UPID.format("pve2")]) == 1
    )
    assert "It ran on pve2: look there." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["config", "set", "-acmedomain0", "a.example"], ["renew"]])
def test_a_root_that_is_mistyped_is_not_made(tmp_path, capsys, monkeypatch, arguments):
    root = tmp_path / "mistyped"
    assert run(["--root", str(root), *arguments]) == 2
    assert f"--root: {root}: there is no such directory" in capsys.readouterr().err
    monkeypatch.setenv("PVEFW_ROOT", str(root))
    assert run(arguments) == 2
    assert "mkdir" in capsys.readouterr().err
    assert not root.exists()
