"""The menu of a synced ESP: what grub-mkconfig would write, and what GRUB would start."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.grub_script import Grub as Player

from pvefw.api import ProviderError
from pvefw.testing.boot import bring
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub
from pvefw_bootloader_grub.menu import parse

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"
CONFIG = PurePosixPath("grub/grub.cfg")


def check(config, tmp_path):
    """GRUB's own parser takes it."""
    path = tmp_path / "checked.cfg"
    path.write_bytes(config)
    done = subprocess.run(["grub-script-check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + config.decode()


@pytest.fixture
def render(esp, tmp_path):
    def render(plan):
        tree = Grub().boot_render(esp, plan)
        check(tree.texts[CONFIG], tmp_path)
        return tree

    return render


@pytest.fixture
def text(render, make_plan):
    """The menu for these settings."""
    return lambda settings, **rest: (
        render(make_plan(NEW, OLD, settings=settings, **rest)).texts[CONFIG].decode()
    )


@pytest.fixture
def boots(render, make_plan, esp):
    """What starts with these settings."""

    def boots(settings="", **rest):
        for _ in bring(esp.mountpoint, render(make_plan(NEW, OLD, settings=settings, **rest))):
            pass
        return Player(esp.mountpoint).start()

    return boots


def write_custom(plan, text):
    path = plan.root / "etc/grub.d/40_custom"
    path.write_text(text)
    path.chmod(0o755)


# --- beside the real grub-mkconfig


def flat(entries, root, path=()):
    """Titles, ids, options and initrds of a menu, whatever its root file system is called."""
    for entry in entries:
        here = (*path, entry.title, entry.id.replace(root, "ROOT"))
        options = [option for option in entry.options if option != "root=/dev/sda2"]
        yield here, entry.version, options, [initrd.rpartition("/")[2] for initrd in entry.initrds]
        yield from flat(entry.children, root, here)


@pytest.mark.parametrize(
    "settings",
    [
        "",
        'GRUB_DISTRIBUTOR="Proxmox VE"\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        'GRUB_CMDLINE_LINUX="root=ZFS=rpool/ROOT/pve-1 boot=zfs"\n',
        'GRUB_CMDLINE_LINUX="a=1"\nGRUB_CMDLINE_LINUX_DEFAULT="b=2"\nGRUB_DISABLE_RECOVERY=true\n',
        "GRUB_DISABLE_SUBMENU=y\nGRUB_RECOVERY_TITLE='rescue me'\n",
        'GRUB_CMDLINE_LINUX=\'dyndbg="file a.c +p" memmap=10M\\$0x40 a=\\"b\\" c=d\\ e\'\n',
        'GRUB_DISTRIBUTOR="It\'s $(echo mine)"\nGRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true\n',
        "GRUB_EARLY_INITRD_LINUX_CUSTOM='acpi.img'\nGRUB_GFXPAYLOAD_LINUX=text\n",
    ],
)
def test_the_menu_is_that_of_grub_mkconfig(grub_host, make_plan, render, settings):
    grub_host.kernels(NEW, OLD)
    grub_host.settings(settings)
    plan = make_plan(NEW, OLD, settings=settings, title="GNU/Linux")
    for boot in (grub_host.boot, plan.root / "boot"):
        for name in ("acpi.img", "microcode.cpio"):
            (boot / name).write_text("cpio")
    (plan.root / "etc/grub.d").mkdir(parents=True, exist_ok=True)
    shutil.copy("/etc/grub.d/10_linux", plan.root / "etc/grub.d")  # it has options of its own

    theirs = parse(grub_host.update_grub())
    ours = parse(render(plan).texts[CONFIG].decode())

    for menu in (ours, theirs):  # the firmware's settings, which theirs has on some machines only
        menu.entries[:] = [entry for entry in menu.entries if entry.id != "uefi-firmware"]
    assert list(flat(ours.entries, "pvefw")) == list(flat(theirs.entries, grub_host.uuid))
    assert ours.saved == theirs.saved


# --- what starts


def test_the_root_comes_from_the_plan_and_the_rest_from_grubs_settings(boots):
    cmdline = "root=ZFS=rpool/ROOT/pve-1 boot=zfs rootflags=x BOOT_IMAGE=/old quiet initrd=/x"
    started = boots(
        "GRUB_CMDLINE_LINUX='a=1'\nGRUB_CMDLINE_LINUX_DEFAULT=b",
        cmdline=cmdline,
        running_cmdline=True,
    )
    assert started.cmdline == "root=ZFS=rpool/ROOT/pve-1 boot=zfs rootflags=x ro a=1 b"


_ROOT = (
    "root=ZFS=rpool/ROOT/pve-1 boot=zfs zfsforce=1 rootzfsflags=ro cryptopts=target=a,source=b "
    "rd.luks.uuid=1 rd.luks.uuid=2 rd.lvm.lv=pve/root rd.lvm.lv=pve/swap"
)


@pytest.mark.parametrize("running", [False, True])
def test_nothing_that_finds_the_root_vanishes(boots, running):
    started = boots("", cmdline=_ROOT, running_cmdline=running)
    assert started.cmdline == f"{_ROOT} ro"


def test_nothing_vanishes_of_what_is_written_down(render, make_plan, boots):
    written = "root=/dev/a console=ttyS0 console=tty0 intel_iommu=on rw quiet"
    assert boots("GRUB_CMDLINE_LINUX=a", cmdline=written).cmdline == (
        "root=/dev/a console=ttyS0 console=tty0 intel_iommu=on quiet rw a"
    )
    settings = "GRUB_CMDLINE_LINUX='intel_iommu=off console=tty0'\n"
    tree = render(make_plan(NEW, settings=settings, cmdline=written))
    assert [warning.split()[1] for warning in tree.warnings] == ["console=ttyS0", "intel_iommu=on"]
    same = make_plan(NEW, settings=settings, cmdline="root=/a intel_iommu=off")
    assert render(same).warnings == []


@pytest.mark.parametrize(
    "settings",
    [
        'GRUB_CMDLINE_LINUX="root=UUID=$UNSET ro"\n',
        'GRUB_CMDLINE_LINUX_DEFAULT="quiet root=$UNSET"\n',
        "GRUB_CMDLINE_LINUX='root=LABEL='\n",
        "GRUB_CMDLINE_LINUX='root=ZFS='\n",
    ],
)
def test_a_root_that_names_nothing_is_refused_with_its_line(make_plan, esp, settings):
    with pytest.raises(ProviderError, match="names no file system") as caught:
        Grub().boot_render(esp, make_plan(NEW, settings=settings, cmdline="root=/dev/good"))
    assert "/etc/default/grub: GRUB_CMDLINE_LINUX" in caught.value.message


def test_a_root_in_grubs_settings_wins(boots):
    started = boots("GRUB_CMDLINE_LINUX='root=/dev/b rw'", cmdline="root=/dev/a rootwait")
    assert started.cmdline == "rootwait root=/dev/b rw"


def test_recovery_has_its_own_options(boots):
    settings = "GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\nGRUB_DEFAULT='1>1'\n"
    assert boots(settings).cmdline == "root=/dev/sda2 ro single a"
    settings += "GRUB_CMDLINE_LINUX_RECOVERY='recovery nomodeset'\n"
    assert boots(settings).cmdline == "root=/dev/sda2 ro recovery nomodeset a"


@pytest.mark.parametrize(
    "wanted",
    [
        "1>2",
        f"gnulinux-advanced-1234>gnulinux-{OLD}-advanced-1234",
        f"gnulinux-{OLD}-advanced-1234-5678",
        f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {OLD}",
        f"Proxmox VE GNU/Linux, with Linux {OLD}",
        f"gnulinux-advanced-pvefw>gnulinux-{OLD}-advanced-pvefw",
    ],
)
def test_grub_default_names_a_kernel(boots, wanted):
    started = boots(f"GRUB_DEFAULT='{wanted}'")
    assert started.linux[0] == f"/vmlinuz-{OLD}"
    assert "single" not in started.linux


def test_a_greater_than_sign_in_a_title_is_doubled_in_a_path(boots):
    path = f"Advanced options for a > b GNU/Linux>a > b GNU/Linux, with Linux {OLD}"
    doubled = path.replace("a > b", "a >> b")
    started = boots(f"GRUB_DISTRIBUTOR='a > b'\nGRUB_DEFAULT='{doubled}'")
    assert started.linux[0] == f"/vmlinuz-{OLD}"


@pytest.mark.parametrize(
    "wanted", ["0", "gnulinux-simple-1234", "1>0", "Proxmox", "gnulinux-simple-pvefw"]
)
def test_grub_default_names_what_is_first(boots, wanted):
    assert boots(f"GRUB_DEFAULT='{wanted}'").linux[0] == f"/vmlinuz-{NEW}"


def test_a_pin_wins_over_grub_default(boots):
    assert boots("GRUB_DEFAULT='1>2'", pinned=True).linux[0] == f"/vmlinuz-{NEW}"
    assert boots("GRUB_DEFAULT=saved", pinned=True, default=OLD).linux[0] == f"/vmlinuz-{OLD}"


@pytest.mark.parametrize("wanted", ["Windows", "7", "1", "1>9", "uefi-firmware", "gnulinux-1-x"])
def test_grub_default_names_nothing(boots, render, make_plan, wanted):
    plan = make_plan(NEW, OLD, settings=f"GRUB_DEFAULT='{wanted}'")
    (warning,) = render(plan).warnings
    assert warning == f"GRUB_DEFAULT={wanted} names no kernel's entry; booting {NEW}"
    assert boots(f"GRUB_DEFAULT='{wanted}'").linux[0] == f"/vmlinuz-{NEW}"


def test_without_a_submenu(boots):
    assert boots("GRUB_DISABLE_SUBMENU=true", default=OLD).linux[0] == f"/vmlinuz-{OLD}"


def test_saved_and_savedefault(boots, esp):
    settings = "GRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true\n"
    assert boots(settings).linux[0] == f"/vmlinuz-{NEW}"
    environment = esp.mountpoint / "grub/grubenv"
    subprocess.run(["grub-editenv", environment, "create"], check=True)
    chosen = f"gnulinux-advanced-pvefw>gnulinux-{OLD}-advanced-pvefw"
    subprocess.run(["grub-editenv", environment, "set", f"saved_entry={chosen}"], check=True)
    assert boots(settings).linux[0] == f"/vmlinuz-{OLD}"
    assert boots("GRUB_DEFAULT=0").linux[0] == f"/vmlinuz-{NEW}"
    assert chosen in environment.read_text()


# --- one boot


@pytest.fixture
def task():
    return FakeTask()


@pytest.fixture
def armed(render, make_plan, esp, task):
    """An ESP on which the old kernel is to boot once."""
    plan = make_plan(NEW, OLD, next_boot=OLD)
    for _ in bring(esp.mountpoint, render(plan)):
        pass
    Grub().boot_arm(esp, plan, task)
    return plan


def test_a_kernel_boots_once(armed, esp):
    first, second = Player(esp.mountpoint).start(), Player(esp.mountpoint).start()
    assert [boot.linux[0] for boot in (first, second)] == [f"/vmlinuz-{OLD}", f"/vmlinuz-{NEW}"]


def test_what_could_not_be_forgotten_is_not_booted(armed, esp):
    for _ in range(2):
        started = Player(esp.mountpoint, writable=False).start()
        assert started.linux[0] == f"/vmlinuz-{NEW}"


def test_one_boot_does_not_become_the_saved_default(render, make_plan, esp, task):
    settings = "GRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true\n"
    plan = make_plan(NEW, OLD, settings=settings, next_boot=OLD)
    for _ in bring(esp.mountpoint, render(plan)):
        pass
    Grub().boot_arm(esp, plan, task)
    first, second = Player(esp.mountpoint).start(), Player(esp.mountpoint).start()
    assert [boot.linux[0] for boot in (first, second)] == [f"/vmlinuz-{OLD}", f"/vmlinuz-{NEW}"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 1024, b"# GRUB Environment Block\nnext_entry=1"])
def test_a_damaged_environment_block_boots_the_default_and_is_mended(armed, esp, task, damage):
    (esp.mountpoint / "grub/grubenv").write_bytes(damage)
    assert Player(esp.mountpoint).start().linux[0] == f"/vmlinuz-{NEW}"
    Grub().boot_arm(esp, armed, task)
    assert Player(esp.mountpoint).start().linux[0] == f"/vmlinuz-{OLD}"


@pytest.mark.parametrize("settings", ["", "GRUB_DISABLE_SUBMENU=y\n"])
@pytest.mark.parametrize(("default", "position"), [(NEW, 0), (OLD, 2)])
def test_what_cannot_be_loaded_once_gives_way_to_the_default(text, settings, default, position):
    """GRUB counts among the siblings of the entry that failed; here each has a recovery mode."""
    menu = text(settings, default=default)
    assert f"    set fallback={position}\n    export fallback\n" in menu


def test_nothing_to_disarm_writes_nothing(make_plan, esp, task):
    Grub().boot_arm(esp, make_plan(NEW), task)
    assert list(esp.mountpoint.iterdir()) == []


# --- every variable


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ("", ["set timeout_style=menu", "set timeout=5", "  terminal_output gfxterm"]),
        ("GRUB_TIMEOUT=-1", ["set timeout=-1"]),
        (
            "GRUB_TIMEOUT=0\nGRUB_TIMEOUT_STYLE=hidden",
            ["set timeout_style=hidden", "set timeout=0"],
        ),
        ("GRUB_HIDDEN_TIMEOUT=2\nGRUB_TIMEOUT=0", ["set timeout_style=countdown", "set timeout=2"]),
        (
            "GRUB_HIDDEN_TIMEOUT=2\nGRUB_HIDDEN_TIMEOUT_QUIET=true",
            ["set timeout_style=hidden", "set timeout=2"],
        ),
        (
            'GRUB_TERMINAL="console serial"\nGRUB_SERIAL_COMMAND="serial --unit=1 --speed=115200"',
            [
                "serial --unit=1 --speed=115200",
                "terminal_input console serial",
                "terminal_output console serial",
            ],
        ),
        ("GRUB_TERMINAL_INPUT=at_keyboard", ["terminal_input at_keyboard"]),
        ("GRUB_TERMINAL_OUTPUT=console", ["terminal_output console"]),
        ("GRUB_GFXMODE=1024x768,auto", ["  set gfxmode=1024x768,auto"]),
        ("GRUB_GFXPAYLOAD_LINUX=keep", ["\tset gfxpayload=keep", "\tload_video"]),
        ("GRUB_VIDEO_BACKEND=vbe", ["  insmod vbe"]),
        ("GRUB_PRELOAD_MODULES='lvm raid'", ["insmod lvm", "insmod raid"]),
        ("GRUB_INIT_TUNE='480 440 1'", ["play 480 440 1"]),
        ("GRUB_BADRAM=0x1,0xf", ["badram 0x1,0xf"]),
    ],
)
def test_a_variable(text, settings, lines):
    written = text(settings).splitlines()
    assert [line for line in lines if line not in written] == []


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ("GRUB_TIMEOUT=soon", "GRUB_TIMEOUT=soon is not a number of seconds; using 5"),
        ("GRUB_TIMEOUT_STYLE=off", "GRUB_TIMEOUT_STYLE=off is none of menu, countdown, hidden"),
        ("GRUB_TERMINAL='console;reboot'", "console;reboot: no terminal of GRUB"),
        ("GRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND='serial \"'", "GRUB_SERIAL_COMMAND: a quote"),
        ("GRUB_BACKGROUND=/etc/default/grub", "it is none of .png"),
        ("GRUB_BACKGROUND=/no.png", "there is no such file"),
        ("GRUB_THEME=/boot/grub/theme.txt", "GRUB_THEME is not supported on an ESP"),
        ("GRUB_DEVICE=/dev/sda1", "GRUB_DEVICE is not supported on an ESP"),
        ("GRUB_BUTTON_CMOS_ADDRESS=76:5", "GRUB_BUTTON_CMOS_ADDRESS is not supported on an ESP"),
    ],
)
def test_what_cannot_be_honoured_is_said(render, make_plan, settings, warning):
    warnings = render(make_plan(NEW, settings=settings)).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]


