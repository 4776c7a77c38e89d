"""What else writes to ESPs is said when hooks are installed, and what a hook without pvefw says."""

import subprocess

import pytest

from pvefw.boot import hooks

TRIGGERS = "var/lib/dpkg/info/proxmox-kernel-helper.triggers"


def test_a_host_of_our_own_has_nothing_to_say(host):
    assert hooks.notes(host.paths) == []


def test_kernel_install_of_debian_is_noticed_while_it_is_in_force(host):
    name = "etc/kernel/postinst.d/zz-systemd-boot"
    host.write(name, "#!/bin/sh\n")
    assert hooks.notes(host.paths) == []
    (host.root / name).chmod(0o755)
    [said] = hooks.notes(host.paths)
    assert f"chmod -x {host.root / name}" in said


@pytest.mark.parametrize(
    ("text", "count"),
    [("interest-noawait /usr/lib/systemd/boot/efi\n", 1), ("activate-noawait pve-api\n", 0)],
)
def test_triggers_of_proxmox_boot_tool_are_noticed(host, text, count):
    host.write(TRIGGERS, text)
    said = hooks.notes(host.paths)
    assert len(said) == count
    assert all("proxmox-kernel-helper installs new boot loaders" in line for line in said)


def test_a_hook_says_that_pvefw_was_removed(host, tmp_path, monkeypatch):
    program = tmp_path / "pvefw"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(hooks.units, "program", lambda: str(program))
    scripts = hooks.install(host.paths)[:3]
    program.unlink()
    for script in scripts:
        done = subprocess.run([script, "6.8.1"], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "pvefw was removed: the ESPs stay as they are" in done.stderr
