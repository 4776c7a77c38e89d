"""Which kernels are kept, and what the administrator's files may look like."""

import subprocess
import sys

import pytest
from privileges import only_root

from pvefw.boot import choice, cmdline, hooks, kernels
from pvefw.core.errors import ConfigError, NotFound
from pvefw.store import kernel_files, oddities


@pytest.mark.parametrize(
    ("available", "running", "installing", "kept"),
    [
        # the two latest, and the latest of the series before
        (
            ["6.8.1", "6.8.4", "6.8.12", "6.5.13", "6.5.11"],
            "gone",
            "",
            ["6.8.12", "6.8.4", "6.5.13"],
        ),
        # the running one, by its whole name: 6.8.1 is no part of 6.8.12
        (["6.8.1", "6.8.11", "6.8.12"], "6.8.1", "", ["6.8.12", "6.8.11", "6.8.1"]),
        (["6.8.10", "6.8.11", "6.8.12"], "6.8.1", "", ["6.8.12", "6.8.11"]),
        # the one that is being installed, though it is older
        (
            ["6.2.1", "6.5.1", "6.8.1", "6.8.2"],
            "6.8.2",
            "6.2.1",
            ["6.8.2", "6.8.1", "6.5.1", "6.2.1"],
        ),
        # one series only
        (["6.8.9", "6.8.10"], "6.8.10", "", ["6.8.10", "6.8.9"]),
        # the two latest are the two latest series
        (["5.4.1", "6.5.1", "6.8.1"], "gone", "", ["6.8.1", "6.5.1"]),
        ([], "gone", "", []),
    ],
)
def test_what_is_kept(available, running, installing, kept):
    assert kernels.automatic(available, running, installing) == kept


def test_a_kernel_is_complete_with_initrd_and_modules(host):
    host.install("6.9.1-1-pve")
    (host.root / "boot/initrd.img-6.9.1-1-pve").unlink()
    host.install("6.9.2-1-pve")
    (host.root / "lib/modules/6.9.2-1-pve").rmdir()
    host.install("6.9.3-1-pve")
    (host.root / "boot/initrd.img-6.9.3-1-pve").write_text("")
    for name in ("", "a b", "lts", "6.9.3-1-pve.dpkg-new", "6.9.3.old", "6.9.3.bak"):
        host.write(f"boot/vmlinuz-{name}", "no version of a kernel")

    found = kernels.installed(host.paths)

    assert found.versions == ["6.8.12-4-pve", "6.8.4-2-pve", "6.5.13-6-pve"]
    assert found.incomplete == {
        "6.9.1-1-pve": f"there is no {host.root}/boot/initrd.img-6.9.1-1-pve",
        "6.9.2-1-pve": f"there is no {host.root}/lib/modules/6.9.2-1-pve",
        "6.9.3-1-pve": f"{host.root}/boot/initrd.img-6.9.3-1-pve is empty",
    }
    with pytest.raises(NotFound, match="not complete"):
        found.find("6.9.1-1-pve")
    with pytest.raises(NotFound, match="not installed"):
        found.find("6.9.9")


@pytest.mark.parametrize("version", ["6.1.0-rc4+", "5.10.0-custom~1", "6.9.0+3", "6.12-rc1_A"])
def test_unusual_versions(host, version):
    host.install(version)
    assert kernels.installed(host.paths).find(version).version == version


def test_no_kernel_at_all(host):
    for path in (host.root / "boot").iterdir():
        path.unlink()
    with pytest.raises(NotFound, match="no complete kernel"):
        choice.plan(host.paths)


def test_the_plan_follows_pins_and_manual_kernels(host):
    host.install("5.15.30-1-pve")
    assert choice.plan(host.paths).plan.default == "6.8.12-4-pve"
    assert not choice.plan(host.paths).plan.pinned

    choice.add(host.paths, "5.15.30-1-pve")
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=False)
    choice.pin(host.paths, "6.8.4-2-pve", next_boot=True)
    plan = choice.plan(host.paths).plan

    assert [kernel.version for kernel in plan.kernels] == [
        "6.8.12-4-pve",
        "6.8.4-2-pve",
        "6.5.13-6-pve",
        "5.15.30-1-pve",
    ]
    assert (plan.default, plan.next_boot, plan.pinned) == ("6.5.13-6-pve", "6.8.4-2-pve", True)
    assert plan.cmdline == "root=/dev/sda3 quiet"
    for path, text in (
        (host.paths.pinned_kernel, "6.5.13-6-pve\n"),
        (host.paths.next_boot_kernel, "6.8.4-2-pve\n"),
        (host.paths.manual_kernels, "5.15.30-1-pve\n"),
    ):
        assert path.read_text() == text


