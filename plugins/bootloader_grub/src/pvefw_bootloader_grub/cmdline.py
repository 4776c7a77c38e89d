"""Command lines of the kernel, as lists of words.

Words are what GRUB hands to its ``linux`` command. That puts those with a blank into double quotes for
the kernel, which takes them off again (``Documentation/admin-guide/kernel-parameters.rst``).
"""

import re
from collections.abc import Mapping, Sequence

from pvefw.api import ProviderError, names_nothing
from pvefw_bootloader_grub import script

_FINDS_ROOT = re.compile(
    r"root|rootflags|rootfstype|rootdelay|rootwait|boot|bootfs|rpool|zfs_?force|rootzfsflags|zfs\.\w+"
    r"|crypt(?:device|opts|key)|r?d?\.?luks\..*|rd\.(?:lvm|md|dm|zfs|luks|iscsi|nvmf|nfs|neednet)\b.*"
    r"|resume|resume_offset|ip|netroot|nfsroot|iscsi_\w+|nbdroot|do(?:lvm|mdadm)|overlayroot"
)
"""Options that say where the root file system is, and how to get at it."""
_SEVERAL = re.compile(r"rd\..*|luks\..*|cryptopts|zfs\.\w+|ip|iscsi_\w+")
"""Those of which each counts, however many there are."""
_FROM_LOADERS = {"BOOT_IMAGE", "initrd"}
_ACCESS = {"ro", "rw"}
_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')


def kernel_words(line: str) -> list[str]:
    """Split a line as the kernel does: at blanks that are not within double quotes."""
    return [word.replace('"', "") for word in _WORD.findall(line)]


def words(
    core: str,
    settings: Mapping[str, str],
    *,
    recovery: Sequence[str] | None = None,
    root_only: bool = False,
) -> list[str]:
    """The options of one menu entry, in the order of grub-mkconfig.

    :param core: the plan's command line; what the settings name, too, is as they have it.
    :param recovery: for an entry of the recovery mode, what grub-mkconfig adds there by itself.
    :param root_only: whether only that counts of it which finds the root file system: the rest may be
        what the settings once said.
    :raises ProviderError: a setting has an odd number of quotes, or a ``root=`` that names nothing.
    """
    common = _setting(settings, "GRUB_CMDLINE_LINUX")
    if recovery is not None:
        single = _setting(settings, "GRUB_CMDLINE_LINUX_RECOVERY") or ["single"]
        rest = [*single, *recovery, *common]
    else:
        rest = [*common, *_setting(settings, "GRUB_CMDLINE_LINUX_DEFAULT")]
    given = [word for word in kernel_words(core) if _key(word) not in _FROM_LOADERS]
    ours = [
        word
        for word in given
        if not _is_named(word, rest)
        and word not in _ACCESS
        and (not root_only or _FINDS_ROOT.fullmatch(_key(word)))
    ]
    access = [word for word in given if word in _ACCESS][-1:] if not root_only else []
    access = [] if _ACCESS & set(rest) else access or ["ro"]
    return ours + access + rest


def unused(core: str, settings: Mapping[str, str]) -> list[str]:
    """Options of the plan's command line that the settings give another value."""
    rest = [
        *_setting(settings, "GRUB_CMDLINE_LINUX"),
        *_setting(settings, "GRUB_CMDLINE_LINUX_DEFAULT"),
    ]
    used = words(core, settings)
    return [
        word
        for word in kernel_words(core)
        if word not in used and word not in rest and _key(word) not in _FROM_LOADERS
    ]


def _is_named(word: str, rest: Sequence[str]) -> bool:
    """Whether the settings have an option already; of some, several count."""
    if _SEVERAL.fullmatch(_key(word)):
        return word in rest
    return _key(word) in set(map(_key, rest))


def _key(word: str) -> str:
    return word.partition("=")[0]


def _setting(settings: Mapping[str, str], name: str) -> list[str]:
    value = settings.get(name, "")
    try:
        parameters = script.words(value)
    except script.Unbalanced as error:
        raise ProviderError(
            f"{name} in /etc/default/grub: {error}", hint="Close it, and run the command again."
        ) from error
    nothing = list(filter(names_nothing, parameters))
    if empty := [word for word in nothing if word.startswith("root=")]:
        raise ProviderError(
            f'/etc/default/grub: {name}: {empty[0]} names no file system: {name}="{value}"',
            hint="A variable in it may not be set. Write the root file system there, or no root= at all.",
        )
    if nothing:
        raise ProviderError(
            f'/etc/default/grub: {name}: {nothing[0]} names no device: {name}="{value}"',
            hint="A command or variable in it may be empty: these files are read as nobody. Write the "
            "device there, or leave the option out.",
        )
    return parameters