def test_pictures_and_early_initrds_are_copied(render, make_plan):
    settings = (
        "GRUB_BACKGROUND=/usr/share/back.PNG\nGRUB_EARLY_INITRD_LINUX_CUSTOM='mine.img none.img'\n"
    )
    plan = make_plan(NEW, settings=settings)
    picture = plan.root / "usr/share/back.PNG"
    picture.parent.mkdir(parents=True)
    picture.write_text("png")
    for name in ("mine.img", "intel-ucode.img"):
        (plan.root / "boot" / name).write_text("cpio")
    tree = render(plan)
    assert tree.copies[PurePosixPath("grub/background.png")] == picture
    assert tree.copies[PurePosixPath("grub/early/mine.img")] == plan.root / "boot/mine.img"
    written = tree.texts[CONFIG].decode()
    assert "background_image -m stretch $prefix/background.png" in written
    first = f"initrd /grub/early/intel-ucode.img /grub/early/mine.img /initrd.img-{NEW}"
    assert first in written


def test_a_quote_that_is_not_closed_is_refused(esp, make_plan):
    with pytest.raises(ProviderError, match="GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub"):
        Grub().boot_render(esp, make_plan(NEW, settings='GRUB_CMDLINE_LINUX_DEFAULT="it\'s"'))


