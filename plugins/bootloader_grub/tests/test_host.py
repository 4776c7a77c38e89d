"""Hosts without synced ESPs: with the real update-grub."""

import subprocess

import pytest

from pvefw.api import ProviderError, Unsupported
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub
from pvefw_bootloader_grub.host import _sets_default
from pvefw_bootloader_grub.menu import parse

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"


@pytest.fixture
def host(grub_host):
    grub_host.kernels(NEW, OLD)
    grub_host.update_grub()
    return grub_host


def default(host):
    menu = parse(host.config.read_text())
    return menu.find(menu.default).version


def path(host, version):
    return f"gnulinux-advanced-{host.uuid}>gnulinux-{version}-advanced-{host.uuid}"


def test_a_pin_and_its_end(host):
    assert host.select(default=OLD) is None
    assert host.pin.read_text() == f'GRUB_DEFAULT="{path(host, OLD)}"\n'
    assert default(host) == OLD
    assert host.select(default=None) is None
    assert not host.pin.exists()
    assert default(host) == NEW


def test_the_same_pin_again_runs_nothing(host):
    host.select(default=OLD)
    before = host.config.stat().st_mtime_ns
    assert host.select(default=OLD) is None
    assert host.config.stat().st_mtime_ns == before


def test_a_kernel_once(host):
    assert host.select(next_boot=OLD) is None
    shown = subprocess.run(
        ["grub-editenv", host.environment, "list"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"next_entry={path(host, OLD)}\n"
    assert default(host) == NEW
    assert host.select() is None
    assert b"next_entry" not in host.environment.read_bytes()


def test_a_pin_and_another_kernel_once(host):
    assert host.select(default=OLD, next_boot=NEW) is None
    assert default(host) == OLD
    assert path(host, NEW) in host.environment.read_text()


@pytest.mark.parametrize("choice", [{"default": "1.2.3"}, {"next_boot": "1.2.3"}])
def test_a_kernel_that_is_not_in_the_menu(host, choice):
    kind, message, hint = host.select(**choice)
    assert (kind, hint) == ("ProviderError", "Run: update-grub")
    assert message == "1.2.3: GRUB's menu has no entry for this kernel"
    assert not host.pin.exists()


def test_update_grub_fails_and_all_is_as_it_was(host):
    host.select(default=OLD)
    before = host.config.read_bytes(), host.pin.read_bytes()
    (host.scripts / "30_broken").write_text("#!/bin/sh\necho 'broken: no' >&2\nexit 1\n")
    (host.scripts / "30_broken").chmod(0o755)
    kind, message, hint = host.select(default=NEW)
    assert kind == "ProviderError"
    assert message.startswith("update-grub failed: ")
    assert "broken: no" in message
    assert hint
    assert (host.config.read_bytes(), host.pin.read_bytes()) == before
    assert sorted(file.name for file in host.pin.parent.iterdir()) == [host.pin.name]


def test_a_menu_that_grub_cannot_read_never_takes_its_place(host):
    before = host.config.read_bytes()
    (host.scripts / "40_custom").write_text("#!/bin/sh\necho 'menuentry {'\n")
    kind, message, _ = host.select(default=OLD)
    assert kind == "ProviderError"
    assert "update-grub failed" in message
    assert host.config.read_bytes() == before
    assert not host.pin.exists()


def test_another_snippet_has_the_last_word(host):
    (host.default / "grub.d/zz.cfg").write_text("GRUB_DEFAULT=0\n")
    host.config.chmod(0o600)  # as it is with a password in it
    before = host.config.read_bytes()
    kind, message, hint = host.select(default=OLD)
    assert kind == "ProviderError"
    assert "update-grub did not make it the default" in message
    assert "grub.d" in hint
    assert not host.pin.exists()
    assert host.config.read_bytes() == before
    assert not host.config.stat().st_mode & 0o022


@pytest.mark.parametrize(
    ("answers", "where"),
    [({"fs": "zfs"}, "zfs"), ({"fs": "btrfs"}, "btrfs"), ({"abstraction": "lvm"}, "lvm")],
)
def test_where_grub_could_not_forget_it_boots_nothing_once(host, answers, where):
    host.answers(**answers)
    kind, message, hint = host.select(next_boot=OLD)
    assert kind == "Unsupported"
    assert where in message
    assert "--next-boot" in hint
    assert not host.environment.exists()
    assert host.select(default=OLD) is None


def test_a_host_without_grub(host, tmp_path):
    (host.default / "grub").unlink()
    kind, message, hint = host.select(default=OLD)
    assert kind == "Unsupported"
    assert "not started by GRUB" in message
    assert "pvefw boot init" in hint
    with pytest.raises(Unsupported):
        Grub().boot_select(default=OLD, next_boot=None, root=tmp_path / "bare", task=FakeTask())


# --- without a host of its own: nothing is run --------------------------------------------------------


@pytest.fixture
def plain_host(tmp_path):
    """A host's tree with GRUB's files; its update-grub must not be needed."""
    root = tmp_path / "plain"
    for name, text in {
        "etc/default/grub": "GRUB_DEFAULT=0\n",
        "usr/local/sbin/grub-mkconfig": "#!/bin/sh\nexit 1\n",
        "boot/grub/grub.cfg": f"menuentry 'x' --id gnulinux-{OLD}-advanced-1 {{\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_damaged_menu_has_no_entry(plain_host):
    with pytest.raises(ProviderError) as caught:
        Grub().boot_select(default=OLD, next_boot=None, root=plain_host, task=FakeTask())
    assert caught.value.message == f"{OLD}: GRUB's menu has no entry for this kernel"
    assert caught.value.hint == "Run: update-grub"
    assert not (plain_host / "etc/default/grub.d").exists()


def test_without_a_pin_nothing_is_generated(plain_host):
    task = FakeTask()
    Grub().boot_select(default=None, next_boot=None, root=plain_host, task=task)
    assert task.lines == []
    (plain_host / "usr/local/sbin/grub-mkconfig").unlink()
    with pytest.raises(Unsupported, match="no update-grub"):
        Grub().boot_select(default=None, next_boot=None, root=plain_host, task=task)


@pytest.mark.parametrize(
    ("custom", "sets"),
    [
        (b"set default=2\n", True),
        (b"set default=2\nset title='mine\n", True),  # GRUB runs a file line by line
        (b"set title='mine\nset default=2\n", False),
        (b"set timeout=2\n", False),
        (b"", False),
    ],
)
def test_whether_the_administrators_own_file_sets_the_default(custom, sets):
    assert _sets_default(custom) is sets


def test_a_kernel_that_is_not_on_the_esp_boots_nothing_once(make_plan, esp):
    with pytest.raises(ProviderError, match=r"1\.2\.3: the menu has no such kernel"):
        Grub().boot_arm(esp, make_plan(NEW, next_boot="1.2.3"), FakeTask())
    assert not list(esp.mountpoint.rglob("grubenv"))
