"""Scripts that were written for the original: what they call, and the exit status that they test."""

import json

import pytest
from boot.conftest import KERNELS

from pvefw.api import hookimpl

LIST = "etc/kernel/proxmox-boot-uuids"


@pytest.fixture
def told(plain, monkeypatch):
    """What a loader that starts the host by itself was told: default and one-shot."""
    found = []

    def select(self, default, next_boot, root, task):
        found.append((default, next_boot))

    monkeypatch.setattr(type(plain), "boot_select", hookimpl(select), raising=False)
    return found


WRONG = [
    "nonsense",
    "format",
    "init",
    "init /dev/sda2 grub more",
    "kernel",
    "kernels",
    "kernel nonsense",
    "kernel add",
    "kernel pin",
    f"kernel pin {KERNELS[0]} --nonsense",
    "kernel unpin --nonsense",
    "refresh --nonsense",
    "refresh --hook",
    "refresh --hook nonsense",
    "refresh --hook zz-proxmox",
    "status --nonsense",
    "kernel add 1.2.3-4-pve",
    "kernel pin 1.2.3-4-pve",
]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("words", WRONG)
def test_wrong_use_and_failure_end_with_1(types, host, words, listed):
    if listed:
        host.write(LIST, "AAAA-0001\n")
    types(f"proxmox-boot-tool {words}", status=1)


def test_no_arguments_and_help(types, capsys):
    assert types("proxmox-boot-tool") == ""
    shown = types("proxmox-boot-tool help")
    for words in ("format", "init", "reinit", "clean", "refresh", "kernel pin", "status"):
        assert f"USAGE: proxmox-boot-tool {words}" in shown
    assert types("proxmox-boot-tool help kernel") == shown


@pytest.mark.parametrize(
    "words", ["status", "status --quiet", "reinit", "clean", "clean --dry-run"]
)
def test_without_a_list_of_esps(types, host, words):
    types(f"proxmox-boot-tool {words}", status=2)
    assert not (host.root / LIST).exists()


@pytest.mark.parametrize("text", ["", "AAAA-0001\n", "DEAD-BEEF\n", "nonsense\n"])
def test_with_a_list_the_status_is_0_whatever_is_on_the_esps(types, host, text):
    host.write(LIST, text)
    assert types("proxmox-boot-tool status --quiet") == ""
    types("proxmox-boot-tool status")


@pytest.mark.parametrize("hook", ["proxmox-auto-removal", "zz-proxmox-boot"])
def test_both_hooks_can_be_named(types, hook):
    types("proxmox-boot-tool init /dev/sda2 grub")
    assert "nothing has changed" in types(f"proxmox-boot-tool refresh --hook {hook}")


def test_kernels_stand_in_the_order_of_sort(types, host):
    for version in ("6.8.12-9-pve", "6.8.12-10-pve"):
        host.install(version)
    types("proxmox-boot-tool kernel add 6.8.4-2-pve")
    types("proxmox-boot-tool kernels add 6.5.13-6-pve")
    types("proxmox-boot-tool kernel add 6.8.12-4-pve")
    host.write("etc/kernel/proxmox-boot-pin", "6.8.12-9-pve\n")
    listed = types("proxmox-boot-tool kernels list")
    manual, automatic, pinned = listed.split("\n\n")
    assert manual.splitlines()[1:] == ["6.5.13-6-pve", "6.8.12-4-pve", "6.8.4-2-pve"]
    assert automatic.splitlines()[1:] == ["6.8.12-10-pve", "6.8.12-9-pve"]
    assert pinned == "Pinned kernel:\n6.8.12-9-pve\n"


def test_what_only_pvefw_has_can_be_used_too(types):
    listed = json.loads(types("proxmox-boot-tool kernel list --output-format json"))
    assert listed["automatic"] == list(KERNELS)
    types("proxmox-boot-tool status --output-format json", status=2)
    assert "root=/dev/sda3" in types("proxmox-boot-tool cmdline get")


def test_a_pinned_kernel_is_among_those_that_are_kept(types, host):
    for version in ("6.8.12-9-pve", "6.8.12-10-pve"):
        host.install(version)
    host.write("etc/kernel/next-boot-pin", "6.8.4-2-pve\n")
    _, automatic, once = types("proxmox-boot-tool kernel list").split("\n\n")
    assert "6.8.4-2-pve" in automatic.splitlines()
    assert once == "Kernel pinned on next-boot:\n6.8.4-2-pve\n"


def test_without_pins_and_esps_update_grub_runs_all_the_same(types, host, told):
    types("proxmox-boot-tool kernel unpin")
    types("proxmox-boot-tool kernel unpin --next-boot")
    assert told == [(None, None)] * 2
    types(f"proxmox-boot-tool kernel pin {KERNELS[0]}")
    types("proxmox-boot-tool kernel unpin --next-boot")
    assert told[2:] == [(KERNELS[0], None)] * 2
    types("proxmox-boot-tool kernel unpin")
    assert told[4:] == [(None, None)]
    host.write(LIST, "AAAA-0001\n")
    types("proxmox-boot-tool kernel unpin")
    assert len(told) == 5, "the ESPs are refreshed instead, by who asks for it"
