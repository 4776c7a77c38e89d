"""Plays GRUB: reads a ``grub.cfg`` and says what would start, as far as pvefw's menus go.

An interpreter of GRUB's script language with the commands that matter, written after its manual and apart
from the plugin. ``tests/machines`` holds both against the real thing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SIZE = 1024
_HEADER = "# GRUB Environment Block\n"
_IGNORED = {
    *("search", "insmod", "echo", "terminal_input", "terminal_output", "loadfont", "serial"),
    *("export", "load_video", "play", "badram", "background_image", "fwsetup"),
    *("password", "password_pbkdf2"),
}


@dataclass
class Item:
    """An entry of the menu as GRUB shows it."""

    title: str
    id: str
    body: list
    submenu: bool
    unrestricted: bool = False
    items: list = field(default_factory=list)


@dataclass
class Outcome:
    """What GRUB hands over to."""

    title: str
    linux: list[str]
    initrds: list[str]

    @property
    def cmdline(self) -> str:
        """As the kernel finds it: words with a blank are in double quotes."""
        words = [re.sub(r"([\\'\"])", r"\\\1", word) for word in self.linux[1:]]
        return " ".join(f'"{word}"' if " " in word else word for word in words)


class Grub:
    """GRUB as started from an ESP.

    :param writable: whether the firmware lets it write to the environment block.
    """

    def __init__(self, esp: Path, *, writable: bool = True) -> None:
        self.esp = esp
        self.prefix = esp / "grub"
        self.variables = {"prefix": str(self.prefix), "grub_platform": "efi"}
        self.items: list[Item] = []
        self.functions: dict[str, list] = {}
        self.writable = writable
        self.linux: list[str] = []
        self.initrds: list[str] = []

    def start(self) -> Outcome | None:
        """Read the menu, wait for nobody, start the default."""
        config = self.prefix / "grub.cfg"
        if not config.is_file():
            return None
        self._source(config)
        items, item = self.items, None
        for part in re.split(r"(?<!>)>(?!>)", self.variables.get("default", "0")):
            item = _pick(items, part.replace(">>", ">")) or (items[0] if items else None)
            if item and self.variables.get("superusers") and not item.unrestricted:
                return None  # it asks for a user name, and nobody is there
            if item is None or not item.submenu:
                break
            outer, self.items = self.items, []
            self._run(item.body)
            items, self.items = self.items, outer
        if item is None or item.submenu:
            return None
        self.variables["chosen"] = self.variables.get("default", "0")
        self._run(item.body)
        return Outcome(item.title, self.linux, self.initrds) if self.linux else None

    # --- commands

    def _source(self, path: Path) -> None:
        try:
            nodes, _ = _block(list(_tokens(path.read_text(errors="replace"))), 0)
        except (ValueError, IndexError):
            return  # GRUB runs nothing of a script with an error in it
        self._run(nodes)

    def _run(self, nodes: list) -> bool:
        status = True
        for kind, *rest in nodes:
            if kind == "if":
                condition, then, other = rest
                status = self._run(then if self._run(condition) else other)
            elif kind == "block":
                status = self._open([self._expand(word) for word in rest[0]], rest[1])
            else:
                status = self._command([self._expand(word) for word in rest[0]])
        return status

    def _open(self, words: list[str], body: list) -> bool:
        if words[0] == "function":
            self.functions[words[1]] = body
        else:
            options, title, id_ = iter(words[1:]), "", ""
            for word in options:
                if word in {"--class", "--users", "--hotkey"}:
                    next(options)
                elif word == "--id":
                    id_ = next(options)
                elif not word.startswith("--"):
                    title = title or word
            free = "--unrestricted" in words
            self.items.append(Item(title, id_, body, words[0] == "submenu", free))
        return True

    def _command(self, words: list[str]) -> bool:
        name, *arguments = words
        if name in self.functions:
            return self._run(self.functions[name])
        known: dict[str, Callable[[list[str]], bool]] = {
            "set": self._set,
            "[": self._test,
            "load_env": self._load,
            "save_env": self._save,
            "linux": self._linux,
            "initrd": self._initrd,
            "source": lambda names: self._source(Path(names[0])) is None,
        }
        assert name in known or name in _IGNORED, f"GRUB has no command {name}"
        return known[name](arguments) if name in known else True

    def _set(self, words: list[str]) -> bool:
        name, _, value = words[0].partition("=")
        self.variables[name] = value
        return True

    def _test(self, words: list[str]) -> bool:
        *words, _ = words
        if words[0] == "-s":
            return Path(words[1]).is_file() and Path(words[1]).stat().st_size > 0
        if words[0] == "-f":
            return Path(words[1]).is_file()
        if words[0] == "-n":
            return bool(words[1])
        if words[0] == "-z":
            return not words[1]
        assert words[1] == "="
        return words[0] == words[2]

    def _load(self, names: list[str]) -> bool:
        values = environment(self.prefix / "grubenv") or {}
        self.variables |= {name: value for name, value in values.items() if name in names}
        return bool(values)

    def _save(self, names: list[str]) -> bool:
        path = self.prefix / "grubenv"
        values = environment(path)
        if values is None or not self.writable:
            return False
        values |= {name: self.variables.get(name, "") for name in names}
        text = _HEADER + "".join(f"{name}={value}\n" for name, value in values.items())
        path.write_bytes(text.encode().ljust(SIZE, b"#"))
        return True

    def _linux(self, words: list[str]) -> bool:
        self.linux = words
        return (self.esp / words[0].lstrip("/")).is_file()

    def _initrd(self, words: list[str]) -> bool:
        self.initrds = words
        return True

    def _expand(self, word: list[tuple[str, bool]]) -> str:
        return "".join(
            re.sub(r"\$\{?(\w+)\}?", lambda found: self.variables.get(found[1], ""), text)
            if expands
            else text
            for text, expands in word
        )


def environment(path: Path) -> dict[str, str] | None:
    """An environment block; ``None`` where GRUB would not take it for one."""
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != SIZE or not data.startswith(_HEADER.encode()):
        return None
    lines = data.decode().removeprefix(_HEADER).rstrip("#").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _pick(items: list[Item], name: str) -> Item | None:
    if name.isdecimal():
        return items[int(name)] if int(name) < len(items) else None
    return next((item for item in items if name in {item.title, item.id}), None)


# --- the language: a word is a list of (text, whether variables are expanded in it)


def _tokens(text: str) -> Iterator[list[tuple[str, bool]] | None]:
    """Words, and ``None`` where a command ends."""
    pattern = re.compile(
        r"(?P<blank>[ \t\r]+)|(?P<end>[;\n])|(?P<comment>(?<![^\s;])#[^\n]*)"
        r"|'(?P<literal>[^']*)'|\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|\\(?P<escaped>.)|(?P<plain>[^\s;'\"\\]+)",
        re.DOTALL,
    )
    word: list[tuple[str, bool]] = []
    position = 0
    while position < len(text):
        found = pattern.match(text, position)
        if found is None:
            raise ValueError(f"not GRUB's language: {text[position : position + 20]}")
        position = found.end()
        kind = found.lastgroup
        if kind in {"blank", "end", "comment"}:
            if word:
                yield word
                word = []
            if kind == "end":
                yield None
        elif kind == "quoted":
            word.append((re.sub(r"\\([\"\\$])", r"\1", found[kind]), True))
        else:
            word.append((found[kind], kind == "plain"))
    if word:
        yield word


def _plain(word: list[tuple[str, bool]] | None) -> str:
    return word[0][0] if word and word[0][1] and len(word) == 1 else ""


def _block(tokens: list, position: int, ends: tuple[str, ...] = ()) -> tuple[list, int]:
    """Commands up to one of the words that end the block, and where that word stands."""
    nodes: list = []
    words: list = []
    while position < len(tokens):
        token = tokens[position]
        if not words and _plain(token) in ends:
            return nodes, position
        if not words and _plain(token) == "if":
            condition, position = _block(tokens, position + 1, ("then",))
            then, position = _block(tokens, position + 1, ("else", "fi"))
            other: list = []
            if _plain(tokens[position]) == "else":
                other, position = _block(tokens, position + 1, ("fi",))
            nodes.append(("if", condition, then, other))
        elif _plain(token) == "{":
            body, position = _block(tokens, position + 1, ("}",))
            nodes.append(("block", words, body))
            words = []
        elif token is None:
            if words:
                nodes.append(("command", words))
            words = []
        else:
            words.append(token)
        position += 1
    if ends:
        raise ValueError("a block is not closed")
    if words:
        nodes.append(("command", words))
    return nodes, position
