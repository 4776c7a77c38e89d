"""After an order, where nothing renews by itself: the timer is offered, or its command is named."""

import sys

import pexpect
import pytest

from pvefw.certs import issue, timer
from pvefw.cli.run import run

_OFFER = "from pvefw.cli import framework, renew; app = framework.App(); renew.offer_timer(app)"


@pytest.fixture
def order(monkeypatch, capsys, paths):
    """Orders a certificate; what the authority does is not of interest here.

    :returns: what was said on standard output and on standard error.
    """
    monkeypatch.setattr(issue, "order", lambda _certificate, task, *, force: task.log("ordered"))

    def ordered():
        where = ["--root", str(paths.root), "--node", paths.node]
        assert run([*where, "acme", "cert", "order"]) == 0
        return capsys.readouterr()

    return ordered


@pytest.fixture
def at_a_terminal(paths):
    """Asks at a terminal, and gives the answer."""

    def ask(answer):
        env = {"PVEFW_ROOT": str(paths.root), "PVEFW_NODE": paths.node, "PATH": "/usr/bin:/bin"}
        child = pexpect.spawn(sys.executable, ["-c", _OFFER], env=env, encoding="utf-8", timeout=60)
        child.expect_exact("Install the timer now? [Y/n]")
        child.send(answer)
        said = child.expect([pexpect.EOF]) or child.before
        child.close()
        assert child.exitstatus == 0
        return said

    return ask


def test_a_script_is_told_what_to_do_and_nothing_is_written(order, paths):
    said = order()

    assert "Install the timer: pvefw renew install-timer" in said.err
    assert "Install the timer" not in said.out
    assert not timer.is_installed(paths)


def test_where_something_renews_nobody_is_asked(order, paths):
    timer.install(paths, lambda _said: None, cron=True)

    assert "timer" not in order().err


def test_for_a_node_elsewhere_there_is_nothing_to_install(order, paths):
    (paths.root / "etc").mkdir(exist_ok=True)
    (paths.root / "etc/hostname").write_text("another\n")

    assert "timer" not in order().err


def test_a_yes_installs_it(at_a_terminal, paths):
    assert "Wrote " in at_a_terminal("\n")
    assert timer.is_installed(paths)


@pytest.mark.parametrize("answer", ["n\n", "\x03", "\x04"], ids=["no", "Ctrl-C", "Ctrl-D"])
def test_a_no_leaves_all_as_it_is_and_is_no_failure(at_a_terminal, paths, answer):
    assert "pvefw renew install-timer" in at_a_terminal(answer)
    assert not timer.is_installed(paths)
