"""The UEFI shell as a boot loader: its startup script starts Linux through the kernel's EFI stub."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pvefw.api import BootState, BootTree, Firmware, ProviderError, hookimpl, replace_file, setting

HOME = PurePosixPath("EFI/pvefw")
FILES = ("start.nsh", "linux.efi", "initrd")
STARTUP = rb"""for %a run (0 9)
  if exist fs%a:\EFI\pvefw\default.nsh then
    fs%a:
    if exist \EFI\pvefw\once.nsh then
      mv \EFI\pvefw\once.nsh \EFI\pvefw\spent.nsh
      \EFI\pvefw\spent.nsh
    endif
    \EFI\pvefw\default.nsh
  endif
endfor
"""


@dataclass
class Minimal:
    """The UEFI shell, the firmware's own or one that is put on the ESP."""

    shell: Path | None = setting(help="A shell for EFI/BOOT/BOOTX64.EFI.", default=None)

    @hookimpl
    def boot_firmware(self):
        return [Firmware.UEFI]

    @hookimpl
    def boot_install(self, esp):
        try:
            replace_file(esp.mountpoint / "startup.nsh", STARTUP)
            if self.shell:
                replace_file(esp.mountpoint / "EFI/BOOT/BOOTX64.EFI", self.shell.read_bytes())
        except OSError as error:
            raise ProviderError(f"{error.filename}: {error.strerror}") from error

    @hookimpl
    def boot_render(self, plan):
        copies, texts = {}, {}
        for kernel in plan.kernels:
            if not re.fullmatch(r"\d[a-z0-9_.+~-]*[a-z0-9_+]", kernel.version.lower()):
                raise ProviderError(f"kernel {kernel.version!r}: no name for the shell")
            folder = HOME / kernel.version
            copies |= {folder / "linux.efi": kernel.vmlinuz, folder / "initrd": kernel.initrd}
            start = (
                f"{shown(folder / 'linux.efi')} initrd={shown(folder / 'initrd')} {plan.cmdline}"
            )
            texts[folder / "start.nsh"] = f"{start}\n".encode()
        if len({str(text).lower() for text in texts}) < len(texts):
            raise ProviderError("an ESP cannot hold two kernels that differ in their case only")
        if not re.fullmatch(r"[\w .,:=/@+~-]*", plan.cmdline, re.ASCII):
            raise ProviderError(f"the shell would change the command line {plan.cmdline!r}")
        texts[HOME / "default.nsh"] = f"{shown(HOME / plan.default / 'start.nsh')}\n".encode()
        if plan.next_boot:
            texts[HOME / "once.nsh"] = f"{shown(HOME / plan.next_boot / 'start.nsh')}\n".encode()
        texts[PurePosixPath("startup.nsh")] = STARTUP
        return BootTree(copies, texts, [f"{HOME}/*.nsh", *(f"{HOME}/*/{file}" for file in FILES)])

    @hookimpl
    def boot_probe(self, esp):
        startup, home = esp.mountpoint / "startup.nsh", esp.mountpoint / HOME
        if not startup.is_file() or b"pvefw" not in startup.read_bytes():
            return None
        folders = [path for path in home.glob("*") if all((path / name).exists() for name in FILES)]
        default, once = named(home / "default.nsh"), named(home / "once.nsh")
        return BootState([Firmware.UEFI], [folder.name for folder in folders], default, once)


def shown(path):
    return "\\" + str(path).replace("/", "\\")


def named(script):
    text = script.read_text(errors="replace") if script.exists() else ""
    return found[1] if (found := re.search(r"\\([^\\]*)\\start\.nsh", text)) else None
