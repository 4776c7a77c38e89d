"""A GRUB menu: its entries, how one of them is named, and reading one back from a ``grub.cfg``."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pvefw_bootloader_grub import script

_VERSION = re.compile(r"vmlinuz-(?P<version>.+)")
_ID = re.compile(r"gnulinux-(?P<version>.+)-(?:advanced|(?P<recovery>recovery))-.*")
_NUMBER = re.compile("[0-9]{1,9}")
_DEEPEST = 64
"""Blocks within each other; grub-mkconfig makes three."""
SIMPLE = "gnulinux-simple-"
"""The ids of grub-mkconfig. Their last part is the root file system's UUID."""
_TITLE = re.compile(r".*\WLinux (?P<version>\S+)(?P<recovery> \((?!.*/dev/).+\))?")
"""In the language of whoever ran grub-mkconfig: ``…, mit Linux 6.8.1 (Wiederherstellungsmodus)``. What
os-prober has found on another disk ends with ``(on /dev/sdb2)``."""
_BEFORE_A_COMMAND = {"then", "else", "do", "}"}
_WITH_VALUE = {"--class", "--users", "--hotkey", "--source"}


@dataclass
class Entry:
    """One line of the menu: a kernel, a submenu, or something else."""

    title: str
    id: str = ""
    linux: str = ""
    """The kernel's path, as GRUB is told it; empty where there is none."""
    options: Sequence[str] = ()
    """The kernel's command line."""
    initrds: Sequence[str] = ()
    children: list["Entry"] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Of the kernel, after its file's name; empty where there is none."""
        match = _VERSION.fullmatch(self.linux.rpartition("/")[2])
        return match["version"] if match else ""

    @property
    def recovery(self) -> bool:
        """Whether it starts the recovery mode."""
        match = _ID.fullmatch(self.id)
        return bool(match and match["recovery"])


@dataclass
class Menu:
    """All entries, and which one is the default."""

    entries: list[Entry] = field(default_factory=list)
    default: str = "0"
    """What ``default`` is set to."""
    saved: bool = False
    """Whether ``saved_entry`` of the environment block comes before that, where it is set."""

    def kernels(self) -> Iterator[tuple[str, Entry]]:
        """Every entry that starts a kernel, with the path of ids that leads to it."""
        yield from _kernels(self.entries, "")

    def find(self, name: str) -> Entry | None:
        """The entry that GRUB takes for this value of ``default``: a number, title or id at every level.

        Source: the manual of GRUB, environment variable ``default``.
        """
        entries = self.entries
        entry = None
        for part in _split(name):
            entry = _pick(entries, part)
            if entry is None:
                return None
            entries = entry.children
        return entry if entry and not entry.children else None

    def meant(self, name: str) -> str | None:
        """The path of ids to the entry that an administrator meant by this value of ``GRUB_DEFAULT``.

        It may have been written for the menu of grub-mkconfig: with the ids of another file system, or a
        kernel's title without that of its submenu.

        :returns: ``None`` where no kernel's entry is meant.
        """
        exact = self.find(name)
        if exact is not None:
            return next((path for path, entry in self.kernels() if entry is exact), None)
        last = _split(name)[-1]
        if last.startswith(SIMPLE):
            return next((path for path, _ in self.kernels()), None)
        wanted = _ID.fullmatch(last) or _TITLE.fullmatch(last)
        if wanted is None:
            return None
        recovery = wanted["recovery"] is not None
        for path, entry in self.kernels():
            match = _ID.fullmatch(entry.id)
            if match and entry.version == wanted["version"] and entry.recovery == recovery:
                return path
        return None

    def ordinary(self, version: str) -> str | None:
        """The path of ids to the entry that starts this kernel, and no recovery mode."""
        return self.meant(f"gnulinux-{version}-advanced-")

    def position(self, version: str) -> int:
        """Where that entry is among its siblings, counted from 0; ``fallback`` takes no ids.

        Source: seen with Debian's GRUB 2.06 under QEMU.

        :raises ValueError: there is none.
        """
        lists = [self.entries, *(entry.children for entry in self.entries)]
        for list_ in lists:
            for at, entry in enumerate(list_):
                if _ID.fullmatch(entry.id) and entry.version == version and not entry.recovery:
                    return at
        raise ValueError(version)


