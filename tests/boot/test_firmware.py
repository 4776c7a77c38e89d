"""Which firmware and loader started this host, and what runs by itself later."""

import json
import subprocess
from pathlib import Path

import pytest
from documented import faults

from pvefw.boot import firmware, hooks, loaders
from pvefw.cli import boot_context
from pvefw.cli.run import run
from pvefw.core.errors import PvefwError, UsageError
from pvefw.core.model import Firmware
from pvefw.host import programs

EFIBOOTMGR = """\
BootCurrent: 0003
Timeout: 1 seconds
BootOrder: 0003,0001,0000
Boot0000* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)
Boot0001* proxmox\tHD(2,GPT,5f63,0x800,0x100000)/File(\\EFI\\proxmox\\grubx64.efi)
Boot0003* Linux Boot Manager\tHD(2,GPT,5f63,0x800,0x100000)/File(\\EFI\\systemd\\systemd-bootx64.efi)
"""
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


def variable(host, name, vendor, data):
    path = host.root / f"sys/firmware/efi/efivars/{name}-{vendor}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\6\0\0\0" + data)


def test_bios(host):
    assert firmware.current(host.paths) is Firmware.BIOS
    assert firmware.suitable(host.paths) == "grub"
    found = firmware.detect(host.paths)
    assert (found.firmware, found.loader, found.secure_boot) == (Firmware.BIOS, "grub", False)
    assert "does not exist" in found.evidence[0]


def test_in_a_rescue_system_the_machines_own_firmware_counts(host):
    (host.root / "sys/firmware").rmdir()
    here = Firmware.UEFI if Path("/sys/firmware/efi").is_dir() else Firmware.BIOS
    assert firmware.current(host.paths) is here


@pytest.mark.parametrize(
    ("secure", "suitable"), [(b"\0", "systemd-boot"), (b"\1", "grub"), (b"", "systemd-boot")]
)
def test_secure_boot_decides_under_uefi(host, secure, suitable):
    variable(host, "SecureBoot", GLOBAL, secure)
    assert firmware.current(host.paths) is Firmware.UEFI
    assert firmware.suitable(host.paths) == suitable


def test_systemd_boot_says_so_itself(host):
    variable(host, "LoaderInfo", LOADER, "systemd-boot 252.39\0".encode("utf-16-le"))
    found = firmware.detect(host.paths)
    assert found.loader == "systemd-boot"
    assert "variable LoaderInfo: systemd-boot 252.39" in found.evidence


@pytest.mark.parametrize(
    ("current", "loader"), [("0003", "systemd-boot"), ("0001", "grub"), ("0000", ""), ("0007", "")]
)
def test_the_entry_that_was_started(current, loader):
    entry = firmware.started_entry(
        EFIBOOTMGR.replace("BootCurrent: 0003", f"BootCurrent: {current}")
    )
    assert firmware.loader_of(entry) == loader
    assert bool(entry) == (current != "0007")
    assert "\t" not in entry
    assert firmware.started_entry("EFI variables are not supported on this system.") == ""


def test_shim_starts_grub():
    assert firmware.loader_of(r"Boot0001* proxmox HD(2)/File(\EFI\proxmox\shimx64.efi)") == "grub"


def test_loader_explains_itself(host, machine, plain, monkeypatch, capsys):
    monkeypatch.setattr(boot_context, "machine", lambda _app: machine)
    monkeypatch.setattr(
        loaders.Loaders,
        "load",
        classmethod(lambda cls, _paths: cls({}, {"x": PvefwError("x: broken")})),
    )
    host.paths.esp_uuids.write_text("AAAA-0001\nFFFF-FFFF\n")
    arguments = ["--root", str(host.root), "--node", "pve1", "boot", "loader"]
    assert run([*arguments, "--output-format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert faults("boot loader", found) == []
    assert found == {
        "firmware": "bios",
        "secure-boot": False,
        "loader": "grub",
        "entry": None,
        "on-esps": {"AAAA-0001": []},
        "suggested": "grub",
        "evidence": [
            "/sys/firmware/efi does not exist: started by BIOS, so by GRUB",
            "ESP AAAA-0001 (/dev/sda2): no known loader",
            "ESP FFFF-FFFF: not found",
        ],
    }


# --- hooks ----------------------------------------------------------------------------------------------


def test_hooks_refresh_when_dpkg_would_run_them(host, tmp_path, monkeypatch):
    told = tmp_path / "told"
    program = tmp_path / "pvefw"
    program.write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    program.chmod(0o755)
    monkeypatch.setattr(hooks.units, "program", lambda: str(program))

    written = hooks.install(host.paths)

    assert [str(path.relative_to(host.root)) for path in written] == [
        "etc/kernel/postinst.d/zz-pvefw-boot",
        "etc/kernel/postrm.d/zz-pvefw-boot",
        "etc/initramfs/post-update.d/pvefw-boot",
        "etc/systemd/system/pvefw-boot-cleanup.service",
    ]
    for path in written[:3]:
        subprocess.run(
            ["run-parts", "--arg=6.8.20-1-pve", "--arg=/boot/x", str(path.parent)], check=True
        )
    assert told.read_text() == (
        "boot refresh --installing 6.8.20-1-pve\nboot refresh\nboot refresh\n"
    )
    assert hooks.install(host.paths) == written, "again is no error"


def test_a_refresh_that_fails_fails_the_hook(host, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks.units, "program", lambda: "false")
    script = hooks.install(host.paths)[0]
    done = subprocess.run([script, "6.8.20-1-pve"], check=False)
    assert done.returncode == 1


def test_hooks_of_a_pvefw_that_was_removed_are_content(host, tmp_path, monkeypatch):
    program = tmp_path / "pvefw"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(hooks.units, "program", lambda: str(program))
    scripts = hooks.install(host.paths)[:3]
    program.unlink()
    for script in scripts:
        assert subprocess.run([script, "6.8.20-1-pve"], check=False).returncode == 0


def test_hooks_do_not_fight_with_those_of_proxmox_boot_tool(host):
    theirs = host.root / "etc/kernel/postinst.d/zz-proxmox-boot"
    host.write("etc/kernel/postinst.d/zz-proxmox-boot", "#!/bin/sh\n")
    theirs.chmod(0o755)
    with pytest.raises(UsageError, match="proxmox-boot-tool") as caught:
        hooks.install(host.paths)
    assert f"chmod -x {theirs}" in caught.value.hint
    assert not list(host.root.rglob("*pvefw-boot*"))
    theirs.chmod(0o644)
    assert hooks.install(host.paths)


def test_nothing_is_asked_of_this_machine_for_another_root(host, monkeypatch):
    def run(argv, **_):
        raise AssertionError(argv)

    variable(host, "LoaderInfo", LOADER, b"")
    monkeypatch.setattr(programs, "run", run)
    assert "efibootmgr -v: not asked: another root" in firmware.detect(host.paths).evidence
