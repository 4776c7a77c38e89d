"""What commands do where a usual session never comes."""

import errno
import io
import socket
import sys
from unittest.mock import Mock

import click
import pytest
from certificates import self_signed
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from pvefw.certs import timer
from pvefw.cli import acme_account, journal, placement, renew, streams, unit_state, wrong_use
from pvefw.cli import run as running
from pvefw.cli.framework import App
from pvefw.cli.run import guarded, run
from pvefw.core.errors import StoreError
from pvefw.tasks import control
from pvefw.tasks.registry import TaskEntry
from pvefw.tasks.upid import Upid

UPID = "UPID:pve1:00010D94:001CA6EA:6124E1B9:vzdump:100:root@pam:"


@pytest.fixture
def pvefw(paths, capsys):
    """Runs a command line in this process; exit status, output, errors."""

    def do(*arguments):
        status = run(["--root", str(paths.root), "--node", "pve1", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return do


# --- what is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("acme -- --nope", "pvefw acme: there is no option --nope\n"),
        ("cert --password-file x", "It is an option of: pvefw cert set CERTIFICATE\n"),
        ("status --watch", "--watch: standard output is not a terminal\n"),
    ],
)
def test_a_line_that_is_refused(paths, pvefw, line, said):
    status, out, err = pvefw(*line.split())
    assert (status, out) == (2, "") and said in err
    assert list(paths.root.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (click.UsageError("It is odd."), ("pvefw: it is odd", "See: pvefw --help")),
        (click.BadParameter("It is odd."), ("pvefw a: it is odd", "See: pvefw a --help")),
        (click.MissingParameter("It is odd."), ("pvefw a: it is odd", "See: pvefw a --help")),
        (click.UsageError("It is\n  odd."), ("pvefw a: it is odd", "See: pvefw a --help")),
    ],
)
def test_what_a_command_of_others_refuses_is_a_sentence_of_ours(error, explained):
    if " a:" in explained[0]:
        error.ctx = click.Context(click.Command("a"), info_name="pvefw a")
    problem, hint = wrong_use.explain(App(["a"]), error)
    assert (problem, hint) == explained


def test_a_key_that_is_no_text_is_no_binding(tmp_path, pvefw):
    (tmp_path / "key").write_bytes(b"\xfck")
    account = ("acme", "account", "register", "a", "b@c.example", "--eab-kid", "k")
    status, _, err = pvefw(
        *account, "--eab-hmac-key-file", tmp_path / "key", "--directory", "letsencrypt"
    )
    assert status == 1
    assert f"{tmp_path}/key: this is not the key of an external account binding" in err


def test_a_directory_that_is_chosen_by_its_number(monkeypatch):
    monkeypatch.setattr(acme_account, "_interactive", lambda: True)
    monkeypatch.setattr(click, "prompt", Mock(side_effect=["7", "1"]))
    assert acme_account._ask_directory() == acme_account.ENDPOINTS[1][1]


@pytest.mark.parametrize(
    ("password", "status", "said"),
    [
        (b"secret", 1, "it.p12: the PKCS#12 container cannot be opened without a password\n"),
        (b"", 0, ""),
    ],
)
def test_without_a_terminal_the_password_of_a_container_is_in_a_file(
    paths, tmp_path, pvefw, password, status, said
):
    certificate, key = self_signed("a.example")
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    data = pkcs12.serialize_key_and_certificates(
        b"it",
        serialization.load_pem_private_key(key, None),
        x509.load_pem_x509_certificate(certificate),
        None,
        encryption,
    )
    (tmp_path / "it.p12").write_bytes(data)
    done, _, err = pvefw("cert", "set", tmp_path / "it.p12")
    assert done == status and said in err
    assert paths.proxy_certificate.exists() is not bool(password)
    if password:
        assert "Give the password that it was exported with: --password-file FILE\n" in err
        (tmp_path / "password").write_bytes(password)
        option = ("--password-file", tmp_path / "password")
        assert pvefw("cert", "set", tmp_path / "it.p12", *option)[0] == 0


def test_a_section_without_files_is_removed_without_a_word(pvefw):
    assert pvefw("cert", "add", "web", "--acmedomain0", "a.example")[0] == 0
    assert pvefw("cert", "remove", "web") == (0, "", "")


# --- how it ends ----------------------------------------------------------------------------------


def raising(error):
    return Mock(side_effect=error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "the network: connection refused"),
        (socket.gaierror(-2, "x"), "the network: its name cannot be resolved"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "the network: no answer in time"),
        (OSError(errno.EBADMSG, "Bad message"), "Bad message"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: could not use the file"),
    ],
)
def test_what_the_host_or_another_refuses_is_one_line(monkeypatch, capsys, error, said):
    monkeypatch.setattr(running, "leave_standard_output", lambda: None)
    assert guarded(App([]), raising(error)) == 1
    err = capsys.readouterr().err
    assert said in err.splitlines()[0] and "Traceback" not in err


def test_who_reads_the_output_may_leave(monkeypatch, capsys):
    left = Mock()
    monkeypatch.setattr(running, "leave_standard_output", left)
    assert guarded(App([]), raising(BrokenPipeError())) == 1
    assert left.called and capsys.readouterr().err == ""


def test_without_proc_threads_are_those_that_python_knows(monkeypatch):
    import threading

    monkeypatch.setattr(streams, "_THREADS", "/nonexistent")
    assert streams._is_alone() is (threading.active_count() == 1)


def test_a_stream_without_a_descriptor_does_not_lead_to_the_journal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    journal.mark_lines()
    assert sys.stdout is stream


def test_a_host_whose_name_is_no_text_has_none(paths):
    paths.below("etc").mkdir()
    for data, name in ((b"\xfcber\n", ""), (b"# x\nPVE1.example\n", "pve1"), (b"", "")):
        paths.below("etc/hostname").write_bytes(data)
        assert placement.this_machine(paths) == name


# --- tasks, units ---------------------------------------------------------------------------------


def test_a_task_that_goes_on_cleaning_up_is_no_success(pvefw, monkeypatch):
    entry = TaskEntry(Upid.parse(UPID), None, None)
    monkeypatch.setattr(control, "stop", lambda *_: entry)
    monkeypatch.setattr("pvefw.tasks.history.state", lambda _entry: "RUNNING")
    status, out, err = pvefw("task", "stop", UPID)
    assert (status, out) == (1, "")
    assert f"task stop: {UPID}: the task is still cleaning up\n" in err
    assert f"See how far it is: pvefw task log --follow {UPID}\n" in err


def test_a_timer_that_cannot_be_installed_costs_no_order(paths, monkeypatch, capsys):
    monkeypatch.setattr(renew, "offer", lambda *_args, **_options: True)
    monkeypatch.setattr(timer, "install", raising(StoreError("the disk is full")))
    renew._offer_timer(App(["--root", str(paths.root)]))
    assert "The timer is not installed: the disk is full\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("a.service", "failed", "a.service has failed; see: systemctl status a.service"),
        ("a.timer", "failed", "a.timer has failed; see: systemctl status a.timer"),
        ("a.timer", "inactive", "a.timer does not run; run: systemctl start a.timer"),
        ("a.service", "inactive", None),
        ("a.timer", "active", None),
    ],
)
def test_what_systemd_says_of_a_unit(tmp_path, monkeypatch, name, state, said):
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$4" = {name} ] && echo {state}\nexit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert [*unit_state._now(name)] == ([said] if said else [])
