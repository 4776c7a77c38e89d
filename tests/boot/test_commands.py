"""``pvefw boot`` as an administrator meets it."""

import json
import shlex
import sys
from unittest.mock import Mock

import pexpect
import pytest
from boot.conftest import UUIDS, loaders_of
from documented import faults

from pvefw.api import Unsupported, hookimpl
from pvefw.boot import cmdline, prepare
from pvefw.boot.loaders import Loaders
from pvefw.cli import boot_context, boot_kernel, exit_codes
from pvefw.cli.run import run


@pytest.fixture
def pvefw(host, machine, plain, monkeypatch, capsys):
    """Runs a command on the host; exit status, output, errors."""
    monkeypatch.setattr(boot_context, "machine", lambda _app: machine)
    monkeypatch.setattr(Loaders, "load", classmethod(lambda _cls, _paths: loaders_of(plain)))

    def do(*arguments):
        status = run(["--root", str(host.root), "--node", "pve1", "boot", *arguments])
        captured = capsys.readouterr()
        if "json" in arguments:
            command = f"boot {' '.join(arguments[: arguments.index('--output-format')])}"
            assert faults(command, json.loads(captured.out)) == []
        return status, captured.out, captured.err

    return do


@pytest.fixture
def synced(pvefw, machine):
    for uuid in UUIDS:
        assert pvefw("init", str(machine.path_of(uuid)), "plain")[0] == 0
    return pvefw


def test_from_an_empty_esp_to_two_that_are_in_step(pvefw, host, machine):
    assert pvefw("status") == (
        2,
        "",
        "No ESPs are managed. To manage one: pvefw boot init PARTITION\n",
    )
    assert pvefw("status", "--quiet") == (2, "", "")
    status, out, err = pvefw("init", "/dev/sda2", "plain")
    assert (status, err) == (0, "")
    assert "installing plain for UEFI" in out
    assert "plain: no EFI variables here" in out
    assert out.endswith("Task OK\n")
    assert pvefw("init", "/dev/sdb2", "plain")[0] == 0
    assert host.paths.esp_uuids.read_text() == "AAAA-0001\nBBBB-0002\n"

    status, out, _ = pvefw("status")
    assert status == 0
    assert "AAAA-0001  /dev/sda2  plain 1.0 (bios)  ok" in out
    status, out, _ = pvefw("status", "--output-format", "json")
    found = json.loads(out)
    assert found["ok"] is True

    status, out, _ = pvefw("refresh")
    assert status == 0
    assert out.count("nothing has changed") == 2


def test_a_dry_run_says_it_and_does_not_do_it(synced, host, machine):
    host.install("6.8.20-1-pve")
    status, out, err = synced("refresh", "--dry-run")
    assert (status, err) == (0, "")
    assert out.count("plain/6.8.20-1-pve/vmlinuz-6.8.20-1-pve is missing") == 2
    assert out.count("plain/6.8.4-2-pve is an empty folder") == 2
    assert not list(machine.directory.rglob("*6.8.20*"))
    assert synced("refresh")[0] == 0
    assert synced("refresh", "--dry-run")[1].count("nothing to do") == 2


def test_a_dry_run_tells_what_is_to_be_done_from_what_is_done(synced, host):
    dry = ("refresh", "--dry-run", "--detailed-exitcode")
    assert synced(*dry)[0] == exit_codes.NOTHING
    host.install("6.8.20-1-pve")
    assert synced(*dry)[0] == exit_codes.PENDING


def test_a_dry_run_keeps_the_kernel_that_is_being_installed(synced, host):
    host.install("5.15.30-1-pve")
    assert synced("refresh", "--dry-run")[1].count("nothing to do") == 2
    _, out, _ = synced("refresh", "--dry-run", "--installing", "5.15.30-1-pve")
    assert out.count("plain/5.15.30-1-pve/vmlinuz-5.15.30-1-pve is missing") == 2


