"""``/etc/default/grub`` as images and hosters ship it, with drop-ins: beside the real grub-mkconfig."""

import shutil
from pathlib import PurePosixPath

import pytest

from pvefw.api import ProviderError
from pvefw_bootloader_grub import Grub, custom, grubenv
from pvefw_bootloader_grub.menu import parse

NEW, OLD = "6.8.12-4-pve", "6.5.13-6-pve"
CONFIG = PurePosixPath("grub/grub.cfg")

HOSTS = {
    "debian's cloud image": {
        "": "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\n"
        "GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n"
        'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX=""\n'
        "# You can also use\n#GRUB_TERMINAL=console\n",
        "10_cloud": 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 '
        'earlyprintk=ttyS0,115200 consoleblank=0"\n',
        "15_timeout": "GRUB_TIMEOUT=0\n",
    },
    "ubuntu's cloud image": {
        "": "GRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=0\n",
        "50-cloudimg-settings": "# Cloud Image specific Grub settings\nGRUB_RECORDFAIL_TIMEOUT=0\n"
        'GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"\n'
        'GRUB_TERMINAL=console\nGRUB_DISTRIBUTOR="Ubuntu"\n',
    },
    "a hoster's serial line": {
        "": "GRUB_DISABLE_LINUX_UUID=true\nGRUB_TERMINAL='serial console'\n"
        'GRUB_SERIAL_COMMAND="serial --speed=115200 --unit=0 --word=8 --parity=no --stop=1"\n'
        'GRUB_CMDLINE_LINUX="nomodeset iommu=pt console=tty0 console=ttyS0,115200n8"\n',
        "hetzner": "GRUB_HIDDEN_TIMEOUT_QUIET=false\n"
        'GRUB_CMDLINE_LINUX_DEFAULT="consoleblank=0 nomodeset"\n',
    },
    "dracut and LUKS": {
        "": 'GRUB_CMDLINE_LINUX="rd.luks.name=0a-1=cr root=/dev/mapper/vg-root '
        'rd.luks.options=discard,tpm2-device=auto rd.lvm.lv=vg/root"\n'
        "GRUB_ENABLE_CRYPTODISK=y\n",
    },
    "added by packages": {
        "": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        "kdump-tools": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT '
        'crashkernel=0M-2G:128M,2G-6G:256M,6G-:512M"\n',
        "init-select": "# Work around a bug\nif [ -e /nowhere ]; then\n"
        '  GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT init=/lib/sysvinit/init"\nfi\n',
        "apparmor": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT apparmor=0"\n',
    },
    "a hidden drop-in": {
        "": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        ".99-old": 'GRUB_CMDLINE_LINUX_DEFAULT="single"\nGRUB_DISABLE_SUBMENU=y\n',
    },
    "the order of drop-ins": {
        "": "",
        "10_a": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a"\n',
        "10-b": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"\n',
        "B": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX c"\n',
        "a": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX d"\n',
        "ä b": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX e"\n',
    },
    "debian 13's name": {
        "": "GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`\n"
        'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'
    },
    "a script": {
        "": "add() { for w; do\n"
        'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX${GRUB_CMDLINE_LINUX:+ }$w"; done; }\n'
        "add 'mitigations=auto,nosmt' \\\n  hugepages=8\n"
        'case "$(uname -m)" in x86_64) add intel_iommu=on;; *) add iommu.passthrough=1;; esac\n'
        "[ -f /nowhere ] && . /nowhere\n: ${GRUB_CMDLINE_LINUX_DEFAULT:=quiet}\n"
        "unset GRUB_TIMEOUT\nexport GRUB_DISABLE_RECOVERY='true'\n"
        "cat <<END\nnothing\nEND\n",
    },
    "odd words": {
        "": 'GRUB_CMDLINE_LINUX=\'a="b c" e="f;g" pci=assign-busses,hpbussize=4 -- 3\'\n'
    },
    "xen": {
        "": 'GRUB_CMDLINE_XEN_DEFAULT="dom0_mem=2G"\nGRUB_CMDLINE_LINUX_XEN_REPLACE="nothing"\n',
        "xen": 'XEN_OVERRIDE_GRUB_DEFAULT=0\nif [ "$XEN_OVERRIDE_GRUB_DEFAULT" = "" ]; then\n'
        "  echo WARNING >&2\nfi\n",
    },
    "tabs and blanks": {
        "": "\tGRUB_CMDLINE_LINUX=' \ta=1\t\tb=2  '\n  GRUB_DISABLE_SUBMENU=true # none\n"
    },
    "no recovery, one more zfs": {
        "": "GRUB_DISABLE_RECOVERY=true\nGRUB_DISABLE_SUBMENU=yes\n",
        "zfs": 'GRUB_CMDLINE_LINUX="root=ZFS=rpool/ROOT/debian init_on_alloc=0 zfs.zfs_arc_max=1"\n',
    },
    "btrfs": {"": 'GRUB_CMDLINE_LINUX="rootflags=subvol=@rootfs,compress=zstd:1"\n'},
}


