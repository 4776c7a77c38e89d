"""GRUB's own binaries, through grub-install."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pvefw.api import Esp, Firmware, ProviderError, Task, Unsupported, run
from pvefw_bootloader_grub import files, nvram, platforms

_OWN = PurePosixPath("EFI/proxmox")
_SECONDS = 300.0


def install(esp: Esp, firmware: Firmware, task: Task) -> None:
    """See :meth:`BootloaderSpec.boot_install`."""
    put(esp, firmware, task)
    if firmware is Firmware.UEFI:
        nvram.register(esp, task)


def put(esp: Esp, firmware: Firmware, task: Task) -> None:
    """Have grub-install write all of GRUB's own files; the firmware's boot entries stay as they are.

    :raises Unsupported: GRUB for this firmware is not installed on this host.
    :raises ProviderError: grub-install failed.
    """
    ours = _platform(firmware)
    program = _program()
    if program is None or not (ours.modules / "modinfo.sh").is_file():
        raise Unsupported(
            f"GRUB for {firmware.upper()} is not installed on this host",
            hint=f"Run: apt install grub2-common {ours.package}",
        )
    where = [f"--target={ours.target}", f"--boot-directory={esp.mountpoint}"]
    common = [program, *where, "--no-floppy"]
    if firmware is Firmware.BIOS:
        task.log(f"Installing GRUB {ours.target} target on {esp.disk}")
        _run([*common, str(esp.disk)], task)
        return
    task.log(f"Installing GRUB {ours.target} target on {esp.device}")
    signed = all(image.is_file() for image in ours.signed)
    if not signed:
        package = f"{ours.package.removesuffix('-bin')}-signed"
        task.log(f"Without Secure Boot: for that, install shim-signed and {package}")
    uefi = [
        *common,
        f"--efi-directory={esp.mountpoint}",
        "--bootloader-id=proxmox",
        "--force-extra-removable",  # so that the disk also boots in a machine that never saw it
        "--uefi-secure-boot" if signed else "--no-uefi-secure-boot",
        "--no-nvram",
    ]
    _run(uefi, task)
    if signed:
        _let_the_removable_one_find_its_menu(esp.mountpoint / "EFI")


def _platform(firmware: Firmware) -> platforms.Platform:
    return platforms.BIOS if firmware is Firmware.BIOS else platforms.uefi()


def packaged(esp: Esp, kinds: Iterable[Firmware]) -> Mapping[PurePosixPath, Path]:
    """What grub-install copies as it is, and an image is made of: target on the ESP to file of the host.

    :param kinds: those that GRUB is there for.
    """
    sources: dict[PurePosixPath, Path] = {}
    for kind in kinds:
        ours = _platform(kind)
        modules = {
            PurePosixPath("grub", ours.target, path.name): path
            for path in sorted(ours.modules.glob("*.mod"))
        }
        # an ESP with none of them was set up in another way than by grub-install
        if any((esp.mountpoint / module).is_file() for module in modules):
            sources |= modules
        shim_is_there = (esp.mountpoint / _OWN / ours.shim).is_file()
        if (
            kind is Firmware.UEFI
            and shim_is_there
            and all(image.is_file() for image in ours.signed)
        ):
            sources |= zip((_OWN / ours.image, _OWN / ours.shim), ours.signed, strict=True)
    return sources


def _let_the_removable_one_find_its_menu(efi: Path) -> None:
    """Put beside the signed image in ``EFI/BOOT`` what says where the menu is.

    A signed image looks for ``grub.cfg`` in its own folder; grub-install writes one into that of the
    bootloader id only, and a machine that never saw the disk ended at GRUB's prompt.
    """
    pointer = files.read(efi / "proxmox/grub.cfg")
    if pointer is not None:
        files.replace(efi / "BOOT/grub.cfg", pointer)


def _program() -> str | None:
    """grub-install; Proxmox VE puts a refusal in its place on hosts with synced ESPs."""
    return shutil.which("grub-install.real") or shutil.which("grub-install")


def _run(argv: Sequence[str], task: Task) -> None:
    done = run(argv, timeout=_SECONDS, check=False)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode != 0:
        errors = " / ".join(line for line in lines if "error" in line)
        raise ProviderError(f"grub-install failed: {errors or done.last_words}")
    for line in lines:
        task.log(line)