# --- the administrator's own entries


def test_custom_entries_come_along_in_a_file_of_their_own(render, make_plan, esp):
    plan = make_plan(NEW)
    (plan.root / "etc/grub.d").mkdir(parents=True)
    write_custom(plan, "#!/bin/sh\nexec tail -n +3 $0\n# This file\nmenuentry 'Rescue' { true; }\n")
    (plan.root / "boot/grub").mkdir(parents=True)
    (plan.root / "boot/grub/custom.cfg").write_text("set timeout=77\n")
    (plan.root / "etc/grub.d/50_mine").write_text("#!/bin/sh\n")
    (plan.root / "etc/grub.d/50_mine").chmod(0o755)
    (plan.root / "etc/grub.d/10_linux").write_text("#!/bin/sh\n")
    (plan.root / "etc/grub.d/10_linux").chmod(0o755)
    tree = render(plan)
    target = PurePosixPath("grub/custom-host.cfg")
    assert tree.texts[target] == b"# This file\nmenuentry 'Rescue' { true; }\n\nset timeout=77\n"
    assert list(tree.texts) == [target, CONFIG]
    assert str(target) in tree.owned
    assert "source $prefix/custom-host.cfg" in tree.texts[CONFIG].decode()
    (warning,) = tree.warnings
    assert "50_mine is not run for an ESP" in warning