def test_drift_is_status_1_in_every_form(synced, machine):
    (machine.directory / UUIDS[0] / "plain/menu").write_text("other")
    status, out, _ = synced("status")
    assert status == 1
    assert "ESP AAAA-0001: plain/menu differs" in out
    assert synced("status", "--quiet") == (1, "", "")
    status, out, _ = synced("status", "--output-format", "json")
    assert status == 1
    assert [esp["state"] for esp in json.loads(out)["esps"]] == ["drift", "ok"]
    assert synced("refresh")[0] == 0
    assert synced("status", "--quiet") == (0, "", "")


def test_a_missing_disk_is_an_error_that_says_clean(synced, machine, host):
    (machine.directory / UUIDS[1]).rename(machine.directory.parent / "pulled")
    host.install("6.8.20-1-pve")
    status, out, _ = synced("refresh", "--dry-run")
    assert (status, "not found. Put its disk back; if it is gone for good" in out) == (1, True)
    status, _, err = synced("refresh")
    assert status == 1
    assert "ESP BBBB-0002: not found (1 of 2 ESPs are up to date)" in err
    assert "pvefw boot clean" in err
    assert synced("clean", "--dry-run") == (0, "would be removed: BBBB-0002\n", "")
    assert synced("clean") == (0, "removed: BBBB-0002\n", "")
    assert synced("clean") == (0, "All ESPs on the list exist.\n", "")
    assert synced("refresh")[0] == 0


def test_kernel_list_is_the_references(synced, host):
    host.install("5.15.30-1-pve")
    assert synced("kernel", "list")[1] == (
        "Manually selected kernels:\nNone.\n\n"
        "Automatically selected kernels:\n6.5.13-6-pve\n6.8.4-2-pve\n6.8.12-4-pve\n"
    )
    assert synced("kernel", "add", "5.15.30-1-pve")[0] == 0
    assert synced("kernel", "pin", "5.15.30-1-pve")[0] == 0
    assert synced("kernel", "pin", "6.5.13-6-pve", "-next-boot")[0] == 0
    assert synced("kernel", "list")[1] == (
        "Manually selected kernels:\n5.15.30-1-pve\n\n"
        "Automatically selected kernels:\n6.5.13-6-pve\n6.8.4-2-pve\n6.8.12-4-pve\n\n"
        "Pinned kernel:\n5.15.30-1-pve\n\n"
        "Kernel pinned on next-boot:\n6.5.13-6-pve\n"
    )
    assert json.loads(synced("kernel", "list", "--output-format", "json")[1]) == {
        "manual": ["5.15.30-1-pve"],
        "automatic": ["6.5.13-6-pve", "6.8.4-2-pve", "6.8.12-4-pve"],
        "pinned": "5.15.30-1-pve",
        "next-boot": "6.5.13-6-pve",
        "incomplete": {},
    }
    assert synced("kernel", "add", "6.8.4-2-pve")[0] == 0
    assert (
        "Automatically selected kernels:\n6.5.13-6-pve\n6.8.12-4-pve\n"
        in synced("kernel", "list")[1]
    ), "what is selected manually stands there only"
    assert synced("kernel", "unpin", "--next-boot")[1].startswith("Removed the pin.")
    assert synced("kernel", "unpin", "--next-boot") == (0, "No kernel was pinned.\n", "")
    assert synced("kernel", "unpin")[1].startswith("Removed the pin.")
    assert synced("kernel", "unpin") == (0, "No kernel was pinned.\n", "")
    assert synced("kernel", "remove", "5.15.30-1-pve")[0] == 0
    assert "not selected manually" in synced("kernel", "remove", "5.15.30-1-pve")[1]


