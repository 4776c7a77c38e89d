"""Tables on terminals of every width, in colour and without, and in a pipe."""

import json
import os
import re
import sys

import pexpect
import pytest
from rich.cells import cell_len

from pvefw.cli import output
from pvefw.cli.framework import App

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B{}:vzdump:10{}:root@pam:"
COLOURED = re.compile(r"\x1b\[[0-9;]*3[1-6]m")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def root(tmp_path):
    tasks = tmp_path / "var/log/pve/tasks"
    tasks.mkdir(parents=True)
    ends = ["OK", "job errors", "WARNINGS: 2", "unexpected status"]
    lines = [f"{UPID.format(n, n)} 6124E1C0 {how}\n" for n, how in enumerate(ends)]
    (tasks / "index").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def terminal(root):
    """What a command prints on a terminal of this width."""

    def do(*arguments, width=200, **environment):
        child = pexpect.spawn(
            sys.executable,
            ["-m", "pvefw", "--root", str(root), "--node", "pve1", *arguments],
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment},
            dimensions=(60, width),
            encoding="utf-8",
            timeout=60,
        )
        child.expect(pexpect.EOF)
        child.close()
        return child.before.replace("\r\n", "\n")

    return do


def config(root, text):
    path = root / "etc/pve/nodes/pve1/config"
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200, 400])
def test_a_task_id_stays_on_one_line_at_every_width(terminal, width):
    said = ANSI.sub("", terminal("task", "list", width=width))
    for number in range(4):
        assert UPID.format(number, number) in said
    longest = max(map(cell_len, said.splitlines()))
    assert longest <= max(width, len(UPID) + 40)
    if width >= 200:
        assert longest <= width
        assert "│" in said


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_without_ids_fits(root, terminal, width):
    config(root, "#" + "x" * 300 + "\n#" + "%E6%96%87" * 60 + "\nacmedomain0: a.example\n")
    said = ANSI.sub("", terminal("config", "get", width=width))
    assert {cell_len(line) for line in said.splitlines()} <= set(range(width + 1))
    assert said.count("文") == 60
    assert said.count("x") >= 300


def test_states_have_colours_on_a_terminal_and_never_with_no_color(terminal):
    said = terminal("task", "list")
    colours = {word: code for code, word in re.findall(r"\x1b\[(3\d)m([A-Z]+)", said)}
    assert colours == {"OK": "32", "ERROR": "31", "WARNING": "33", "UNKNOWN": "31"}
    assert not COLOURED.search(terminal("task", "list", NO_COLOR="1"))
    assert not ANSI.search(terminal("task", "list", TERM="dumb"))
    assert not ANSI.search(terminal("task", "list", "--output-format", "json"))


@pytest.mark.parametrize("width", [60, 200])
def test_names_cannot_command_a_terminal(root, terminal, width):
    config(root, "#%1B[2J%1B]0;title%07%0D\nacmedomain0: a.example\n")
    said = terminal("config", "get", width=width)
    assert "[2J" in said
    assert not re.search(r"\x1b(?!\[[0-9;]*m)|\x07", said)


# --- in a pipe --------------------------------------------------------------------------------------


def test_columns_stand_one_below_the_other_whatever_they_hold(capsys):
    rows = [{"a": "文字", "b": 1}, {"a": "x\ny", "b": None}, {"a": "\x1b[2J", "b": True}]
    output.show_rows(App(), rows, ["a", "b"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["a     b", "文字  1", "x y", "\ufffd[2J  yes"]
    assert {
        cell_len(line[: line.index(end)]) for line, end in zip(lines[:2], "b1", strict=True)
    } == {6}


def test_lists_within_values_are_words(capsys):
    output.show_value(App(), {"on-esps": {"AAAA-0001": ["grub", "systemd-boot"], "BBBB-0002": []}})
    assert "on-esps  AAAA-0001=grub, systemd-boot BBBB-0002=\n" in capsys.readouterr().out


def test_json_is_what_it_is_whatever_a_terminal_could_show(capsys):
    app = App()
    app.output_format = "json"
    output.show_value(app, {"a": "\x1b[2J文"})
    assert json.loads(capsys.readouterr().out) == {"a": "\x1b[2J文"}


@pytest.mark.parametrize(
    "char", ["\x9b", "\u061c", "\u2060", "\u202e", "\ufeff", "\U000e0041", "\ud800"]
)
def test_json_has_what_cannot_be_seen_as_an_escape(char, capsys):
    """Marks for the direction of writing, letters of no width: all that Unicode has."""
    app = App()
    for app.output_format in ("json", "json-pretty"):
        output.show_data(app, {"name": f"a{char}ü"})
        said = capsys.readouterr().out
        assert said.replace("\n", "").isprintable()
        assert "ü" in said
        assert json.loads(said) == {"name": f"a{char}ü"}
