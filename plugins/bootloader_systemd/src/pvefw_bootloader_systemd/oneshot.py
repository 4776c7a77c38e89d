"""A kernel that boots once: by a variable of the firmware, or by an entry with a boot counter.

``LoaderEntryOneShot`` is cleared by the loader before it starts that entry (systemd-boot(7)).

Where it cannot be written, ``proxmox_DEFAULT+1.conf`` is put on the ESP (Automatic Boot Assessment). The
pattern in ``loader.conf`` matches it, and its ``sort-key`` puts it before all entries that have none. The
loader renames it to ``…+0-1.conf`` before it starts the kernel. Without a try left it comes last, and the
default's own entry is the first that matches: nothing has to come up for that.
"""

import re
from pathlib import Path

from pvefw.api import BootPlan, Esp, ProviderError, Task, cause_of, remove_file, replace_file
from pvefw_bootloader_systemd import configuration, entries, variables
from pvefw_bootloader_systemd.entries import Entry

SPENT = "loader/entries/proxmox_*+0-*.conf"
"""What is left after a counted boot; core deletes it."""
VARIABLE = f"LoaderEntryOneShot-{variables.LOADER_GUID}"
_OURS = "proxmox"
_GONE = re.compile(rf"{_OURS}-(?P<version>.+)\.conf")
"""The id of an entry of ours, as the variable has it: in lower case."""
_SORTED_FIRST = "sort-key proxmox"


def armed(root: Path, efivars: Path) -> str | None:
    """What boots next, for once.

    :param root: where the ESP is mounted.
    :param efivars: where the firmware's variables are mounted.
    :returns: a version; with a remark, where a counted entry is there that should not be; the id of what
        is not ours, where somebody has wanted that.
    """
    listed = list(entries.read(root))
    wanted = (variables.read_text(efivars, VARIABLE) or "").lower()
    by_variable = configuration.named(root, wanted, listed)
    if by_variable is None and (match := _GONE.fullmatch(wanted)):
        by_variable = match["version"]  # it boots once where its kernel is installed again
    counted = [entry for entry in listed if _is_counted(entry) and entry.tries_left != 0]
    if not counted:
        return by_variable
    [first, *others] = counted
    default = configuration.default_of(root)
    in_order = default and configuration.is_match(default, first.path.name)
    if in_order and not others and not by_variable:
        return first.version
    return f"{first.version} ({first.path.name} is left over)"


def arm(esp: Esp, plan: BootPlan, efivars: Path, task: Task) -> None:
    """Arrange for ``plan.next_boot``, or for none; and for the default, where that is overruled.

    :raises ProviderError: it could not be arranged.
    """
    root = esp.mountpoint
    counted = [entry.path for entry in entries.read(root) if _is_counted(entry)]
    try:
        if plan.pinned or plan.take_over:
            _clear_choice(root, efivars)
        if plan.next_boot is None:
            _clear_variable(efivars, others=plan.take_over)
        elif not _set_variable(plan.next_boot, efivars, task):
            kept = _write_counted(root, plan)
            counted = [path for path in counted if path != kept]
        for path in counted:
            remove_file(path)
    except OSError as error:
        raise ProviderError(
            f"{esp.device}: the next boot could not be changed: {error.strerror or error}",
            hint="The default boots as before; `pvefw boot status` says what is armed.",
        ) from error


def _clear_choice(root: Path, efivars: Path) -> None:
    if configuration.overruled(root, efivars):
        configuration.clear_choice(efivars)


def _is_counted(entry: Entry) -> bool:
    """Whether it is from :func:`_write_counted`; systemd-bless-boot(8) may have taken its counter."""
    return entry.id.startswith(f"{_OURS}_")


def _set_variable(version: str, efivars: Path, task: Task) -> bool:
    try:
        variables.write_text(efivars, VARIABLE, entries.entry_id(version).lower())
    except OSError as error:
        task.log(
            f"The firmware's variables cannot be written ({cause_of(error)}): counting boots instead"
        )
        return False
    return True


def _clear_variable(efivars: Path, *, others: bool) -> None:
    """Take away what boots once.

    :param others: also where it names an entry that is not ours: somebody else has wanted that.
    """
    if others or (variables.read_text(efivars, VARIABLE) or "").lower().startswith(_OURS):
        variables.remove(efivars, VARIABLE)


def _write_counted(root: Path, plan: BootPlan) -> Path:
    if not configuration.counted_can_boot(plan, root):
        raise ProviderError(
            f"{plan.next_boot} cannot boot once: the firmware's variables cannot be written, and boots "
            f"cannot be counted as another kernel's name begins with {plan.default}",
            hint="Pin the kernel instead: `pvefw boot kernel pin`.",
        )
    [kernel] = [offered for offered in plan.kernels if offered.version == plan.next_boot]
    path = root / entries.ENTRIES / f"{entries.entry_stem(plan.default, '_')}+1.conf"
    replace_file(path, entries.render(plan, kernel, _SORTED_FIRST))
    return path
