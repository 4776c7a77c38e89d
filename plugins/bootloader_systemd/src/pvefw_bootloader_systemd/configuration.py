"""``loader/loader.conf`` (loader.conf(5)): what boots by default, and the settings of the menu."""

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pvefw.api import BootPlan, ProviderError, cause_of
from pvefw_bootloader_systemd import entries, installation, variables
from pvefw_bootloader_systemd.entries import Entry, entry_id, entry_stem, read_fields

LOADER_CONF = PurePosixPath("loader/loader.conf")
HOST_CONF = PurePosixPath("etc/kernel/loader.conf")
"""The administrator's settings, in the same format, below the host's root."""

_PREFERRED, _CHOSEN = "LoaderEntryPreferred", "LoaderEntryDefault"
"""The variables that name what starts, the stronger first; only recent loaders know the first one."""
_WAITING = {
    "LoaderConfigTimeout": ("menu-force",),
    "LoaderConfigTimeoutOneShot": ("menu-force", "0"),
}
"""The values with which the menu waits for a key as long as it takes (Boot Loader Interface)."""
_LAST_STARTED = f"LoaderEntryLastBooted-{variables.LOADER_GUID}"
_SETTING = re.compile(r"(?P<name>[A-Za-z-]+)(?:\s*=\s*|\s+)(?P<value>.*?)(?:\s+#.*)?")
"""As in systemd's other files, which know an equals sign, and as people write comments; the loader reads
a word in small letters, a blank, and all that follows as the value."""
_CHOOSE = ("default", "preferred")
"""The settings that name what starts."""
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no UTF-8."""
_TIMEOUT = "timeout 3"
"""Proxmox VE's own."""


def render(plan: BootPlan, root: Path) -> bytes:
    """The text of ``loader.conf``.

    :param root: where the ESP is mounted.
    :raises ProviderError: the host's own file cannot be read.
    """
    settings = [line for line in _host_lines(plan.root) if line.split()[0] not in _CHOOSE]
    if not any(line.split()[0] == "timeout" for line in settings):
        settings.insert(0, _TIMEOUT)
    return "".join(f"{line}\n" for line in [*settings, f"default {_default(plan, root)}"]).encode()


def warnings(plan: BootPlan) -> list[str]:
    """What of the host's own file does not count."""
    named = {line.split()[0] for line in _host_lines(plan.root)}
    lines = [
        f"/{HOST_CONF}: '{name}' is not used: `pvefw boot kernel pin` chooses the kernel"
        for name in _CHOOSE
        if name in named
    ]
    lines += [
        f"/{HOST_CONF}: '{line}' is read as '{_as_the_loader_reads(line)}'"
        for line in _written_lines(plan.root)
        if line != _as_the_loader_reads(line)
    ]
    lines += [
        f"/{HOST_CONF}: '{line}' is left out: it is not text in UTF-8"
        for line in _meaningful_lines(plan.root)
        if _NO_TEXT in line
    ]
    return lines


def _default(plan: BootPlan, root: Path) -> str:
    """The pattern of the default's entry, and of the counted one that may stand before it.

    Until release 254 the loader takes the boot counter for a part of the id: ``proxmox_6.8.4+1.conf``. So
    ``proxmox?6.8.4[.+]*`` it is, and the plain id where that would match another kernel, too, or what is
    not ours: ``proxmox-6.8.4.bak.conf``, a unified kernel ``proxmox-6.8.4.efi``.
    """
    pattern = f"{entry_stem(plan.default, '?')}[.+]*"
    ours = {entry_id(plan.default), f"{entry_stem(plan.default, '_')}.conf"}
    others = {entry_id(kernel.version) for kernel in plan.kernels} | entries.plain_ids(root)
    if any(is_match(pattern, other) for other in others if other.lower() not in _lower(ours)):
        return entry_id(plan.default)
    return pattern


def _lower(ids: Iterable[str]) -> set[str]:
    return {id_.lower() for id_ in ids}


def counted_can_boot(plan: BootPlan, root: Path) -> bool:
    """Whether the default leaves room for a counted entry."""
    return _default(plan, root) != entry_id(plan.default)


def default_of(root: Path) -> str | None:
    """The default that the ``loader.conf`` on an ESP names: an id, or a pattern of ids.

    :param root: where the ESP is mounted.
    """
    return read_fields(root / LOADER_CONF).get("default", [None])[-1]


def default_boot(root: Path, efivars: Path, on_esp: list[Entry]) -> str | None:
    """What boots by default: a version, or the id of another's entry; ``None`` where the loader decides.

    What was chosen in its menu or with bootctl(1) comes before ``default`` in ``loader.conf``.

    :param efivars: where the firmware's variables are mounted.
    """
    id_ = (
        _chosen_entry(root, efivars, _PREFERRED)
        or _preferred(root, efivars, read_fields(root / LOADER_CONF).get("preferred", [""])[-1])
        or _chosen_entry(root, efivars, _CHOSEN)
        or _configured(root, efivars)
        or _by_itself(root)
    )
    return _in_words(id_, on_esp) if id_ else None


