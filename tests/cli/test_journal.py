"""What systemd's journal gets: `journalctl -p warning` finds warnings and errors, and nothing else."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from resources import uses
from servers.systemd import missing, systemd_host

PVEFW = Path(sysconfig.get_path("scripts")) / "pvefw"
SAY = """
import sys, click
from pvefw.cli.journal import mark_lines
mark_lines()
click.echo("a line")
click.echo("WARN: it is late")
click.echo("  by an hour")
click.echo("half of ", nl=False)
click.echo("a line\\nTask ERROR: too late")
click.echo("  Try earlier.")
click.echo("")
click.echo("pvefw: warning: odd", err=True)
click.echo("pvefw: no such plugin", err=True)
"""


@uses("program")
def said(journal, argv):
    """What a program writes to one pipe, and whether JOURNAL_STREAM names that."""
    reader, writer = os.pipe()
    there = os.fstat(writer)
    number = there.st_ino if journal else there.st_ino + 1
    environment = {**os.environ, "JOURNAL_STREAM": f"{there.st_dev}:{number}"}
    subprocess.run(argv, stdout=writer, stderr=writer, env=environment, check=False)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return pipe.read().splitlines()


def test_lines_have_their_priority():
    assert said(True, [sys.executable, "-c", SAY]) == [
        "a line",
        "<4>WARN: it is late",
        "<4>  by an hour",
        "half of a line",
        "<3>Task ERROR: too late",
        "<3>  Try earlier.",
        "",
        "<4>pvefw: warning: odd",
        "<3>pvefw: no such plugin",
    ]


def test_another_stream_is_left_alone():
    assert not [line for line in said(False, [sys.executable, "-c", SAY]) if line.startswith("<")]


def test_a_command_tells_the_journal(tmp_path):
    lines = said(True, [PVEFW, "--root", tmp_path, "acme", "cert", "revoke"])
    assert lines
    assert all(line.startswith("<3>") for line in lines), lines


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_the_journal_itself_finds_it(tmp_path):
    with systemd_host(tmp_path) as host:
        host.boot()
        host.write(
            "etc/systemd/system/late.service", f"[Service]\nExecStart={PVEFW} acme cert revoke\n"
        )
        host.run("systemctl", "daemon-reload")
        host.try_("systemctl", "start", "--wait", "late")
        errors = host.run("journalctl", "-u", "late", "-p", "err", "-o", "cat")
    assert "pvefw: " in errors or "Task ERROR: " in errors
    assert "<3>" not in errors
