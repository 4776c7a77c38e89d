"""An EFI system partition that is a directory, and a host with kernels; core keeps it up to date.

::

    esp = EspDirectory(tmp_path)
    esp.sync(Myloader(), "6.5.13-6-pve", "6.8.4-3-pve")
    assert "loader/loader.conf" in esp.files

No disk, no mount, no root. What a directory cannot show (vfat, power cuts, whether a machine starts) is
what :mod:`pvefw.testing.boot` and a virtual machine are for.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pvefw import seam
from pvefw.api import BootPlan, BootState, Esp
from pvefw.seam import BootloaderSpec, Bound
from pvefw.testing.fakes import FakeTask, fake_esp, fake_kernel


@dataclass
class EspDirectory:
    """A host and its one ESP, below a directory."""

    directory: Path
    """An empty one: pytest's ``tmp_path``."""
    cmdline: str = "root=/dev/mapper/pve-root ro"
    task: FakeTask = field(default_factory=FakeTask, repr=False)
    """What hooks get, with what they logged."""

    @property
    def mountpoint(self) -> Path:
        """The ESP."""
        return self.directory / "esp"

    @property
    def host(self) -> Path:
        """The host's own files; kernels lie below ``boot``."""
        return self.directory / "host"

    @property
    def files(self) -> list[str]:
        """Every file on the ESP, sorted; paths are relative to it."""
        paths = (path for path in self.mountpoint.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.mountpoint).as_posix() for path in paths)

    @property
    def _esp(self) -> Esp:
        self.mountpoint.mkdir(exist_ok=True)
        return fake_esp(self.mountpoint)

    def probe(self, plugin: object) -> BootState | None:
        """What a plugin finds of its loader."""
        return _bound(plugin).hooks.boot_probe(esp=self._esp)

    def sync(
        self, plugin: object, *versions: str, default: str = "", next_boot: str | None = None
    ) -> list[str]:
        """Install the loader where it is not yet, and bring the ESP to what it wants.

        :param versions: the host's kernels, the latest last.
        :param default: what boots; the latest without it.
        :param next_boot: what boots once.
        :returns: what was changed, one line each; nothing where all is as it should be.
        """
        bound, esp = _bound(plugin), self._esp
        if bound.hooks.boot_probe(esp=esp) is None:
            for firmware in bound.hooks.boot_firmware():
                bound.hooks.boot_install(esp=esp, firmware=firmware, task=self.task)
        kernels = [fake_kernel(self.host, version) for version in reversed(versions)]
        plan = BootPlan(kernels, default or versions[-1], next_boot, self.cmdline, self.host)
        tree = bound.hooks.boot_render(esp=esp, plan=plan)
        changed = seam.sync_esp(plan, tree, self.mountpoint, self.task)
        state = bound.hooks.boot_probe(esp=esp)
        if "boot_arm" in bound.implemented and state and state.next_boot != next_boot:
            bound.hooks.boot_arm(esp=esp, plan=plan, task=self.task)
        return changed


def _bound(plugin: object) -> Bound[BootloaderSpec]:
    made: Bound[BootloaderSpec] = seam.bind("bootloader", plugin, type(plugin).__name__)
    return made