def overruled(root: Path, efivars: Path) -> str:
    """What of the firmware comes before ``loader.conf`` and starts something else, or nothing by itself;
    empty for nothing.
    """
    for name in (_PREFERRED, _CHOSEN):
        chosen = _chosen_entry(root, efivars, name)
        if chosen is None:
            continue
        if chosen == _configured(root, efivars):
            break
        text = _text(efivars, name)
        what = f"{text}, which is {chosen}" if text != chosen else text
        return f"the firmware's {name} names {what}"
    return next(
        (
            f"the firmware's {name} is {_text(efivars, name)}, so that the menu waits for a key"
            for name in _waiting(efivars)
        ),
        "",
    )


def _waiting(efivars: Path) -> list[str]:
    """The variables with which the host does not start by itself."""
    return [name for name, values in _WAITING.items() if _text(efivars, name) in values]


def _text(efivars: Path, name: str) -> str:
    """A variable of the loader's; empty where there is none."""
    return variables.read_text(efivars, f"{name}-{variables.LOADER_GUID}") or ""


def named(root: Path, wanted: str, on_esp: list[Entry]) -> str | None:
    """What an id, or a pattern of ids, starts: a version, or the id of what is not ours."""
    id_ = _first(root, wanted)
    return _in_words(id_, on_esp) if id_ else None


def _in_words(id_: str, on_esp: list[Entry]) -> str:
    """The version of an entry that is ours; another's id."""
    return next((entry.version for entry in on_esp if entry.path.name.lower() == id_), id_)


def _configured(root: Path, efivars: Path) -> str | None:
    """The id of what ``loader.conf`` starts; ``None`` where it names nothing that exists."""
    return _first(root, _saved(efivars, default_of(root) or ""))


def _saved(efivars: Path, wanted: str) -> str:
    """The pattern that is meant: ``@saved`` stands for what was started the last time."""
    if wanted == "@saved":
        return variables.read_text(efivars, _LAST_STARTED) or ""
    return wanted


def _by_itself(root: Path) -> str | None:
    """What the loader starts where nothing is named: the newest, if no sort-key changes that order."""
    ids = _lower(path.name for path in (root / entries.ENTRIES).glob("*.conf"))
    sorts = any("sort-key" in read_fields(path) for path in (root / entries.ENTRIES).glob("*.conf"))
    if sorts or any(root.glob("EFI/Linux/*.efi")):
        return None
    return min(ids, key=_newest_first, default=None)


def _chosen_entry(root: Path, efivars: Path, name: str) -> str | None:
    """The id, in lower case, of what a variable starts; ``None`` where the loader ignores it.

    A name that no entry has is passed over.
    """
    wanted = _text(efivars, name)
    if name == _PREFERRED:
        return _preferred(root, efivars, wanted)
    return _first(root, _saved(efivars, wanted))


def _preferred(root: Path, efivars: Path, wanted: str) -> str | None:
    """The id of what is preferred: only loaders that know such a thing look for it, and they pass over an
    entry whose boots are used up (systemd-boot(7)).
    """
    if not wanted or not installation.knows(root, _PREFERRED):
        return None
    return _first(root, _saved(efivars, wanted), entries.spent_ids(root))


def _first(root: Path, wanted: str, without: Collection[str] = ()) -> str | None:
    """Of the ids that a pattern means, the one that the loader comes to first.

    :param without: what it passes over, in lower case.
    """
    ids = sorted(_lower(entries.all_ids(root)) - {*without}, key=_newest_first)
    counted = entries.entry_stem("", "_")  # the one before the default, which boots once
    return next((id_ for id_ in ids if is_match(wanted, id_) and not id_.startswith(counted)), None)


def _newest_first(id_: str) -> tuple[object, ...]:
    """The loader's order where entries have no sort-key: numbers by their value, the highest first."""
    stem = id_.removesuffix(".conf").removesuffix(".efi")
    parts = re.split(r"(\d+)", stem)
    return tuple(
        -int(part) if at % 2 else [*(-ord(char) for char in part), 1]
        for at, part in enumerate(parts)
    )


def clear_choice(efivars: Path) -> None:
    """Take away what was chosen in the firmware.

    :raises OSError: it cannot be taken away.
    """
    for name in (_PREFERRED, _CHOSEN, *_waiting(efivars)):
        variables.remove(efivars, f"{name}-{variables.LOADER_GUID}")


def is_match(pattern: str, name: str) -> bool:
    """Whether the loader takes an entry for one that a pattern means: case does not count."""
    return fnmatchcase(name.lower(), pattern.lower())


def _host_lines(root: Path) -> list[str]:
    return [_as_the_loader_reads(line) for line in _written_lines(root)]


def _as_the_loader_reads(line: str) -> str:
    setting = _SETTING.fullmatch(line)
    return f"{setting['name'].lower()} {setting['value']}" if setting else line


def _written_lines(root: Path) -> list[str]:
    return [line for line in _meaningful_lines(root) if _NO_TEXT not in line]


def _meaningful_lines(root: Path) -> list[str]:
    text = _host_bytes(root).decode("utf-8-sig", errors="replace")
    lines = (" ".join(line.split()) for line in text.replace("\0", "").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _host_bytes(root: Path) -> bytes:
    path = root / HOST_CONF
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ProviderError(
            f"{path}: it cannot be read: {cause_of(error)}",
            hint="It is a text in the format of loader.conf(5).",
        ) from error
