"""Arguments as Proxmox VE's commands read them: Getopt::Long(3perl), with ``-`` as good as ``--``.

An option may be shortened as long as it is unambiguous. A boolean is on by itself, and takes a value:
``--force``, ``--force 0``, ``--force=no``. What is an argument can be given as an option, too.
"""

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import click

from pvefw.core.errors import UsageError

_OPTION = re.compile(r"--?(?P<name>[^=-][^=]*)(?:=(?P<value>.*))?", re.DOTALL)
_BOOLEANS = {
    **dict.fromkeys(("1", "on", "yes", "true"), True),
    **dict.fromkeys(("0", "off", "no", "false"), False),
}
LISTING = ("human-readable", "noborder", "noheader", "quiet")
"""The booleans of everything that lists or shows; ``output-format`` belongs to them."""


@dataclass(frozen=True)
class Synopsis:
    """What a command of the reference takes."""

    arguments: Sequence[str] = ()
    """In their order; one in brackets may be left out."""
    options: frozenset[str] = frozenset()
    """Those with a value."""
    booleans: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    """Options and arguments whose values are joined where they are given several times."""

    @property
    def names(self) -> Sequence[str]:
        """The arguments, without brackets."""
        return [argument.strip("[]") for argument in self.arguments]

    @property
    def known(self) -> frozenset[str]:
        """Everything that can be given by name."""
        return frozenset((*self.names, *self.options, *self.booleans))

    def __str__(self) -> str:
        arguments = [re.sub(r"[^\[\]]+", r"<\g<0>>", argument) for argument in self.arguments]
        more = ["[OPTIONS]"] if self.known - {*self.names} else []
        return " ".join([*arguments, *more])


def synopsis(
    arguments: str = "", options: str = "", booleans: str = "", *, listing: bool = False
) -> Synopsis:
    """A row of a table: names apart by blanks; ``…`` ends that of a list.

    :param listing: whether it has the options of what lists or shows.
    """
    extra = ("output-format",) if listing else ()
    flags = (*booleans.split(), *(LISTING if listing else ()))
    words = [*arguments.split(), *options.split()]
    bare = [word.rstrip("…") for word in options.split()]
    lists = frozenset(word.strip("[]…") for word in words if word.endswith(("…", "…]")))
    return Synopsis(
        [word.replace("…", "") for word in arguments.split()],
        frozenset((*bare, *extra)),
        frozenset(flags),
        lists,
    )


@dataclass(frozen=True)
class Given:
    """What was given to a command."""

    values: Mapping[str, str | bool] = field(default_factory=dict)
    """Arguments and options of the reference by name."""
    more: Sequence[str] = ()
    """Options that only pvefw has, as they were typed."""

    def without(self, *names: str) -> "Given":
        """The same without some."""
        return replace(self, values={k: v for k, v in self.values.items() if k not in names})

    def having(self, **values: str | bool) -> "Given":
        """The same with others; ``_`` in a name stands for ``-``."""
        added = {name.replace("_", "-"): value for name, value in values.items()}
        return replace(self, values={**self.values, **added})


def unique(word: str, names: Iterable[str]) -> str | None:
    """The name that a word is, or is the beginning of.

    :raises UsageError: it is the beginning of several.
    """
    listed = sorted(names)
    if word in listed:
        return word
    matches = [name for name in listed if name.startswith(word)]
    if len(matches) > 1:
        raise UsageError(f"'{word}' is ambiguous: it can be {' or '.join(matches)}")
    return matches[0] if matches else None


def read(words: Sequence[str], expected: Synopsis, pvefw: click.Command) -> Given:
    """Read what follows the name of a command.

    :param pvefw: the command that carries it out; it may have options of its own.
    :raises UsageError: a value is missing or none of a boolean, an option is ambiguous, or there are too
        many arguments.
    """
    return _Reader(words, expected, pvefw).read()