def put_custom(plan, text):
    (plan.root / "boot/grub").mkdir(parents=True, exist_ok=True)
    (plan.root / "boot/grub/custom.cfg").write_text(text)


def bring_all(esp, tree):
    for _ in bring(esp.mountpoint, tree):
        pass


@pytest.mark.parametrize("chosen", ["1>2", "1>gnulinux-{old}-advanced-pvefw", "gone"])
def test_a_default_in_custom_entries_is_seen_and_a_pin_comes_before_it(
    render, make_plan, esp, chosen
):
    plan = make_plan(NEW, OLD)
    put_custom(plan, f"set default='{chosen.format(old=OLD)}'\n")
    put_loader(esp)
    bring_all(esp, render(plan))
    boots = Player(esp.mountpoint).start().linux[0].removeprefix("/vmlinuz-")
    assert Grub().boot_probe(esp).default == (boots if chosen != "gone" else None)

    bring_all(esp, render(replace(plan, default=OLD, pinned=True)))
    assert Player(esp.mountpoint).start().linux[0] == f"/vmlinuz-{OLD}"
    assert Grub().boot_probe(esp).default == OLD


def test_a_default_that_is_no_kernel_is_named(render, make_plan, esp):
    plan = make_plan(NEW, OLD)
    put_custom(plan, "menuentry 'Windows' --id win {\n  exit\n}\nset default=win\n")
    put_loader(esp)
    bring_all(esp, render(plan))
    assert Grub().boot_probe(esp).default == "Windows"

    bring_all(esp, render(replace(plan, pinned=True)))
    assert Grub().boot_probe(esp).default == NEW


