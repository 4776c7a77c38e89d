"""Local changes of the scripts in ``/etc/grub.d``: passwords, and who may boot without one."""

import hashlib
import shutil
from pathlib import Path

import pytest
from servers.grub_script import Grub as Player

from pvefw.api import ProviderError
from pvefw.testing.boot import bring
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub
from pvefw_bootloader_grub.scripts import changes

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"
HASH = "grub.pbkdf2.sha512.10000.AB.CD"
PASSWORD = f'set superusers="root"\npassword_pbkdf2 root {HASH}\n'
HEREDOC = f"cat << EOF\n{PASSWORD}EOF\n"
CLASS = 'CLASS="--class gnu-linux --class gnu --class os"'


@pytest.fixture
def scripts(make_plan):
    """Debian's own scripts on that host, and dpkg's checksums of them."""
    root = make_plan(NEW).root
    folder = root / "etc/grub.d"
    shutil.copytree("/etc/grub.d", folder)
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    lines = [
        f" /etc/grub.d/{path.name} {hashlib.md5(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.iterdir())
    ]
    status.write_text(
        "Package: grub-common\nStatus: install ok installed\nConffiles:\n"
        + "\n".join(lines)
        + "\nDescription: GRand Unified Bootloader\n"
    )
    return folder


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def start(make_plan, esp):
    """What starts, once the ESP is brought there; ``None`` where GRUB asks for a user name."""

    def start(**rest):
        tree = Grub().boot_render(esp, make_plan(NEW, OLD, **rest))
        for _ in bring(esp.mountpoint, tree):
            pass
        found = Player(esp.mountpoint).start()
        return found and found.linux[0]

    return start


def protected(esp):
    player = Player(esp.mountpoint)
    player.start()
    return player.variables.get("superusers") == "root"


def test_scripts_as_they_are_packaged_say_nothing(scripts, start, make_plan, esp):
    assert start() == f"/vmlinuz-{NEW}"
    assert list(Grub().boot_render(esp, make_plan(NEW)).warnings) == []


def test_a_password_in_40_custom_and_entries_that_need_none(scripts, start, make_plan, esp):
    with (scripts / "40_custom").open("a") as file:
        file.write(PASSWORD)
    assert start() is None  # as with update-grub
    edit(scripts / "10_linux", CLASS, CLASS[:-1] + ' --unrestricted"')
    assert start() == f"/vmlinuz-{NEW}"
    assert start(default=OLD, pinned=True) == f"/vmlinuz-{OLD}"
    assert protected(esp)

    plan = make_plan(NEW, OLD, next_boot=OLD)
    Grub().boot_arm(esp, plan, FakeTask())
    assert start(next_boot=OLD) == f"/vmlinuz-{OLD}"


@pytest.mark.parametrize(
    "change",
    [
        (CLASS, CLASS.replace('="', '="--unrestricted ')),
        (CLASS, CLASS.replace("--class gnu ", "--class gnu --unrestricted ")),
        ('echo "menuentry \'$(echo "$os" | grub_quote)\' ${CLASS}', None),
    ],
)
def test_wherever_the_option_was_put(scripts, start, esp, change):
    old, new = change
    edit(scripts / "10_linux", old, new or f"{old} --unrestricted")
    with (scripts / "40_custom").open("a") as file:
        file.write(PASSWORD)
    assert start() == f"/vmlinuz-{NEW}"
    assert protected(esp)


@pytest.mark.parametrize("name", ["00_header", "05_debian_theme"])
@pytest.mark.parametrize(
    "added", [HEREDOC, f"\n# mine\n{HEREDOC}\n", "echo 'set superusers=\"root\"'\n"]
)
def test_what_was_added_to_a_script_that_comes_first_is_carried(scripts, start, esp, name, added):
    with (scripts / name).open("a") as file:
        file.write(added)
    assert start() is None
    assert protected(esp)
    edit(scripts / "10_linux", CLASS, CLASS[:-1] + ' --unrestricted"')
    assert start() == f"/vmlinuz-{NEW}"


def test_what_was_added_in_the_middle_is_carried(scripts, start, esp):
    edit(scripts / "00_header", "# Play an initial tune\n", f"{HEREDOC}# Play an initial tune\n")
    assert start() is None
    assert protected(esp)


@pytest.mark.parametrize("form", [f"#!/bin/sh\n{HEREDOC}", f"#!/bin/sh\nset -e\n# who\n{HEREDOC}"])
@pytest.mark.parametrize("name", ["01_password", "40_custom"])
def test_a_script_of_ones_own_with_passwords_only(scripts, start, esp, name, form):
    (scripts / name).write_text(form)
    (scripts / name).chmod(0o700)
    assert start() is None
    assert protected(esp)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("10_linux", "  ### ", None, ""),
        ("00_header", "", None, ""),
        (
            "10_linux",
            'if [ "$vt_handoff" = 1 ]',
            'mine\nif [ "$vt_handoff" = 1 ]',
            "'mine' was added",
        ),
        ("00_header", "set -e\n", "set -e\necho $UNKNOWN\n", "line 3"),
        (
            "00_header",
            "# Play an initial tune\n",
            "# Play an initial nice tune\n",
            "' nice' was added",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_with_its_line(
    scripts, make_plan, esp, name, old, new, said
):
    if new is None:
        (scripts / name).write_text("exit 0\n" + (scripts / name).read_text() + "exit 0\n")
        said = "more than one place"
    else:
        text = (scripts / name).read_text()
        assert old in text
        (scripts / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ProviderError, match="cannot be carried over") as caught:
        Grub().boot_render(esp, make_plan(NEW))
    assert str(scripts / name) in caught.value.message
    assert said in caught.value.message
    assert "40_custom" in caught.value.hint


def test_a_protecting_program_that_does_more_is_refused(scripts, make_plan, esp):
    (scripts / "50_mine").write_text(f"#!/bin/sh\n{HEREDOC}echo 'set timeout=1'\n")
    (scripts / "50_mine").chmod(0o755)
    with pytest.raises(ProviderError, match="does more than that"):
        Grub().boot_render(esp, make_plan(NEW))


def test_no_password_is_in_the_arguments_of_a_program(scripts, make_plan, esp, monkeypatch):
    from pvefw_bootloader_grub import scripts as module

    seen = []

    def run(argv, **options):
        seen.append((argv, options.get("env")))
        return original(argv, **options)

    original = module.run
    monkeypatch.setattr(module, "run", run)
    with (scripts / "00_header").open("a") as file:
        file.write(HEREDOC)
    Grub().boot_render(esp, make_plan(NEW))
    assert seen
    assert HASH not in str(seen)
    assert Path("/etc/grub.d").exists()


@pytest.mark.parametrize(("machine", "added"), [("x86_64", ["dis_ucode_ldr"]), ("aarch64", [])])
def test_what_the_script_itself_adds_in_recovery_mode(tmp_path, monkeypatch, machine, added):
    """As that of Debian 13 does."""
    (tmp_path / "etc/grub.d").mkdir(parents=True)
    (tmp_path / "etc/grub.d/10_linux").write_text(
        'case "$GENKERNEL_ARCH" in\n'
        '  x86*) GRUB_CMDLINE_LINUX_RECOVERY="$GRUB_CMDLINE_LINUX_RECOVERY dis_ucode_ldr";;\n'
        "esac\n"
    )
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert list(changes(tmp_path).recovery) == added