def flat(entries, root):
    for entry in entries:
        options = [option for option in entry.options if option != "root=/dev/sda2"]
        yield entry.title, entry.id.replace(root, "ROOT"), options
        yield from flat(entry.children, root)


@pytest.fixture
def both(grub_host, make_plan, esp):
    """Our menu and grub-mkconfig's, for one host."""

    def both(files, *versions, **rest):
        versions = versions or (NEW, OLD)
        grub_host.kernels(*versions)
        plan = make_plan(*versions, title="GNU/Linux", **rest)
        for folder in (grub_host.default, plan.root / "etc/default"):
            (folder / "grub.d").mkdir(exist_ok=True)
            for name, text in files.items():
                (folder / (f"grub.d/{name}.cfg" if name else "grub")).write_text(text)
        if not (plan.root / "etc/grub.d").exists():
            shutil.copytree("/etc/grub.d", plan.root / "etc/grub.d")
        theirs = parse(grub_host.update_grub())
        tree = Grub().boot_render(esp, plan)
        ours = parse(tree.texts[CONFIG].decode())
        for menu in (ours, theirs):
            menu.entries[:] = [entry for entry in menu.entries if entry.id != "uefi-firmware"]
        return ours, theirs, tree

    return both


@pytest.mark.parametrize("host", HOSTS)
def test_entries_and_options_are_those_of_grub_mkconfig(both, grub_host, host):
    ours, theirs, _ = both(HOSTS[host])
    assert list(flat(ours.entries, "pvefw")) == list(flat(theirs.entries, grub_host.uuid))


@pytest.mark.parametrize(
    ("patterns", "name", "title"),
    [
        ("Ubuntu|Kubuntu", "Debian GNU/Linux", "Debian GNU/Linux GNU/Linux"),
        ("Ubuntu|Kubuntu|*GNU/Linux", "Debian GNU/Linux", "Debian GNU/Linux"),
        ("Ubuntu | Devuan*", "Devuan 5", "Devuan 5"),
        ("Ubuntu|Kubuntu", "Kubuntu", "Kubuntu"),
    ],
)
def test_the_hosts_own_script_says_which_names_stay_whole(make_plan, esp, patterns, name, title):
    plan = make_plan(NEW)
    (plan.root / "etc/grub.d").mkdir(parents=True, exist_ok=True)
    (plan.root / "etc/grub.d/10_linux").write_text(
        f'case ${{GRUB_DISTRIBUTOR}} in\n  {patterns})\n OS="${{GRUB_DISTRIBUTOR}}"\n ;;\nesac\n'
    )
    (plan.root / "etc/default/grub").write_text(f'GRUB_DISTRIBUTOR="{name}"\n')
    ours = parse(Grub().boot_render(esp, plan).texts[CONFIG].decode())
    assert ours.entries[0].title == title


@pytest.mark.parametrize(
    "title",
    [
        "Erweiterte Optionen für Debian GNU/Linux>Debian GNU/Linux, mit Linux {}",
        "Options avancées pour Debian GNU/Linux>Debian GNU/Linux, avec Linux {}",
        "Proxmox VE GNU/Linux, con Linux {}",
        "Debian GNU/Linux 的高级选项>Debian GNU/Linux\uff0c使用 Linux {}",
    ],
)
def test_a_title_in_another_language_is_what_was_meant(make_plan, esp, title):
    plan = make_plan(NEW, OLD, settings=f"GRUB_DEFAULT='{title.format(OLD)}'\n")
    tree = Grub().boot_render(esp, plan)
    menu = parse(tree.texts[CONFIG].decode())
    assert menu.find(menu.default).version == OLD
    assert not menu.find(menu.default).recovery
    assert list(tree.warnings) == []


def test_a_kernel_on_another_disk_is_none_of_ours(make_plan, esp):
    settings = f'GRUB_DEFAULT="Debian GNU/Linux, with Linux {OLD} (on /dev/sdb2)"\n'
    tree = Grub().boot_render(esp, make_plan(NEW, OLD, settings=settings))
    menu = parse(tree.texts[CONFIG].decode())
    assert menu.find(menu.default).version == NEW
    assert "names no kernel's entry" in tree.warnings[0]


