"""``apt autoremove`` and the kernels that somebody chose: APT itself reads what we write."""

import re
import subprocess

import pytest

from pvefw.boot import choice, hooks, kernels, refresh

PINNED, MANUAL, RUNNING = "6.8.12-4-pve", "6.8.4-2-pve", "6.5.13-6-pve"
NEXT, OTHER = "6.8.10-1-pve", "6.8.11-1-pve"


def protected(host):
    """The expressions, as APT understands its configuration."""
    asked = ["apt-config", "-c", str(host.root / hooks.SNIPPET), "dump", "APT::NeverAutoRemove"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return re.findall(r'^APT::NeverAutoRemove:: "(.*)";$', said, re.MULTILINE)


@pytest.fixture
def hooked(host, monkeypatch):
    """A host with our hooks, four kernels chosen and a fifth that is not."""
    monkeypatch.setattr(kernels, "running", lambda: RUNNING)
    for version in (NEXT, OTHER):
        host.install(version)
    host.write("etc/kernel/postinst.d/zz-pvefw-boot", "#!/bin/sh\n")
    choice.pin(host.paths, PINNED, next_boot=False)
    choice.pin(host.paths, NEXT, next_boot=True)
    choice.add(host.paths, MANUAL)
    return host


@pytest.mark.parametrize("version", [PINNED, MANUAL, RUNNING, NEXT])
@pytest.mark.parametrize(
    "name", ["linux-image-{}", "proxmox-kernel-{}-signed", "pve-kernel-{}", "linux-headers-{}"]
)
def test_chosen_kernels_stay(hooked, ready, version, name):
    refresh.refresh(ready())
    package = name.format(version)
    assert any(re.search(pattern, package) for pattern in protected(hooked))


def test_no_other_kernel_stays(hooked, ready):
    refresh.refresh(ready())
    names = [f"proxmox-kernel-{OTHER}", f"proxmox-kernel-{PINNED}x", "proxmox-kernel-6x8.12-4-pve"]
    found = protected(hooked)
    assert len([pattern for pattern in found if "pve" in pattern]) >= 3
    ours = [pattern for pattern in found if pattern.endswith("(-signed)?$")]
    assert not any(re.search(pattern, name) for pattern in ours for name in names)


def test_without_hooks_nothing_is_written(host, ready):
    refresh.refresh(ready())
    assert not (host.root / hooks.SNIPPET).exists()


def test_it_is_written_once(hooked, ready):
    refresh.refresh(ready())
    before = (hooked.root / hooks.SNIPPET).stat().st_mtime_ns
    refresh.refresh(ready())
    assert (hooked.root / hooks.SNIPPET).stat().st_mtime_ns == before