def test_a_boot_that_happens_once_comes_before_a_default_in_custom_entries(render, make_plan, esp):
    plan = make_plan(NEW, OLD, next_boot=OLD)
    put_custom(plan, "set default=0\n")
    bring_all(esp, render(plan))
    Grub().boot_arm(esp, plan, FakeTask())
    assert [Player(esp.mountpoint).start().linux[0] for _ in range(2)] == [
        f"/vmlinuz-{OLD}",
        f"/vmlinuz-{NEW}",
    ]


def put_loader(esp):
    for name in ("EFI/proxmox/grubx64.efi", "grub/x86_64-efi/normal.mod"):
        (esp.mountpoint / name).parent.mkdir(parents=True, exist_ok=True)
        (esp.mountpoint / name).write_text("GRUB")


@pytest.mark.parametrize("line", ["GRUB_DEFAULT=1>2", "export GRUB_DEFAULT=1>2 # third"])
def test_a_default_without_quotes_is_what_was_meant(render, make_plan, esp, line):
    tree = render(make_plan(NEW, OLD, settings=f"{line}\n"))
    [warning] = tree.warnings
    assert "GRUB_DEFAULT needs quotes" in warning
    put_loader(esp)
    bring_all(esp, tree)
    assert Player(esp.mountpoint).start().linux[0] == f"/vmlinuz-{OLD}"
    assert Grub().boot_probe(esp).default == OLD


