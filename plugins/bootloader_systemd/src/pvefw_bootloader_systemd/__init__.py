"""systemd-boot for pvefw: entries of the Boot Loader Specification, and boots that happen once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.api import (
    BootPlan,
    BootState,
    BootTree,
    Esp,
    Firmware,
    ProviderError,
    Task,
    hookimpl,
    setting,
)
from pvefw_bootloader_systemd import configuration, entries, installation, memtest, oneshot

__all__ = ["SystemdBoot"]


@dataclass
class SystemdBoot:
    """systemd-boot, on ESPs that Proxmox VE's own tool can go on with."""

    efivars: Path = setting(
        help="Where the firmware's variables are mounted.",
        default=Path("/sys/firmware/efi/efivars"),
    )

    @hookimpl
    def boot_firmware(self) -> Sequence[Firmware]:
        """UEFI, and nothing else."""
        return [Firmware.UEFI]

    @hookimpl
    def boot_probe(self, esp: Esp) -> BootState | None:
        """Whether its binary is in ``EFI/systemd``, and which entries are complete."""
        root = esp.mountpoint
        try:
            version = installation.loader_version(root)
            if version is None:
                return None
            ours = [entry for entry in entries.read(root) if entry.id.startswith("proxmox-")]
            return BootState(
                firmware=[Firmware.UEFI],
                kernels=sorted({entry.version for entry in ours if entry.is_complete(root)}),
                default=configuration.default_boot(root, self.efivars, ours),
                next_boot=oneshot.armed(root, self.efivars),
                loader_version=version,
                overruled=configuration.overruled(root, self.efivars, ours),
            )
        except OSError as error:
            raise ProviderError(f"{esp.device}: {error.strerror or error}") from error

    @hookimpl
    def boot_install(self, esp: Esp, task: Task) -> None:
        """As ``bootctl install`` does it."""
        installation.install(esp, self.efivars, task)

    @hookimpl
    def boot_files(self, esp: Esp) -> Mapping[PurePosixPath, Path]:
        """In ``EFI/systemd`` and ``EFI/BOOT``, as the package systemd-boot-efi has them."""
        try:
            return installation.packaged(esp.mountpoint)
        except OSError as error:
            raise ProviderError(f"{esp.device}: {error.strerror or error}") from error

    @hookimpl
    def boot_render(self, plan: BootPlan) -> BootTree:
        """Entries before the ``loader.conf`` that names one of them."""
        entries.check(plan)
        copies: dict[PurePosixPath, Path] = {}
        texts: dict[PurePosixPath, bytes] = {}
        for kernel in plan.kernels:
            copies |= entries.targets(kernel)
            texts[entries.ENTRIES / entries.entry_id(kernel.version)] = entries.render(plan, kernel)
        more, entry = memtest.files(plan.root)
        texts |= {**entry, configuration.LOADER_CONF: configuration.render(plan)}
        owned = [oneshot.SPENT, *entries.OWNED, *memtest.OWNED]
        return BootTree(copies | more, texts, owned, configuration.warnings(plan))

    @hookimpl
    def boot_arm(self, esp: Esp, plan: BootPlan, task: Task) -> None:
        """By a variable of the firmware, or by boot counting where that cannot be written."""
        oneshot.arm(esp, plan, self.efivars, task)
