"""Command lines of the kernel, as lists of words.

Words are what GRUB hands to its ``linux`` command. That puts those with a blank into double quotes for
the kernel, which takes them off again (``Documentation/admin-guide/kernel-parameters.rst``).
"""

import re
from collections.abc import Mapping

from pvefw.api import ProviderError
from pvefw_bootloader_grub import script

_FINDS_ROOT = {
    *("root", "rootflags", "rootfstype", "rootdelay", "rootwait", "boot"),
    *("zfs_force", "cryptdevice", "resume", "resume_offset", "ip", "nfsroot"),
}
"""What core's command line decides: where the root file system is. GRUB's own settings say the rest."""
_WORD = re.compile(r'(?:[^\s"]|"[^"]*(?:"|$))+')


def kernel_words(line: str) -> list[str]:
    """Split a line as the kernel does: at blanks that are not within double quotes."""
    return [word.replace('"', "") for word in _WORD.findall(line)]


def words(core: str, settings: Mapping[str, str], *, recovery: bool = False) -> list[str]:
    """The options of one menu entry, in the order of grub-mkconfig.

    :param core: the plan's command line, of which only what finds the root file system is used, unless
        the settings name the same option.
    :raises ProviderError: a setting has an odd number of quotes.
    """
    common = _setting(settings, "GRUB_CMDLINE_LINUX")
    if recovery:
        rest = [*(_setting(settings, "GRUB_CMDLINE_LINUX_RECOVERY") or ["single"]), *common]
    else:
        rest = [*common, *_setting(settings, "GRUB_CMDLINE_LINUX_DEFAULT")]
    named = {_key(word) for word in rest}
    ours = [word for word in kernel_words(core) if _key(word) in _FINDS_ROOT - named]
    access = [] if named & {"ro", "rw"} else ["ro"]
    return ours + access + rest


def _key(word: str) -> str:
    return word.partition("=")[0]


def _setting(settings: Mapping[str, str], name: str) -> list[str]:
    try:
        return script.words(settings.get(name, ""))
    except script.Unbalanced as error:
        raise ProviderError(
            f"{name} in /etc/default/grub: {error}", hint="Close it, and run the command again."
        ) from error
