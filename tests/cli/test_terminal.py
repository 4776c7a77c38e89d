"""On a terminal: states with symbols, times as people say them, lists that stay up to date."""

import re
import sys
import time

import pytest

from pvefw.cli import output, watching
from pvefw.cli.run import run

LINE = "UPID:pve1:00010D94:001CA6EA:{0:08X}:vzdump:100:root@pam: {1:08X} {2}\n"


@pytest.fixture
def terminal(paths, capsys, monkeypatch):
    now = int(time.time())
    paths.task_dir.mkdir(parents=True)
    (paths.task_dir / "index").write_text(
        LINE.format(now - 7300, now - 7240, "OK") + LINE.format(now - 300, now - 299, "it failed")
    )
    monkeypatch.setenv("COLUMNS", "160")

    def do(*arguments, tty=True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: tty, raising=False)
        status = run(["--root", str(paths.root), "--node", "pve1", *arguments])
        said = capsys.readouterr()
        return status, said._replace(out=re.sub(r"\x1b\[[\d;]*m", "", said.out))

    return do


def test_tasks(terminal):
    _, said = terminal("task", "list")
    first, second = (line for line in said.out.splitlines() if "UPID" in line)
    assert "✘ it failed" in first or "✘ ERROR" in first
    assert "5 min ago" in first
    assert "after 1 s" in first
    assert "✔ OK" in second
    assert "2 h ago" in second
    assert "after 1 min" in second


def test_piped_it_is_plain(terminal):
    _, said = terminal("task", "list", tty=False)
    assert "ago" not in said.out
    assert said.out.isascii()
    assert "\x1b" not in said.out


def test_status(terminal):
    _, said = terminal("status")
    assert "! attention" in said.out
    assert "· none" in said.out


def test_symbols_only_where_they_can_be_shown(monkeypatch):
    monkeypatch.setattr(
        output.sys, "stdout", type("Out", (), {"encoding": "ascii", "isatty": lambda _self: True})()
    )
    assert not output._shows_symbols()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86400, "24 h ago"),
        (172800, "2 d ago"),
        (-5, "just now"),
    ],
)
def test_times_as_people_say_them(seconds, said):
    assert output.ago(seconds) == said


class Impatient:
    """A clock that lets two looks pass, and then presses Ctrl-C."""

    def __init__(self):
        self.waits = []

    def wait(self, _event, seconds):
        self.waits.append(seconds)
        if len(self.waits) == 2:
            raise KeyboardInterrupt


def test_a_list_that_stays_fresh(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    clock, looks = Impatient(), []
    watching.repeat(7, lambda: looks.append(1), clock)
    assert (clock.waits, looks) == ([7, 7], [1, 1])
    assert capsys.readouterr().out.count("\x1b[H") == 2


@pytest.mark.parametrize("command", [["task", "list"], ["status"]])
@pytest.mark.parametrize("option", [["--watch"], ["--watch", "5"]])
def test_it_needs_a_terminal(terminal, command, option):
    status, said = terminal(*command, *option, tty=False)
    assert status == 2
    assert "not a terminal" in said.err