@pytest.mark.parametrize(
    "options",
    [
        "cryptdevice=UUID=:root",
        "resume=UUID=",
        "rd.luks.name=UUID=$(true)",
        "cryptopts=target=a,source=UUID=,key=b",
        "root='<your root>'",
    ],
)
def test_what_names_nothing_is_refused_with_its_line(make_plan, esp, options):
    """``$(blkid …)`` prints nothing for who is not root."""
    with pytest.raises(ProviderError, match=r"names no (device|file system)") as caught:
        plan = make_plan(NEW, settings=f'GRUB_CMDLINE_LINUX="quiet {options}"\n')
        Grub().boot_render(esp, plan)
    assert "GRUB_CMDLINE_LINUX" in caught.value.message
    assert caught.value.hint


def test_what_a_kernel_cuts_off_is_told(make_plan, esp):
    settings = f'GRUB_CMDLINE_LINUX="{" ".join(["module.option=1"] * 150)} quiet"\n'
    [warning] = Grub().boot_render(esp, make_plan(NEW, settings=settings)).warnings
    assert "and read 2047" in warning


def test_a_script_that_grub_mkconfig_passes_over_does_not_count(tmp_path):
    folder = tmp_path / "etc/grub.d"
    folder.mkdir(parents=True)
    for name in ("40_custom", "41_custom", "50_mine"):
        (folder / name).write_text("#!/bin/sh\nexec tail -n +3 $0\nset default=3\n")
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/custom.cfg").write_text("set default=4\n")
    text, warnings = custom.text(tmp_path)
    assert text == b""
    assert [warning.partition(" is ")[0] for warning in warnings] == [str(folder / "40_custom")]
    for path in folder.iterdir():
        path.chmod(0o755)
    text, _ = custom.text(tmp_path)
    assert text.split() == [b"set", b"default=3", b"set", b"default=4"]


def test_what_boots_once_is_named_whatever_it_is(make_plan, esp):
    root = esp.mountpoint
    (root / "EFI/BOOT").mkdir(parents=True)
    (root / "EFI/BOOT/grubx64.efi").write_bytes(b"MZ")
    (root / "grub/x86_64-efi").mkdir(parents=True)
    tree = Grub().boot_render(esp, make_plan(NEW))
    (root / CONFIG).write_bytes(tree.texts[CONFIG])
    grubenv.update(root / "grub/grubenv", {"next_entry": "uefi-firmware"})
    assert Grub().boot_probe(esp).next_boot == "UEFI Firmware Settings"


@pytest.fixture
def with_custom(grub_host):
    """A host without ESPs whose ``custom.cfg`` has the last word."""
    grub_host.kernels(NEW, OLD)
    (grub_host.boot / "grub/custom.cfg").write_text("set default=0\n")
    grub_host.update_grub()
    return grub_host


@pytest.mark.parametrize("choice", [{"default": OLD}, {"next_boot": OLD}])
def test_a_default_in_custom_cfg_comes_before_a_pin_and_is_told(with_custom, choice):
    before = with_custom.config.read_bytes()
    kind, _, hint = with_custom.select(**choice)
    assert kind == "ProviderError"
    assert "custom.cfg" in hint
    assert with_custom.config.read_bytes() == before
    assert not with_custom.pin.exists()
    assert not with_custom.environment.exists()


def test_other_systems_that_are_not_offered_are_told(make_plan, esp):
    settings = "GRUB_DISABLE_OS_PROBER=false\n"
    [warning] = Grub().boot_render(esp, make_plan(NEW, settings=settings)).warnings
    assert "other systems start from the firmware's menu" in warning


def test_a_byte_order_mark_is_ignored(make_plan, esp):
    settings = "\ufeffGRUB_CMDLINE_LINUX=quiet\nGRUB_DISABLE_RECOVERY=true\n"
    tree = Grub().boot_render(esp, make_plan(NEW, settings=settings))
    [(_, entry), *_] = parse(tree.texts[CONFIG].decode()).kernels()
    assert entry.options[-1] == "quiet"
    assert "byte order mark" in tree.warnings[0]


@pytest.mark.parametrize(
    ("more", "saved", "told"),
    [
        ("", f"Advanced options for GNU/Linux>GNU/Linux, with Linux {OLD}", f"pin {OLD}"),
        ("", f"gnulinux-advanced-abc>gnulinux-{OLD}-advanced-abc", f"pin {OLD}"),
        ("", "0", ""),
        ("", "Windows", ""),
        ("", f"gnulinux-{NEW}-advanced-abc", ""),
        ("GRUB_SAVEDEFAULT=true", f"gnulinux-{OLD}-advanced-abc", ""),
    ],
)
def test_a_default_that_was_set_on_the_host_is_told(make_plan, esp, more, saved, told):
    plan = make_plan(NEW, OLD, settings=f"GRUB_DEFAULT=saved\n{more}\n")
    (plan.root / "boot/grub").mkdir(parents=True, exist_ok=True)
    grubenv.update(plan.root / "boot/grub/grubenv", {"saved_entry": saved})
    warnings = Grub().boot_render(esp, plan).warnings
    assert [told in warning for warning in warnings] == [True] * bool(told)
