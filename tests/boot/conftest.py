"""A host with three kernels, two ESPs that are directories, and a loader of the tests' own."""

import os
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from servers.directory_machine import DirectoryMachine

from pvefw.api import BootState, BootTree, Firmware, Unsupported, hookimpl
from pvefw.boot.context import Context
from pvefw.boot.loaders import Loaders
from pvefw.core import binding
from pvefw.core.families import BOOTLOADER
from pvefw.store.paths import Paths
from pvefw.testing.fakes import FakeTask

KERNELS = ("6.5.13-6-pve", "6.8.4-2-pve", "6.8.12-4-pve")
UUIDS = ("AAAA-0001", "BBBB-0002")


class Plain:
    """A loader that reads ``plain/menu``: a line for each kernel, then what is booted by default."""

    def __init__(self, name="plain", firmware=Firmware.BIOS):
        self.name = name
        self.firmware = firmware
        self.once = {}

    @hookimpl
    def boot_firmware(self):
        return [Firmware.UEFI, Firmware.BIOS]

    @hookimpl
    def boot_install(self, esp, firmware, task):
        if firmware is not self.firmware:
            raise Unsupported(f"no {'EFI variables' if firmware is Firmware.UEFI else 'BIOS'} here")
        (esp.mountpoint / self.name).mkdir(exist_ok=True)
        (esp.mountpoint / self.name / "loader").write_text("1.0")

    @hookimpl
    def boot_probe(self, esp):
        own = esp.mountpoint / self.name
        if not (own / "loader").exists():
            return None
        menu = own / "menu"
        *versions, default = menu.read_text().splitlines() if menu.exists() else [""]
        there = [
            version
            for version in versions
            if all((own / version / f"{name}-{version}").exists() for name in ("vmlinuz", "initrd"))
        ]
        return BootState([self.firmware], there, default, self.once.get(esp.uuid), "1.0")

    @hookimpl
    def boot_render(self, esp, plan):
        copies, own = {}, PurePosixPath(self.name)
        for kernel in plan.kernels:
            copies[own / kernel.version / f"vmlinuz-{kernel.version}"] = kernel.vmlinuz
            copies[own / kernel.version / f"initrd-{kernel.version}"] = kernel.initrd
        lines = [*(kernel.version for kernel in plan.kernels), plan.default]
        texts = {
            own / "cmdline": plan.cmdline.encode(),
            own / "menu": "\n".join(lines).encode(),
        }
        return BootTree(copies, texts, [f"{self.name}/*/*"])

    @hookimpl
    def boot_arm(self, esp, plan, task):
        self.once[esp.uuid] = plan.next_boot


class HostTree:
    """The files of a host that pvefw reads."""

    def __init__(self, root):
        self.root = root
        self.paths = Paths(root, "pve1")
        for version in KERNELS:
            self.install(version)
        self.write("etc/kernel/cmdline", "root=/dev/sda3 quiet\n")
        (root / "sys/firmware").mkdir(parents=True)
        self.boot(1)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def install(self, version, marker="", size=5000):
        self.write(f"boot/vmlinuz-{version}", f"kernel {version}{marker}".ljust(size, "k"))
        self.write(f"boot/initrd.img-{version}", f"initrd {version}{marker}".ljust(size, "i"))
        (self.root / "lib/modules" / version).mkdir(parents=True, exist_ok=True)

    def remove(self, version):
        for name in ("vmlinuz", "initrd.img"):
            (self.root / f"boot/{name}-{version}").unlink()

    def boot(self, number):
        self.write("proc/sys/kernel/random/boot_id", f"boot-{number}\n")


@pytest.fixture
def memory(tmp_path):
    """A directory in memory, where there is one: hundreds of changes are synced."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pvefw-", dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture
def host(memory):
    return HostTree(memory / "host")


@pytest.fixture
def machine(memory):
    made = DirectoryMachine(memory / "esps")
    for uuid in UUIDS:
        made.add(uuid)
    return made


def loaders_of(*objects):
    bound = {
        object_.name: binding.bind_object(BOOTLOADER, object_, object_.name) for object_ in objects
    }
    return Loaders(bound, {})


@pytest.fixture
def plain():
    return Plain()


@pytest.fixture
def context(host, machine, plain):
    """What commands work with; make a new one with ``again``."""

    def again(**changes):
        values = {
            "paths": host.paths,
            "machine": machine,
            "loaders": loaders_of(plain),
            "task": FakeTask(),
            **changes,
        }
        return Context(**values)

    return again


@pytest.fixture
def ready(context, machine):
    """The same, once both ESPs are set up."""
    from pvefw.boot import registry

    for uuid in UUIDS:
        registry.init(context(), machine.path_of(uuid), "plain")
    return context
