"""A host whose update-grub is the real one, in a mount namespace of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pvefw.api import BootPlan, Esp
from pvefw.testing.fakes import fake_kernel

_PROBE = """#!/bin/sh
echo "$*" | grep -q -- '{fail}' && {{ echo 'grub-probe: error: no such disk' >&2; exit 1; }}
case "$*" in
*target=device*|*'target device'*) echo /dev/sda2 ;;
*fs_uuid*) echo {uuid} ;;
*target=fs*) echo {fs} ;;
*abstraction*) echo {abstraction} ;;
esac
"""
"""There is no disk to look at; everything else of GRUB is real."""

_SELECT = """
import json, sys
from pathlib import Path
from pvefw.core.errors import PvefwError
from pvefw.testing.fakes import FakeTask
from pvefw_bootloader_grub import Grub
default, next_boot = json.loads(sys.argv[1])
try:
    Grub().boot_select(default, next_boot, Path("/"), FakeTask())
except PvefwError as error:
    print(json.dumps([type(error).__name__, error.message, error.hint]))
else:
    print("null")
"""


class GrubHost:
    """``/boot``, ``/etc/default`` and ``/etc/grub.d`` of a host that GRUB starts without an ESP."""

    uuid = "0a1b2c3d-0000-4000-8000-00000000abcd"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.boot, self.default, self.scripts = path / "boot", path / "default", path / "grub.d"
        (self.boot / "grub").mkdir(parents=True)
        (self.default / "grub.d").mkdir(parents=True)
        self.settings("GRUB_DEFAULT=0\n")
        subprocess.run(["cp", "-a", "/etc/grub.d", self.scripts], check=True)
        self.config = self.boot / "grub/grub.cfg"
        self.environment = self.boot / "grub/grubenv"
        self.pin = self.default / "grub.d/proxmox-kernel-pin.cfg"
        self.answers()

    def settings(self, text):
        (self.default / "grub").write_text(text)

    def answers(self, *, fs="ext2", abstraction="", fail="nothing-at-all"):
        """What grub-probe says."""
        probe = self.path / "grub-probe"
        probe.write_text(_PROBE.format(uuid=self.uuid, fs=fs, abstraction=abstraction, fail=fail))
        probe.chmod(0o755)

    def kernels(self, *versions):
        for version in versions:
            (self.boot / f"vmlinuz-{version}").write_text("kernel")
            (self.boot / f"initrd.img-{version}").write_text("initrd")

    def run(self, *argv):
        binds = {
            self.boot: "/boot",
            self.default: "/etc/default",
            self.scripts: "/etc/grub.d",
            self.path / "grub-probe": "/usr/sbin/grub-probe",
        }
        # where udev runs, there are links to this machine's file systems, and none to the host's
        script = "[ ! -d /dev/disk ] || mount -t tmpfs none /dev/disk || exit; "
        script += "".join(f"mount --bind '{ours}' {theirs} && " for ours, theirs in binds.items())
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{script} exec "$@"', "sh", *argv],
            capture_output=True,
            text=True,
            check=False,
        )

    def update_grub(self):
        done = self.run("update-grub")
        assert done.returncode == 0, done.stderr
        return self.config.read_text()

    def select(self, default=None, next_boot=None):
        """boot_select there; ``None``, or the error's type, message and hint."""
        done = self.run(sys.executable, "-c", _SELECT, json.dumps([default, next_boot]))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def grub_host(tmp_path):
    return GrubHost(tmp_path / "grub-host")


@pytest.fixture
def esp(tmp_path):
    mountpoint = tmp_path / "esp"
    mountpoint.mkdir()
    return Esp("ABCD-1234", tmp_path / "disk2", tmp_path / "disk", mountpoint, 512 << 20, 400 << 20)


@pytest.fixture
def make_plan(tmp_path):
    """Plans for a host with these settings."""
    host = tmp_path / "host"

    def make_plan(*versions, settings="", default=None, **rest):
        (host / "etc/default").mkdir(parents=True, exist_ok=True)
        (host / "etc/default/grub").write_text(settings)
        kernels = [fake_kernel(host, version) for version in versions]
        given = {"next_boot": None, "cmdline": "root=/dev/sda2", "root": host, **rest}
        return BootPlan(kernels=kernels, default=default or versions[0], **given)

    return make_plan