def test_a_pin_to_a_kernel_that_is_gone_is_a_warning(host):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=False)
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    host.remove("6.5.13-6-pve")

    planned = choice.plan(host.paths)

    assert planned.plan.default == "6.8.12-4-pve"
    assert planned.plan.next_boot is None
    assert not planned.plan.pinned
    assert len(planned.warnings) == 2
    assert "6.8.12-4-pve is the default" in planned.warnings[0]


def test_what_is_not_installed_cannot_be_chosen(host):
    for refused in (
        lambda: choice.add(host.paths, "9.9"),
        lambda: choice.pin(host.paths, "9.9", next_boot=False),
        lambda: choice.pin(host.paths, "6.8.12-4", next_boot=True),
    ):
        with pytest.raises(NotFound):
            refused()
    assert not list(host.paths.kernel_dir.glob("*pin")) + list(
        host.paths.kernel_dir.glob("*manual*")
    )


# --- the one-shot ------------------------------------------------------------------------------------


def test_a_one_shot_is_forgotten_with_the_next_boot(host):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    assert choice.settle(host.paths) is None
    assert choice.load(host.paths).next_boot == "6.5.13-6-pve"

    host.boot(2)

    assert choice.load(host.paths).next_boot is None, "whoever looks knows, before anybody settles"
    assert choice.settle(host.paths) == "6.5.13-6-pve"
    assert not host.paths.next_boot_kernel.exists()
    assert choice.settle(host.paths) is None


def test_a_one_shot_of_another_tool_counts_from_when_it_is_seen(host):
    host.paths.next_boot_kernel.write_text("6.5.13-6-pve\n")
    assert choice.settle(host.paths) is None
    host.boot(2)
    assert choice.settle(host.paths) == "6.5.13-6-pve"


def test_a_one_shot_of_another_tool_counts_though_the_same_kernel_was_one_before(host):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    host.boot(2)
    host.paths.next_boot_kernel.unlink()  # proxmox-boot-cleanup.service has settled it
    host.paths.next_boot_kernel.write_text("6.5.13-6-pve\n")
    assert choice.load(host.paths).next_boot == "6.5.13-6-pve"
    assert choice.settle(host.paths) is None
    host.boot(3)
    assert choice.settle(host.paths) == "6.5.13-6-pve"


def test_a_one_shot_that_another_tool_took_back_leaves_no_note(host):
    note = host.paths.boot_state / "next-boot.json"
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    unit = hooks.texts("pvefw")["pvefw-boot-cleanup.service"]
    for path in (note, host.paths.next_boot_kernel):
        assert path.exists()
        assert f"ConditionPathExists=|/{path.relative_to(host.root)}\n" in unit
    host.paths.next_boot_kernel.unlink()
    assert choice.settle(host.paths) is None
    assert not note.exists(), "or the unit would run after every boot"


def test_unpin_takes_both_pins_back_or_only_the_next_one(host):
    for next_boot, left in ((True, "6.8.4-2-pve"), (False, None)):
        choice.pin(host.paths, "6.8.4-2-pve", next_boot=False)
        choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
        assert choice.unpin(host.paths, next_boot=next_boot)
        chosen = choice.load(host.paths)
        assert (chosen.pinned, chosen.next_boot) == (left, None)


def test_a_one_shot_that_is_set_again_counts_again(host):
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    host.boot(2)
    choice.pin(host.paths, "6.5.13-6-pve", next_boot=True)
    assert choice.settle(host.paths) is None
    assert choice.unpin(host.paths, next_boot=True)
    assert not choice.unpin(host.paths, next_boot=True)


# --- the files ------------------------------------------------------------------------------------------


