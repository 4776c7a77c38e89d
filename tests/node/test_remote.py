"""Commands on other hosts go to hosts, and reach their shell as they were meant."""

import pytest

from pvefw.core.errors import ProgramError, UsageError
from pvefw.host.remote import Remote

SHELL = """sh -c 'eval "$1"'"""
"""The host is its name."""


@pytest.mark.parametrize("host", ["-oProxyCommand=touch /tmp/x", "-l", "", "a b", "a\nb", "$(id)"])
def test_what_is_no_host_reaches_no_program(tmp_path, host):
    with pytest.raises(UsageError, match="is not a host"):
        Remote(f"touch {tmp_path}/ran").run(host, ["true"])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", ["ssh 'half", "", " ", "'"])
def test_what_is_no_command_line_is_said_before_anything_is_done(command):
    """With none, the host would be taken for the program."""
    with pytest.raises(UsageError, match=r"^--rsh .* (is not a command line|names no program)"):
        Remote(command)


@pytest.mark.parametrize(
    "host", ["pve1", "root@pve1.example", "192.0.2.1", "[2001:db8::1]", "fe80::1"]
)
def test_arguments_reach_the_shell_there_as_they_are(host):
    done = Remote(SHELL).run(host, ["printf", "%s|", "a b", "$HOME", "'", "*"])
    assert done.stdout == "a b|$HOME|'|*|"


def test_its_last_words_are_the_reason():
    with pytest.raises(ProgramError, match="no room"):
        Remote(SHELL).run("pve1", ["sh", "-c", "echo no room >&2; exit 3"])