def test_a_pin_needs_a_refresh_and_says_so(synced, machine):
    status, out, _ = synced("kernel", "pin", "6.5.13-6-pve")
    assert status == 0
    assert "pvefw boot refresh" in out
    menu = machine.directory / UUIDS[0] / "plain/menu"
    assert menu.read_text().split()[-1] == "6.8.12-4-pve"
    assert synced("refresh")[0] == 0
    assert menu.read_text().split()[-1] == "6.5.13-6-pve"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kernel", "pin", "9.9"], "kernel 9.9: it is not installed"),
        (["kernel", "add", "6.8"], "kernel 6.8: it is not installed"),
        (["kernel", "pin", "../x", "--next-boot"], "it is not installed"),
        (["cmdline", "set", "quiet"], "no root="),
        (["cmdline", "set", "root=x\nroot=y"], "one line"),
        (["init", "/dev/nowhere", "plain"], "/dev/nowhere: no such block device"),
        (["init", "/dev/sda", "plain"], "not a partition"),
        (["init", "/dev/sda1", "plain"], "there is no FAT file system on it"),
        (["init", "/dev/sda2", "lilo"], "there is no bootloader plugin named lilo"),
    ],
)
def test_what_cannot_be_is_said(pvefw, host, arguments, said):
    before = sorted(host.paths.kernel_dir.iterdir())
    status, _, err = pvefw(*arguments)
    assert status in (1, 2)
    assert said in err
    assert "Traceback" not in err
    assert sorted(host.paths.kernel_dir.iterdir()) == before


@pytest.mark.parametrize(
    "name", ["proxmox-boot-pin", "next-boot-pin", "proxmox-boot-manual-kernels"]
)
def test_what_is_no_version_goes_by_the_command_that_is_named(synced, host, name):
    host.write(f"etc/kernel/{name}", "a b\n")
    status, _, err = synced("kernel", "list")
    assert status == 0
    assert f"{name}: 'a b' is not the version of a kernel" in err
    assert synced(*shlex.split(err.partition("pvefw boot ")[2]))[0] == 0
    assert synced("kernel", "list")[2] == ""


def test_the_command_line_is_set_and_shown(pvefw, host):
    assert pvefw("cmdline", "get") == (0, "root=/dev/sda3 quiet\n", "")
    assert pvefw("cmdline", "set", " root=ZFS=rpool/ROOT/pve-1 boot=zfs ")[0] == 0
    assert host.paths.cmdline.read_text() == "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n"
    assert json.loads(pvefw("cmdline", "get", "--output-format", "json")[1]) == {
        "cmdline": "root=ZFS=rpool/ROOT/pve-1 boot=zfs"
    }


def test_a_kernel_hook_before_there_is_any_esp_is_content(pvefw):
    status, out, _ = pvefw("refresh", "--installing", "6.8.20-1-pve")
    assert status == 0
    assert "no ESP is configured" in out


# --- hosts without synced ESPs ----------------------------------------------------------------------


def test_without_synced_esps_the_loader_is_told(pvefw, plain, host):
    told = []

    def select(default, next_boot, root, task):
        told.append((default, next_boot, root))

    plain.select = select
    type(plain).boot_select = hookimpl(
        lambda self, default, next_boot, root, task: self.select(default, next_boot, root, task)
    )
    try:
        assert pvefw("kernel", "pin", "6.5.13-6-pve")[0] == 0
        assert pvefw("kernel", "pin", "6.8.4-2-pve", "--next-boot")[0] == 0
        assert pvefw("kernel", "unpin")[0] == 0
        assert told == [
            ("6.5.13-6-pve", None, host.root),
            ("6.5.13-6-pve", "6.8.4-2-pve", host.root),
            (None, None, host.root),
        ]

        assert pvefw("kernel", "pin", "6.5.13-6-pve")[0] == 0
        host.remove("6.5.13-6-pve")
        status, out, _ = pvefw("kernel", "pin", "6.8.4-2-pve", "--next-boot")
        assert status == 0
        assert "6.5.13-6-pve is pinned, but it is not installed" in out
        assert told[-1] == (None, "6.8.4-2-pve", host.root)
        assert pvefw("kernel", "unpin")[0] == 0

        def refuses(default, next_boot, root, task):
            raise Unsupported("this host is not started by it")

        plain.select = refuses
        status, _, err = pvefw("kernel", "pin", "6.8.4-2-pve")
        assert status == 1
        assert "not started by it" in err
        assert not host.paths.pinned_kernel.exists(), "what is not in force is not kept"
    finally:
        del type(plain).boot_select