def test_a_screen_has_its_keyboard_beside_a_serial_line(text):
    made = text('GRUB_TERMINAL="gfxterm serial"\n')
    assert "terminal_input console serial\n" in made
    assert "terminal_output gfxterm serial\n" in made


def test_without_custom_entries_there_is_no_such_file(render, make_plan):
    plan = make_plan(NEW)
    (plan.root / "etc/grub.d").mkdir(parents=True)
    write_custom(plan, "#!/bin/sh\nexec tail -n +3 $0\n# This\n")
    assert list(render(plan).texts) == [CONFIG]


def test_a_custom_program_is_reported(render, make_plan):
    plan = make_plan(NEW)
    (plan.root / "etc/grub.d").mkdir(parents=True)
    write_custom(plan, "#!/bin/sh\ncat <<EOF\nEOF\n")
    (warning,) = render(plan).warnings
    assert "40_custom is a program of its own" in warning


def test_what_grub_mkconfig_would_not_run_is_passed_over(render, make_plan):
    """Grub Customizer keeps folders there, and administrators keep copies."""
    plan = make_plan(NEW)
    folder = plan.root / "etc/grub.d"
    (folder / "proxifiedScripts").mkdir(parents=True)
    for name in ("#40_mine#", "README.md", "10_linux.dpkg-old.1", "40_mine.sig", "40_mine.rpmsave"):
        (folder / name).write_text("#!/bin/sh\nset superusers=root; nonsense\n")
        (folder / name).chmod(0o755)
    tree = render(plan)
    assert list(tree.texts) == [CONFIG]
    assert list(tree.warnings) == []


def test_a_mistake_in_custom_entries_costs_only_them(render, make_plan, esp):
    plan = make_plan(NEW)
    (plan.root / "boot/grub").mkdir(parents=True)
    (plan.root / "boot/grub/custom.cfg").write_text("menuentry 'not closed {\n")
    for _ in bring(esp.mountpoint, render(plan)):
        pass
    assert Player(esp.mountpoint).start().linux[0] == f"/vmlinuz-{NEW}"


# --- whatever is in the values

ANY = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
NASTY = st.text("'\"\\$;|&<>{}[]#`~ !()*?aü=\n", max_size=30)
NAMES = st.sampled_from(
    (
        "CMDLINE_LINUX_DEFAULT",
        "CMDLINE_LINUX",
        "DISTRIBUTOR",
        "DEFAULT",
        "TIMEOUT",
        "GFXMODE",
        "SERIAL_COMMAND",
        "TERMINAL",
        "RECOVERY_TITLE",
        "GFXPAYLOAD_LINUX",
        "INIT_TUNE",
        "PRELOAD_MODULES",
        "BADRAM",
        "VIDEO_BACKEND",
        "CMDLINE_LINUX_RECOVERY",
        "BACKGROUND",
        "TIMEOUT_STYLE",
        "DISABLE_SUBMENU",
    )
)


@settings(
    max_examples=settings.default.max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    values=st.dictionaries(NAMES, ANY | NASTY, max_size=6),
    title=ANY | NASTY,
    cmdline=(ANY | NASTY).map(lambda text: f"root=/dev/x {text}"),
)
def test_any_value_gives_a_menu_that_boots_the_kernel(
    make_plan, esp, tmp_path, monkeypatch, values, title, cmdline
):
    chosen = {f"GRUB_{name}": value for name, value in values.items() if value}
    monkeypatch.setattr("pvefw_bootloader_grub.defaults.read", lambda root: (chosen, []))
    plan = replace(make_plan(NEW, cmdline=cmdline, default=NEW), title=title, pinned=True)
    try:
        tree = Grub().boot_render(esp, plan)
    except ProviderError as error:
        assert "a quote is not closed" in error.message
        return
    check(tree.texts[CONFIG], tmp_path)
    for _ in bring(esp.mountpoint, tree):
        pass
    started = Player(esp.mountpoint).start()
    assert started.linux[0] == f"/vmlinuz-{NEW}"
    assert re.search(r"(^|[ \"])root=", started.cmdline)
    assert started.initrds == [f"/initrd.img-{NEW}"]