def _split(name: str) -> list[str]:
    """The parts of a path; a doubled ``>`` is part of a name."""
    return [part.replace(">>", ">") for part in re.split(r"(?<!>)>(?!>)", name)]


def path_of(*ids: str) -> str:
    """What leads to an entry in submenus, for ``default`` and ``next_entry``."""
    return ">".join(id_.replace(">", ">>") for id_ in ids)


def version_in(name: str) -> str:
    """The kernel that a value of ``default`` names by its id, be it in no menu, or nothing."""
    match = _ID.fullmatch(_split(name)[-1])
    return match["version"] if match else ""


def _kernels(entries: Sequence[Entry], path: str) -> Iterator[tuple[str, Entry]]:
    for number, entry in enumerate(entries):
        here = path + path_of(entry.id or str(number))
        if entry.version:
            yield here, entry
        yield from _kernels(entry.children, f"{here}>")


def _pick(entries: Sequence[Entry], name: str) -> Entry | None:
    if _NUMBER.fullmatch(name):
        return entries[int(name)] if int(name) < len(entries) else None
    return next((entry for entry in entries if name in (entry.title, entry.id)), None)


Include = Callable[[str], str]
"""From the path in a ``source`` command to that file's text; empty where there is none."""


def parse(text: str, include: Include = lambda _name: "") -> Menu:
    """Read a ``grub.cfg``: ours, or one that grub-mkconfig wrote, with what it includes.

    Nothing is evaluated, so of several branches the last one that sets ``default`` counts, but for the
    one that is about ``next_entry``.

    :raises script.Unbalanced: it is cut off or damaged, or nested too deeply.
    """
    top = Entry("")
    menu = Menu(top.children)
    blocks: list[Entry | None] = [top]
    for words in script.commands(text):
        if words[0] in {"source", "."} and len(blocks) == 1:
            _include(words[-1], include, menu)
        else:
            _understand(words, menu, blocks)
    return menu


def _include(name: str, include: Include, menu: Menu) -> None:
    """Take another file into the menu; GRUB runs nothing of one with a mistake in it."""
    try:
        commands = list(script.commands(include(name)))
        blocks: list[Entry | None] = [Entry("", children=menu.entries)]
        for words in commands:
            _understand(words, menu, blocks)
    except script.Unbalanced:
        return


def _understand(words: list[str], menu: Menu, blocks: list[Entry | None]) -> None:
    """Take one command into the menu.

    :param blocks: whose braces are open; ``None`` stands for what is no entry, such as a function.
    """
    words = _command(words, blocks)
    if not words:
        return
    within = blocks[-1]
    if words[-1] == "{":
        entry = _entry(words[1:-1]) if words[0] in {"menuentry", "submenu"} else None
        if entry and within:
            within.children.append(entry)
        blocks.append(entry)
        if len(blocks) > _DEEPEST:
            raise script.Unbalanced(f"there are more than {_DEEPEST} blocks within each other")
    elif words[0] == "set" and len(blocks) == 1:
        _set(menu, *words[-1].split("=", 1))
    elif within and words[0] in {"linux", "linuxefi", "linux16"}:
        within.linux = "".join(words[1:2])
        within.options = words[2:]
    elif within and words[0] in {"initrd", "initrdefi", "initrd16"}:
        within.initrds = words[1:]


def _command(words: list[str], blocks: list[Entry | None]) -> list[str]:
    """What is left behind the words that may stand before a command; braces close their blocks."""
    for number, word in enumerate(words):
        if word == "}" and len(blocks) > 1:
            blocks.pop()
        if word not in _BEFORE_A_COMMAND:
            return words[number:]
    return []


def _set(menu: Menu, name: str, value: str = "") -> None:
    if name == "default" and "saved_entry" in value:
        menu.saved = True
    elif name == "default" and "next_entry" not in value:
        menu.default, menu.saved = value, False


def _entry(words: list[str]) -> Entry:
    """What is between ``menuentry`` and its brace."""
    entry = Entry("")
    rest = iter(words)
    for word in rest:
        if word in {"--id", "$menuentry_id_option", "${menuentry_id_option}"}:
            entry.id = next(rest, "")
        elif word in _WITH_VALUE:
            next(rest, None)
        elif word.startswith("--id="):
            entry.id = word.removeprefix("--id=")
        elif not word.startswith("--") and not entry.title:
            entry.title = word
    return entry