def test_comments_and_line_ends_of_a_list_survive(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"# mine\r\n6.8.1\r\n\r\n  6.5.1  \r\n6.8.1\r\nlast")
    assert kernel_files.entries(path) == ["6.8.1", "6.5.1", "last"]
    assert kernel_files.add(path, "new")
    assert not kernel_files.add(path, "6.5.1")
    assert kernel_files.remove(path, ["6.8.1"])
    assert not kernel_files.remove(path, ["6.8"])
    assert path.read_bytes() == b"# mine\r\n\r\n  6.5.1  \r\nlast\nnew\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"quiet splash\n", "no root="),
        (b"root= quiet\n", "no root="),
        (b"notroot=x\n", "no root="),
        (b"root=\xff\n", "printable"),
        (b"root=x\0y\n", "printable"),
        (b"root=x \x1b[31m\n", "printable"),
    ],
)
def test_a_command_line_that_no_kernel_could_start_with(host, content, said):
    host.paths.cmdline.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        choice.plan(host.paths)
    assert str(host.paths.cmdline) in caught.value.message
    assert caught.value.hint


def test_without_a_file_the_running_command_line_counts(host, monkeypatch, tmp_path):
    monkeypatch.setattr(cmdline, "running", lambda: ["root=UUID=1234", "ro", "quiet"])
    monkeypatch.setattr(cmdline, "runs_from", lambda _root: True)
    host.paths.cmdline.unlink()
    assert cmdline.wanted(host.paths).text == "root=UUID=1234 ro quiet"
    host.paths.cmdline.write_text("\n \n")
    assert cmdline.wanted(host.paths).text == "root=UUID=1234 ro quiet"


def test_a_rescue_systems_own_command_line_reaches_no_esp(host, monkeypatch):
    monkeypatch.setattr(cmdline, "running", lambda: ["root=/dev/sr0", "rescue"])
    host.paths.cmdline.unlink()
    with pytest.raises(ConfigError, match="to another system") as caught:
        choice.plan(host.paths)
    assert "boot cmdline set" in caught.value.hint


@only_root("changes its root directory")
def test_a_chroot_is_told_from_the_running_system(tmp_path):
    (tmp_path / "proc").mkdir()
    code = (
        "import os, sys; from pathlib import Path; from pvefw.boot import cmdline\n"
        "before = cmdline.runs_from(Path('/'))\n"
        "os.chroot(sys.argv[1])\n"
        "print(before, cmdline.runs_from(Path('/')), flush=True)\n"
        "os._exit(0)"  # whoever measures coverage cannot write it there
    )
    # the shell is process 1 there, and stays where it is; the colon keeps it from becoming python
    script = 'mount -t proc proc "$1/proc" && "$0" -c "$2" "$1"; :'
    alone = ["unshare", "--mount", "--pid", "--fork"]
    done = subprocess.run(
        [*alone, "sh", "-c", script, sys.executable, tmp_path, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True False\n", "")


@pytest.mark.parametrize(
    "name", ["proxmox-boot-pin", "next-boot-pin", "proxmox-boot-manual-kernels"]
)
@pytest.mark.parametrize("content", ["../../etc/passwd\n", "a b\n", "-rf\n"])
def test_what_is_no_version_is_ignored_with_a_warning(host, name, content):
    host.write(f"etc/kernel/{name}", content)
    heard = []
    with oddities.listening(heard.append):
        chosen = choice.load(host.paths)
    assert chosen == choice.Choice([])
    assert f"{name}: '{content.strip()}' is not the version of a kernel" in heard[0]
    assert "pvefw boot kernel " in heard[0]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"root=/dev/sda3 ro\r\n", "root=/dev/sda3 ro", "carriage returns"),
        (b"root=/dev/sda3\nquiet\n", "root=/dev/sda3 quiet", "2 lines"),
    ],
)
def test_a_command_line_of_an_odd_form_is_used_with_a_warning(host, content, line, said):
    host.paths.cmdline.write_bytes(content)
    heard = []
    with oddities.listening(heard.append):
        assert choice.plan(host.paths).plan.cmdline == line
    assert said in heard[0]
    assert str(host.paths.cmdline) in heard[0]
