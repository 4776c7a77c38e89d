"""The package's own scripts under the real dpkg, in an overlay over this machine: with no build."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOOK = "/etc/kernel/postinst.d/zz-pvefw-boot"
PROGRAM = """#!/bin/sh
echo "pvefw $*"
"""
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount an overlay"),
    pytest.mark.timeout(300),
]
_INSIDE = """
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/merged"
mount --bind "$1" "$1/merged/mnt"
exec chroot "$1/merged" sh -ec "$2" 2>&1
"""


@pytest.fixture(scope="module")
def deb():
    """The tool that makes the package."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("deb")
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.fixture
def debian(deb, tmp_path):
    """Runs a script as root of a machine like this one, whose files nobody else sees."""
    for name in ("upper", "work", "merged", "pvefw", "loader"):
        (tmp_path / name).mkdir()
    tree = tmp_path / "pvefw"
    deb.write(tree / "usr/bin/pvefw", PROGRAM, 0o755)
    deb.write(tree / "usr/lib/pvefw/one.py", "")
    for name, text in deb.unit_texts().items():
        deb.write(tree / "usr/lib/systemd/system" / name, text)
    made = deb.pack(tree, (deb.DEBIAN / "control").read_text(), deb.scripts(), tmp_path)
    made.rename(tmp_path / "pvefw.deb")
    loader = tmp_path / "loader"
    deb.write(loader / "usr/lib/systemd/boot/efi/another.efi", "loader")
    control = "Package: loader\nVersion: 1\nArchitecture: all\nMaintainer: a <a@localhost>\n"
    control += "Description: a boot loader\n"
    deb.pack(loader, control, {}, tmp_path).rename(tmp_path / "loader.deb")

    def run(script):
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", _INSIDE, "sh", str(tmp_path), script],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("dpkg --force-depends --install /mnt/pvefw.deb")
    return run


def with_hooks(deb):
    """A script that writes what install-hooks would."""
    names = " ".join(f"/{script}" for script in deb.boot_hooks.scripts(deb.PROGRAM))
    return f"for one in {names}; do mkdir -p $(dirname $one); echo >$one; done"


def test_a_new_boot_loader_refreshes_the_esps_where_the_hooks_are(debian, deb):
    assert "pvefw boot" not in debian("dpkg --install /mnt/loader.deb")
    debian(with_hooks(deb))
    assert "pvefw boot refresh" in debian("dpkg --install /mnt/loader.deb")


def test_proxmox_boot_tools_own_triggers_come_first(debian, deb):
    debian(with_hooks(deb))
    theirs = "/var/lib/dpkg/info/proxmox-kernel-helper.triggers"
    debian(f"echo interest-noawait /usr/lib/systemd/boot/efi >{theirs}")
    assert "pvefw boot" not in debian("dpkg --install /mnt/loader.deb")


def test_a_refresh_that_fails_is_said_and_breaks_no_upgrade(debian, deb):
    debian(with_hooks(deb) + "; printf '#!/bin/sh\nexit 1\n' >/usr/bin/pvefw")
    assert "try: pvefw boot refresh" in debian("dpkg --install /mnt/loader.deb")


@pytest.mark.parametrize("how", ["--remove", "--purge"])
def test_nothing_that_was_generated_stays(debian, deb, how):
    units = " ".join(deb.unit_texts())
    debian(f"cd /etc/systemd/system; mkdir -p x.wants; touch {units}; cd x.wants; touch {units}")
    debian("mkdir -p /etc/sysusers.d; touch /etc/sysusers.d/pvefw-api.conf")
    debian(with_hooks(deb))
    said = debian(f"dpkg --force-depends {how} pvefw")
    assert "new kernels and boot loaders reach no ESP any more" in said
    left = debian("find /etc /usr/lib/systemd /var/lib/pvefw -name '*pvefw-*' || true")
    assert [line for line in left.splitlines() if line.startswith("/etc")] == []


def test_a_host_without_hooks_is_told_nothing_of_esps(debian):
    assert "ESP" not in debian("dpkg --force-depends --remove pvefw")