class _Reader:
    def __init__(self, words: Sequence[str], expected: Synopsis, pvefw: click.Command) -> None:
        self.rest = deque(words)
        self.expected = expected
        self.own = _options(pvefw)
        self.values: dict[str, str | bool] = {}
        self.arguments: list[str] = []
        self.more: list[str] = []

    def read(self) -> Given:
        while self.rest:
            word = self.rest.popleft()
            match = _OPTION.fullmatch(word)
            if word == "--":
                self.arguments += self.rest
                break
            if match is None:
                self.arguments.append(word)
            else:
                self._option(match["name"], match["value"])
        self._place()
        return Given(self.values, self.more)

    def _option(self, typed: str, value: str | None) -> None:
        """The reference's options come first, also shortened: ``--node`` may be its ``--nodes``."""
        name = unique(typed.lower(), self.expected.known)
        if name is None:
            self._own(typed, value)
        elif name in self.expected.booleans:
            self.values[name] = self._boolean(name, value)
        else:
            self._set(name, self._value(name) if value is None else value)

    def _own(self, name: str, value: str | None) -> None:
        """An option of pvefw, or of nobody: click will say so."""
        self.more.append(f"--{name}" if value is None else f"--{name}={value}")
        param = self.own.get(f"--{name}")
        takes_value = not getattr(param, "is_flag", False)
        if value is None and takes_value and self.rest and not _OPTION.fullmatch(self.rest[0]):
            self.more.append(self.rest.popleft())

    def _boolean(self, name: str, value: str | None) -> bool:
        if value is None and self.rest and self.rest[0].lower() in _BOOLEANS:
            value = self.rest.popleft()
        return boolean(name, value or "1")

    def _value(self, name: str) -> str:
        if not self.rest:
            raise UsageError(f"--{name}: a value is missing")
        return self.rest.popleft()

    def _set(self, name: str, value: str) -> None:
        before = self.values.get(name)
        several = name in self.expected.lists and before is not None
        self.values[name] = f"{before},{value}" if several else value

    def _place(self) -> None:
        """Give the arguments their names. What may be left out is, where there are too few."""
        free = [
            argument
            for argument in self.expected.arguments
            if argument.strip("[]") not in self.values
        ]
        for optional in [argument for argument in free if argument.startswith("[")]:
            if len(free) > len(self.arguments):
                free.remove(optional)
        if len(self.arguments) > len(free):
            raise UsageError(f"too many arguments: {' '.join(self.arguments[len(free) :])}")
        if len(self.arguments) < len(free) and not self.more:
            raise UsageError(f"<{free[len(self.arguments)]}> is missing")
        for argument, word in zip(free, self.arguments, strict=False):
            name = argument.strip("[]")
            is_boolean = name in self.expected.booleans
            self.values[name] = boolean(name, word) if is_boolean else word


def boolean(name: str, text: str) -> bool:
    """The value of a boolean.

    :raises UsageError: it is none.
    """
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise UsageError(f"--{name}: '{text}' is neither yes nor no: give 1 or 0")
    return value


def for_pvefw(given: Given, expected: Synopsis, pvefw: click.Command) -> list[str]:
    """The same as arguments of pvefw's command."""
    own = _options(pvefw)
    words, arguments = list(given.more), []
    for name in _in_order(given.values, expected.names):
        value = given.values[name]
        if isinstance(value, bool):
            words += _flag(name, own.get(f"--{name}"), on=value)
        elif name in expected.names:
            arguments.append(value)
        else:
            words += [f"--{name}={value}"]
    return [*words, "--", *arguments] if arguments else words


def _in_order(values: Collection[str], arguments: Sequence[str]) -> list[str]:
    """Arguments in their order, then the options."""
    return [
        *(argument for argument in arguments if argument in values),
        *(value for value in values if value not in arguments),
    ]


def _flag(name: str, param: click.Parameter | None, *, on: bool) -> list[str]:
    """A boolean as pvefw's option has it: a flag, two flags, or one with a value."""
    if isinstance(param, click.Option) and not param.is_flag:
        return [f"--{name}={int(on)}"]
    if on:
        return [f"--{name}"]
    return [f"--no-{name}"] if param is not None and param.secondary_opts else []


def _options(command: click.Command) -> dict[str, click.Parameter]:
    """Its options by their names with dashes."""
    params = command.get_params(click.Context(command))
    return {name: param for param in params for name in (*param.opts, *param.secondary_opts)}