@pytest.mark.parametrize("command", ["format", "partition"])
def test_what_destroys_is_shown_and_done_only_where_somebody_says_so(pvefw, monkeypatch, command):
    planned = Mock(lines=["/dev/sdx2 (512 MiB) becomes an ESP", "all that is on it is lost"])
    done = Mock()
    monkeypatch.setattr(prepare, f"check_{command}", lambda *_args, **_options: planned)
    monkeypatch.setattr(prepare, {"format": "format_"}.get(command, command), done)
    status, out, err = pvefw(command, "/dev/sdx2")
    assert status == 2 and out.splitlines() == planned.lines and not done.called
    assert "cannot ask for confirmation: not a terminal; nothing was changed\n  Give --yes." in err
    with monkeypatch.context() as at_terminal:
        at_terminal.setattr("sys.stdin", Mock(isatty=lambda: True))
        at_terminal.setattr("click.confirm", lambda _question: False)
        status, _, err = pvefw(command, "/dev/sdx2")
    assert status == 1 and err == "pvefw: not confirmed; nothing was changed\n" and not done.called
    status, out, _ = pvefw(command, "/dev/sdx2", "--yes")
    assert status == 0 and out.splitlines()[:2] == planned.lines
    assert done.call_args[0][0] is planned


def test_a_one_time_boot_and_a_half_kernel_are_shown(synced, host):
    assert synced("kernel", "pin", "6.5.13-6-pve", "--next-boot")[0] == 0
    assert synced("refresh")[0] == 0
    assert "once at the next boot: 6.5.13-6-pve\n" in synced("status")[1]
    (host.root / "boot/initrd.img-6.8.4-2-pve").unlink()
    _, out, err = synced("kernel", "list")
    assert "Kernel pinned on next-boot:\n6.5.13-6-pve\n" in out
    assert "WARN: kernel 6.8.4-2-pve is not complete: " in err


def test_what_else_writes_to_esps_is_a_warning_with_the_hooks(pvefw, host):
    there = host.root / "etc/kernel/postinst.d/zz-systemd-boot"
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    status, out, err = pvefw("install-hooks")
    assert status == 0 and "Wrote " in out
    assert f"WARN: {there}, of Debian's package systemd-boot, copies kernels" in err


def test_the_running_command_line_is_shown_as_such(pvefw, host, monkeypatch):
    host.paths.cmdline.unlink()
    monkeypatch.setattr(
        cmdline, "wanted", lambda _paths: Mock(text="root=/dev/sda1", written=False)
    )
    status, out, err = pvefw("cmdline", "get")
    assert (status, out) == (0, "root=/dev/sda1\n")
    assert f"{host.paths.cmdline} does not exist: this is the running one." in err


def test_a_pin_is_brought_to_the_esps_where_that_is_wanted(synced, monkeypatch):
    monkeypatch.setattr(boot_kernel, "offer", lambda *_args, **_options: True)
    status, out, _ = synced("kernel", "pin", "6.5.13-6-pve")
    assert status == 0 and "To apply" not in out and "Task OK" in out
    assert "default: 6.5.13-6-pve" in synced("status")[1]


def test_on_a_terminal_pin_asks(host):
    """No ESP is there, but one is registered: the question comes, and its answer is followed."""
    host.paths.esp_uuids.write_text("AAAA-0001\n")
    child = pexpect.spawn(
        sys.executable,
        [
            "-m",
            "pvefw",
            "--root",
            str(host.root),
            "--node",
            "pve1",
            "boot",
            "kernel",
            "pin",
            "6.5.13-6-pve",
        ],
        encoding="utf-8",
        timeout=60,
    )
    child.expect_exact("Refresh the ESPs now? [y/N]")
    child.sendline("")
    child.expect_exact("pvefw boot refresh")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
