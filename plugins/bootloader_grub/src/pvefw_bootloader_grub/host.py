"""Hosts without synced ESPs: a pin for update-grub, and a kernel that is booted once through grubenv.

Such a host's ``/boot`` is an ordinary directory, and grub-mkconfig writes its menu.
"""

import contextlib
from pathlib import Path

from pvefw.api import ProviderError, Task, Unsupported, run
from pvefw_bootloader_grub import defaults, files, grubenv, script
from pvefw_bootloader_grub.menu import Menu, parse
from pvefw_bootloader_grub.script import Unbalanced

_CONFIG = Path("boot/grub/grub.cfg")
_CUSTOM = Path("boot/grub/custom.cfg")
_ENVIRONMENT = Path("boot/grub/grubenv")
_GENERATORS = ("update-grub", "grub-mkconfig")
_SECONDS = 600.0
"""os-prober looks at every disk."""
_CANNOT_WRITE_TO = {"btrfs", "cpiofs", "newc", "odc", "romfs", "squash4", "tarfs", "zfs"}
"""File systems that GRUB reads only; nor does it write through any layer between them and the disk."""


def select(default: str | None, next_boot: str | None, root: Path, task: Task) -> None:
    """See :meth:`BootloaderSpec.boot_select`."""
    if not (root / defaults.MAIN).is_file() or not _generator(root):
        raise Unsupported(
            "this host is not started by GRUB: it has no /etc/default/grub, or no update-grub",
            hint="Set up an ESP with: pvefw boot init PARTITION",
        )
    if next_boot is not None:
        _check_writable(root)
    _pin(default, root, task)
    _arm(next_boot, root, task)


def _generator(root: Path) -> list[str]:
    """The command that writes the menu, empty where there is none."""
    for name in _GENERATORS:
        for folder in ("usr/sbin", "sbin", "usr/local/sbin"):
            if (root / folder / name).is_file():
                return [name] if name == "update-grub" else [name, "-o", f"/{_CONFIG}"]
    return []


def _within(root: Path, argv: list[str]) -> list[str]:
    return argv if root == Path("/") else ["chroot", str(root), *argv]


def _pin(version: str | None, root: Path, task: Task) -> None:
    """Bring the snippet and the menu there; after any failure both are what they were.

    :raises ProviderError: there is no such entry, or update-grub failed.
    """
    snippet, config = root / defaults.PIN, root / _CONFIG
    before, menu_before = files.read(snippet), files.read(config)
    wanted = None
    if version is not None:
        path = _menu(menu_before).ordinary(version)
        if path is None:
            raise ProviderError(
                f"{version}: GRUB's menu has no entry for this kernel", hint="Run: update-grub"
            )
        wanted = f'GRUB_DEFAULT="{path}"\n'.encode()
    if wanted == before:
        return
    done = False
    try:
        files.replace(snippet, wanted)
        task.log(f"Running {_generator(root)[0]}")
        _generate(root)
        _check(version, _menu(files.read(config), root))
        done = True
    finally:
        if not done:
            files.replace(snippet, before)
            if files.read(config) != menu_before:
                files.replace(config, menu_before)


def _generate(root: Path) -> None:
    done = run(_within(root, _generator(root)), timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise ProviderError(
            f"{done.argv[-1]} failed: {done.last_words}",
            hint="Run update-grub by hand to see all that it says.",
        )


def _check(version: str | None, menu: Menu) -> None:
    """Whether the new menu boots what was pinned: a later snippet could have the last word."""
    entry = menu.find(menu.default)
    if version is not None and (menu.saved or entry is None or entry.version != version):
        raise ProviderError(
            f"{version}: update-grub did not make it the default",
            hint="Look for another GRUB_DEFAULT in /etc/default/grub.d, or a 'set default' in "
            f"/{_CUSTOM}.",
        )


def _menu(config: bytes | None, root: Path | None = None) -> Menu:
    """What GRUB makes of its configuration.

    :param root: of the host, to read the administrator's own file, too, that the configuration includes.
    """

    def include(name: str) -> str:
        if root is None or Path(name).name != _CUSTOM.name:
            return ""
        return (files.read(root / _CUSTOM) or b"").decode(errors="replace")

    try:
        return parse((config or b"").decode(errors="replace"), include)
    except Unbalanced:
        return Menu()


def _arm(version: str | None, root: Path, task: Task) -> None:
    environment = root / _ENVIRONMENT
    path = None
    if version is not None:
        config = files.read(root / _CONFIG)
        path = _menu(config).ordinary(version)
        if path is None:
            raise ProviderError(
                f"{version}: GRUB's menu has no entry for this kernel", hint="Run: update-grub"
            )
        if b"custom.cfg" in (config or b"") and _sets_default(files.read(root / _CUSTOM) or b""):
            raise ProviderError(
                f"{version}: /{_CUSTOM} sets another default, which comes before a one-time boot",
                hint=f"Remove 'set default' from /{_CUSTOM}.",
            )
        task.log(f"GRUB boots {version} once")
    if path != (grubenv.read(environment) or {}).get("next_entry"):
        grubenv.update(environment, {"next_entry": path})


def _sets_default(custom: bytes) -> bool:
    with contextlib.suppress(Unbalanced):  # GRUB has run what comes before
        for words in script.commands(custom.decode(errors="replace")):
            if words[0] == "set" and words[-1].startswith("default="):
                return True
    return False


def _check_writable(root: Path) -> None:
    """Refuse where GRUB could not forget what it has booted once, and would boot it for ever.

    :raises Unsupported: GRUB cannot write to the file system of ``/boot/grub``.
    """
    layers = _grub_probe(root, "abstraction")
    system = _grub_probe(root, "fs")
    if layers or system in _CANNOT_WRITE_TO:
        raise Unsupported(
            f"GRUB cannot write to /boot on {layers or system}, so it cannot boot a kernel just once",
            hint="Pin the kernel without --next-boot, or set up an ESP with: pvefw boot init PARTITION",
        )


def _grub_probe(root: Path, target: str) -> str:
    argv = ["grub-probe", f"--target={target}", f"/{_CONFIG.parent}"]
    return run(_within(root, argv)).stdout.strip()
