"""``loader/loader.conf`` (loader.conf(5)): what boots by default, and the settings of the menu."""

import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, ProviderError, cause_of
from pvefw_bootloader_systemd import entries, variables
from pvefw_bootloader_systemd.entries import Entry, entry_id, entry_stem, read_fields

LOADER_CONF = PurePosixPath("loader/loader.conf")
HOST_CONF = PurePosixPath("etc/kernel/loader.conf")
"""The administrator's settings, in the same format, below the host's root."""

CHOSEN = f"LoaderEntryDefault-{variables.LOADER_GUID}"
_LAST_STARTED = f"LoaderEntryLastBooted-{variables.LOADER_GUID}"
_SETTING = re.compile(r"([a-z-]+)\s*=\s*(.*)")
"""As in systemd's other files; the loader reads a word, a blank and a value."""
_TIMEOUT = "timeout 3"
"""Proxmox VE's own."""


def render(plan: BootPlan) -> bytes:
    """The text of ``loader.conf``.

    :raises ProviderError: the host's own file cannot be read.
    """
    settings = [line for line in _host_lines(plan.root) if line.split()[0] != "default"]
    if not any(line.split()[0] == "timeout" for line in settings):
        settings.insert(0, _TIMEOUT)
    return "".join(f"{line}\n" for line in [*settings, f"default {_default(plan)}"]).encode()


def warnings(plan: BootPlan) -> list[str]:
    """What of the host's own file does not count."""
    lines = []
    if any(line.split()[0] == "default" for line in _host_lines(plan.root)):
        lines.append(
            f"/{HOST_CONF}: 'default' is not used: `pvefw boot kernel pin` chooses the kernel"
        )
    lines += [
        f"/{HOST_CONF}: '{line}' is read as '{_as_the_loader_reads(line)}'"
        for line in _written_lines(plan.root)
        if line != _as_the_loader_reads(line)
    ]
    return lines


def _default(plan: BootPlan) -> str:
    """The pattern of the default's entry, and of the counted one that may stand before it.

    Until release 254 the loader takes the boot counter for a part of the id: ``proxmox_6.8.4+1.conf``. So
    ``proxmox?6.8.4[.+]*`` it is, and the plain id where that would match another kernel, too.
    """
    pattern = f"{entry_stem(plan.default, '?')}[.+]*"
    others = [entry_id(kernel.version) for kernel in plan.kernels if kernel.version != plan.default]
    if any(is_match(pattern, other) for other in others):
        return entry_id(plan.default)
    return pattern


def counted_can_boot(plan: BootPlan) -> bool:
    """Whether the default leaves room for a counted entry."""
    return _default(plan) != entry_id(plan.default)


def default_of(root: Path) -> str | None:
    """The default that the ``loader.conf`` on an ESP names: an id, or a pattern of ids.

    :param root: where the ESP is mounted.
    """
    return read_fields(root / LOADER_CONF).get("default", [None])[-1]


def default_boot(root: Path, efivars: Path, on_esp: list[Entry]) -> str | None:
    """What boots by default: a version, or the id of another's entry; ``None`` where the loader decides.

    What was chosen in its menu or with ``bootctl set-default`` comes before ``loader.conf``.

    :param efivars: where the firmware's variables are mounted.
    """
    chosen = _chosen_entry(root, efivars)
    if chosen is not None:
        ours = (other.version for other in on_esp if other.path.name.lower() == chosen)
        return next(ours, chosen)
    entry = _configured(root, on_esp)
    return entry.version if entry else None


def overruled(root: Path, efivars: Path, on_esp: list[Entry]) -> str:
    """What of the firmware comes before ``loader.conf`` and starts something else; empty for nothing."""
    chosen = _chosen_entry(root, efivars)
    configured = _configured(root, on_esp)
    if chosen is None or (configured is not None and configured.path.name.lower() == chosen):
        return ""
    text = variables.read_text(efivars, CHOSEN) or ""
    what = f"{text}, which is {chosen}" if text != chosen else text
    return f"the firmware's LoaderEntryDefault names {what}"


def _configured(root: Path, on_esp: list[Entry]) -> Entry | None:
    default = default_of(root)
    matching = [entry for entry in on_esp if default and is_match(default, entry.path.name)]
    return matching[0] if len(matching) == 1 else None


def _chosen_entry(root: Path, efivars: Path) -> str | None:
    """The id, in lower case, of what ``LoaderEntryDefault`` starts; ``None`` where the loader ignores it.

    ``@saved`` stands for what was started the last time. A name that no entry has is passed over.
    """
    wanted = variables.read_text(efivars, CHOSEN)
    if wanted == "@saved":
        wanted = variables.read_text(efivars, _LAST_STARTED)
    if not wanted:
        return None
    ids = sorted({id_.lower() for id_ in entries.all_ids(root)}, reverse=True)
    return next((id_ for id_ in ids if is_match(wanted, id_)), None)


def clear_choice(efivars: Path) -> None:
    """Take away what was chosen in the firmware.

    :raises OSError: it cannot be taken away.
    """
    variables.remove(efivars, CHOSEN)


def is_match(pattern: str, name: str) -> bool:
    """Whether the loader takes an entry for one that a pattern means: case does not count."""
    return fnmatchcase(name.lower(), pattern.lower())


def _host_lines(root: Path) -> list[str]:
    return [_as_the_loader_reads(line) for line in _written_lines(root)]


def _as_the_loader_reads(line: str) -> str:
    return _SETTING.sub(r"\1 \2", line) if _SETTING.fullmatch(line) else line


def _written_lines(root: Path) -> list[str]:
    path = root / HOST_CONF
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ProviderError(
            f"{path}: it cannot be read: {cause_of(error)}",
            hint="It is a text in the format of loader.conf(5).",
        ) from error
    lines = (" ".join(line.split()) for line in text.replace("\0", "").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
