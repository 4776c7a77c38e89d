"""Hosts with two disks, set up by ``pvefw boot`` in a workshop, in the states that tests boot from."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.machines.computer import Computer
from servers.machines.kernels import Kernel, boot_kernels
from servers.machines.power import CONSOLE, bad_initrd, good_initrd
from servers.machines.workshop import Workshop

from pvefw.api import Firmware

CMDLINE = f"root=/dev/sda3 ro {CONSOLE} quiet"
_GRUB = f"""
GRUB_DEFAULT=0
GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR="Proxmox"
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="{CONSOLE}"
"""


_ADD_WORD = {
    "systemd-boot": f"pvefw boot cmdline set '{CMDLINE} {{word}}'",
    "grub": """echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {word}"' >>/etc/default/grub""",
}
"""Scripts that add a word to the command line of every kernel."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine that hangs is started once more, with all that was before; no other failure is."""
    once_more = pytest.mark.flaky(reruns=1, only_rerun=[r"^Hangs\b"])
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(once_more)


@dataclass(frozen=True, slots=True)
class System:
    """A boot loader, and the firmware that starts it."""

    loader: str
    firmware: Firmware

    def __str__(self) -> str:
        return f"{self.loader}-{self.firmware.value}"


SYSTEMS = (
    System("systemd-boot", Firmware.UEFI),
    System("grub", Firmware.UEFI),
    System("grub", Firmware.BIOS),
)


@pytest.fixture(scope="session")
def kernels() -> tuple[Kernel, ...]:
    """Three kernels, the newest first."""
    return boot_kernels()


def make_computer(
    folder: Path, firmware: Firmware, kernels: tuple[Kernel, ...], **options: int
) -> Computer:
    """A host with kernels, and empty disks."""
    files: dict[str, str | Path] = {"etc/kernel/cmdline": f"{CMDLINE}\n", "etc/default/grub": _GRUB}
    for kernel in kernels:
        files[f"boot/vmlinuz-{kernel.version}"] = kernel.image
        files[f"boot/initrd.img-{kernel.version}"] = good_initrd()
    return Computer.new(folder, firmware, files, **options)


@pytest.fixture
def new_computer() -> Callable[..., Computer]:
    """Makes a host with kernels, and empty disks; see :func:`make_computer`."""
    return make_computer


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Where pvefw and its environment lie."""
    return Path(sys.prefix).parent


def set_up(shop: Workshop, loader: str, *disks: str) -> None:
    """Everything that an administrator has to do on new disks, with the reference's commands."""
    named = "" if loader == "systemd-boot" else loader  # that one fits a computer with UEFI
    for disk in disks:
        shop.run(f"pvefw boot partition /dev/{disk} --yes")  # the reference has none for that
        shop.run(f"proxmox-boot-tool format /dev/{disk}2")
        shop.run(f"proxmox-boot-tool init /dev/{disk}2 {named}")


@dataclass(frozen=True, slots=True)
class States:
    """One host at several moments. Whoever changes one takes a copy, so that it stays as it is."""

    default: Computer
    """As it was set up: the newest kernel boots."""
    panics: Computer
    """The second kernel is pinned, the command line has ``changed=1``; the oldest is to boot once, and
    panics."""

    def with_bios(self) -> "States":
        """The same disks in a computer that has a BIOS."""
        return States(self.default.with_bios(), self.panics.with_bios())


Hosts = Callable[[str], States]


@pytest.fixture(scope="session")
def hosts(kernels: tuple[Kernel, ...], tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """By loader, a host that it was installed on under UEFI; GRUB serves BIOS at the same time.

    Each is set up once, by the worker that has the loader's group of tests.
    """

    @functools.cache
    def host(loader: str) -> States:
        return _states(loader, kernels, tmp_path_factory.mktemp(loader))

    return host


def _states(loader: str, kernels: tuple[Kernel, ...], folder: Path) -> States:
    computer = make_computer(folder / "computer", Firmware.UEFI, kernels)
    _newest, pinned, oldest = (kernel.version for kernel in kernels)

    def state(name: str) -> Computer:
        shop.run("sync")
        with shop.frozen():
            return computer.copy(folder / name)

    with computer.workshop() as shop:
        set_up(shop, loader, "vda", "vdb")
        shop.run("proxmox-boot-tool status && proxmox-boot-tool clean")
        default = state("default")
        shop.run(_ADD_WORD[loader].format(word="changed=1"))
        shop.run(f"cp {bad_initrd()} /boot/initrd.img-{oldest}")
        shop.run(
            f"proxmox-boot-tool kernel pin {pinned} && "
            f"proxmox-boot-tool kernel pin {oldest} --next-boot && proxmox-boot-tool refresh"
        )
        listed = shop.run("proxmox-boot-tool kernel list")
        assert f"Pinned kernel:\n{pinned}" in listed
        assert f"Kernel pinned on next-boot:\n{oldest}" in listed
        panics = state("panics")
    return States(default, panics)


@pytest.fixture(
    params=[
        pytest.param(system, id=str(system), marks=pytest.mark.xdist_group(system.loader))
        for system in SYSTEMS
    ]
)
def states(request: pytest.FixtureRequest, hosts: Hosts) -> States:
    """A host for each loader and firmware."""
    found = hosts(request.param.loader)
    return found if request.param.firmware is Firmware.UEFI else found.with_bios()
