"""What somebody may have meant: commands anywhere in the tree, options, and the line to type.

Nothing is better than a silly suggestion: what fits several commands equally is not suggested, and a
line is shown with its arguments only where it would be accepted.
"""

import contextlib
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import click

from pvefw.cli import habits
from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW

_CLOSE = 0.82
"""How alike two words have to be (difflib's ratio)."""
_SHORTEST = 4
"""Letters of a word that may be mistyped; shorter ones are alike by chance."""
_MOST = 3
"""Suggestions."""
_JOINTS = re.compile(r"[-_.:/]")
"""Between words that were typed as one: ``cert-info``."""
_LATER = re.compile(r"[a-z][1-9]\d*$")
"""Options of which there are many: the first is the one to suggest."""
_SHOWING = ("list", "info", "get", "status", "show", "config")
"""The command of a group that is suggested where only the group was named."""
_IN_A_FILE = "Settings of a plugin are lines KEY=VALUE in a file: --data FILE"
_LEVEL = 0.05
_ABSENT, _WITHOUT_SENSE = 0.3, 0.6
"""What a word of the command costs that was not typed, and what one that was typed and is not in it."""


@dataclass(frozen=True)
class _Candidate:
    path: tuple[str, ...]
    score: float
    used: int
    """How many of the words that follow the unknown one are in the command's name."""


def _paths() -> list[tuple[str, ...]]:
    return [path for path, _, _ in walk() if path]


def walk() -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Every group and command, with its words; those that cannot be imported are left out."""
    yield from _walk((), PVEFW, click.Context(PVEFW, info_name="pvefw", obj=App()))


def _walk(
    path: tuple[str, ...], command: click.Command, ctx: click.Context
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    yield path, command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            with contextlib.suppress(Exception):  # another distribution's, broken
                inner = command.get_command(ctx, name)
                if inner is not None:
                    below = click.Context(inner, parent=ctx, info_name=name)
                    yield from _walk((*path, name), inner, below)


def _found(path: Sequence[str]) -> tuple[click.Command, click.Context]:
    return next((command, ctx) for at, command, ctx in walk() if at == tuple(path))


# --- commands -------------------------------------------------------------------------------------


def command(before: Sequence[str], unknown: str, rest: Sequence[str]) -> str:
    """A hint about a command that does not exist, or nothing.

    :param before: the groups that exist.
    :param rest: the words and options that follow.
    """
    for words in ([*before, unknown], [unknown]):
        if remark := habits.COMMANDS.get(" ".join(words)):
            return remark
    following = [word for word in rest if not word.startswith("-")][:2]
    if not before and unknown in habits.GENERIC and not following:
        return ""
    best = _best(before, unknown, following)
    if not best and (parts := [part for part in _JOINTS.split(unknown) if part])[1:]:
        best = [replace(candidate, used=0) for candidate in _best(before, parts[0], parts[1:])]
    if not best or len(best) > _MOST:
        return habits.GROUPS.get(" ".join(before), "")
    remaining = {candidate.path: _without(rest, following[: candidate.used]) for candidate in best}
    return "Did you mean: " + ", or ".join(
        line(_showing(candidate.path), remaining[candidate.path]) for candidate in best
    )


def _best(before: Sequence[str], unknown: str, following: Sequence[str]) -> list[_Candidate]:
    """The commands that fit best, all equally."""
    candidates = [
        weighed for path in _paths() if (weighed := _weighed(path, before, unknown, following))
    ]
    highest = max((candidate.score for candidate in candidates), default=0.0)
    return [candidate for candidate in candidates if candidate.score > highest - _LEVEL]


def _weighed(
    path: tuple[str, ...], before: Sequence[str], unknown: str, following: Sequence[str]
) -> _Candidate | None:
    """How well a command fits what was typed; ``None`` where its last word was not typed at all."""
    left, score, used = list(path), 0.0, 0
    matched: list[str] = []
    for number, word in enumerate([*before, unknown, *following]):
        index, weight = max(
            ((at, _alike(word, token)) for at, token in enumerate(left)),
            key=lambda pair: pair[1],
            default=(0, 0.0),
        )
        behind = number - len(before)
        if weight:
            left.pop(index)
            matched.append(word)
            used = max(used, behind)
        elif behind > 0:
            break
        score += weight or -_WITHOUT_SENSE
    elsewhere = unknown not in matched or not set(before) <= set(matched)
    if path[-1] in left or (elsewhere and set(matched) - {*before} <= habits.GENERIC):
        return None
    if unknown not in matched and (left or not used):
        return None
    score -= _ABSENT * len(left)
    return _Candidate(path, score, used) if score > _LEVEL else None


def _alike(word: str, token: str) -> float:
    """How surely a word means a word of a command: 1 surely, 0 not at all."""
    word = word.lower().replace("_", "-").lstrip("-")
    if word == token:
        return 1.0
    if word in (f"{token}s", f"{token}es"):
        return 0.9
    if word in habits.SAME.get(token, ()):
        return 0.75
    if len(word) < _SHORTEST:
        return 0.0
    if token.startswith(word):
        return 0.7
    swapped = word[0] == token[0] and sorted(word) == sorted(token)
    return 0.8 if swapped or difflib.SequenceMatcher(None, word, token).ratio() >= _CLOSE else 0.0


def _showing(path: tuple[str, ...]) -> tuple[str, ...]:
    """A command itself; for a group that does nothing by itself, the one of its commands that shows."""
    inner = [(*path, name) for name in _SHOWING]
    group, _ = _found(path)
    if not isinstance(group, click.Group) or group.invoke_without_command:
        return path
    return next((inside for inside in inner if inside in _paths()), path)


def _without(rest: Sequence[str], words: Sequence[str]) -> list[str]:
    """The line without words that are in the command's name already."""
    left = list(rest)
    for word in words:
        left.remove(word)
    return left


def line(path: Sequence[str], rest: Sequence[str] = ()) -> str:
    """What to type: with what was typed, where the command accepts that; else with what it needs."""
    given = list(rest)
    option = habits.WORDS.get(" ".join(path), "")
    attempts = [given]
    if option and given and all(habits.GUESTS.fullmatch(word) for word in given):
        attempts.append([option, ",".join(given)])
    for words in attempts:
        if words and accepted([*path, *words]):
            return shlex.join(["pvefw", *path, *words])
    command_, ctx = _found(path)
    return " ".join(["pvefw", *path, *needed(command_, ctx)])


def needed(command_: click.Command, ctx: click.Context) -> list[str]:
    """What a command cannot do without, as words to fill in."""
    words = []
    for param in command_.get_params(ctx):
        if not param.required:
            continue
        if isinstance(param, click.Argument):
            words += re.findall(r"(?<!\[)\b[A-Z]+\b(?!\])", name_of(param))
        else:
            words += [param.opts[0], param.metavar or "VALUE"]
    if isinstance(command_, click.Group) and not command_.invoke_without_command:
        words.append("--help")
    return words


def name_of(param: click.Parameter) -> str:
    """What a parameter is called: ``--limit``, or ``VERSION``."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.metavar or (param.name or "").strip("_").upper()


def close(word: str, known: Sequence[str]) -> str:
    """The known word that is meant by a mistyped or shortened one, or nothing."""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=_CLOSE)
    begins = [
        word_ for word_ in known if word_.startswith(word.rstrip("s")) and len(word) >= _SHORTEST
    ]
    return matches[0] if matches else begins[0] if len(begins) == 1 else ""


def accepted(words: Sequence[str]) -> bool:
    """Whether a command line would be accepted. Nothing of it is run."""
    if {"--help", "-h", "--version"} & set(words):
        return False
    try:
        command_: click.Command = PVEFW
        ctx = command_.make_context("pvefw", list(words), obj=App())
        while isinstance(command_, click.Group):
            rest = [*ctx._protected_args, *ctx.args]  # noqa: SLF001 - as click's own Group.invoke
            if not rest:
                return command_.invoke_without_command
            name, inner, rest = command_.resolve_command(ctx, rest)
            if inner is None:
                return False
            ctx, command_ = inner.make_context(name, rest, parent=ctx), inner
    except Exception:  # noqa: BLE001 - whatever another distribution's command raises
        return False
    return True


# --- options --------------------------------------------------------------------------------------


def option(path: Sequence[str], given: str, rest: Sequence[str]) -> str:
    """A hint about an option that a command does not have, or nothing.

    :param given: the option, with its dashes and without its value.
    :param rest: all that was typed behind the command's name.
    """
    bare = given.lstrip("-")
    command_, ctx = _found(path)
    own = _options(command_, ctx)
    counterpart = habits.OPTIONS.get(bare, "")
    if counterpart.partition(" ")[0] in own:
        return _instead(path, given, counterpart, rest)
    if meant := _own_option(bare, own):
        return _instead(path, given, meant, rest)
    for param in command_.params:
        if isinstance(param, click.Argument) and bare.upper() in name_of(param).split():
            alone = [word for word in rest if word != given]
            shown = line(path, alone) if accepted([*path, *alone]) else line(path)
            return f"{bare.upper()} is given without an option: {shown}"
    if isinstance(command_, click.Group) and (moved := _moved(path, given, rest)):
        return f"Options of a command come after it: {moved}"
    words = [bare, counterpart.lstrip("-")]
    keys = [f"{' '.join(path)} {word}" for word in words] + [bare]
    remark = next((habits.REMARKS[key] for key in keys if key in habits.REMARKS), "")
    remark = remark or _elsewhere(path, given, rest) or _as_word(path, bare)
    return remark or _needless(path, given, rest) or (_IN_A_FILE if "--data" in own else "")


def _needless(path: Sequence[str], given: str, rest: Sequence[str]) -> str:
    """The line without an option that asks for what the command does anyway, or nothing."""
    kept = [word for word in rest if word != given]
    if given.lstrip("-") in habits.NEEDLESS and accepted([*path, *kept]):
        return f"Without it: {shlex.join(['pvefw', *path, *kept])}"
    return ""


def _options(command_: click.Command, ctx: click.Context) -> list[str]:
    """The options of a command."""
    params = (
        parameter for parameter in command_.get_params(ctx) if isinstance(parameter, click.Option)
    )
    return [name for param in params for name in param.opts]


def _as_word(path: Sequence[str], bare: str) -> str:
    """The line with an option's name as an argument, where a sister has the option; or nothing."""
    sisters = [(command_, ctx) for at, command_, ctx in walk() if at[:-1] == tuple(path[:-1])]
    if any(f"--{bare}" in _options(command_, ctx) for command_, ctx in sisters) and accepted(
        [*path, bare]
    ):
        return f"Did you mean: {shlex.join(['pvefw', *path, bare])}"
    return ""


def _own_option(bare: str, own: Sequence[str]) -> str:
    """The command's option that may be meant, or nothing."""
    plain = bare.lower().replace("_", "-")
    if f"--{plain}" in own:
        return f"--{plain}"
    if len(plain) < _SHORTEST - 1:
        return ""
    first = [name for name in own if not _LATER.search(name)]
    begins = sorted(name for name in first if name.startswith(f"--{plain}"))
    return next(iter(begins), "") or close(f"--{plain}", first)


def _instead(path: Sequence[str], given: str, meant: str, rest: Sequence[str]) -> str:
    """The whole line with the right option, where that is accepted; else the option."""
    words = _replaced(rest, given, meant)
    if accepted([*path, *words]):
        return f"Did you mean: {shlex.join(['pvefw', *path, *words])}"
    return f"Did you mean: {meant}"


def _replaced(rest: Sequence[str], given: str, meant: str) -> list[str]:
    """A line with another option, and perhaps its value, in place of one."""
    words: list[str] = []
    for word in rest:
        name, equals, value = word.partition("=")
        if name == given:
            words += [*meant.split(), *([value] if equals else [])]
        else:
            words.append(word)
    return words


def _moved(path: Sequence[str], given: str, rest: Sequence[str]) -> str:
    """The line with an option, and perhaps its value, behind the command that has it; or nothing."""
    at = next((n for n, word in enumerate(rest) if word.partition("=")[0] == given), len(rest))
    for taken in (1, 2):
        words = [*rest[:at], *rest[at + taken :]]
        inner = [file for file in _paths() if list(file) == [*path, *words][: len(file)]]
        if not inner:
            continue
        own = _options(*_found(max(inner, key=len)))
        counterpart = habits.OPTIONS.get(given.lstrip("-"), "")
        if counterpart.partition(" ")[0] not in own:
            counterpart = _own_option(given.lstrip("-"), own)
        line = [*path, *words, *_replaced(rest[at : at + taken], given, counterpart)]
        if counterpart and accepted(line):
            return shlex.join(["pvefw", *line])
    return ""


def _elsewhere(path: Sequence[str], given: str, rest: Sequence[str]) -> str:
    """The commands below the group, or in the tree, that have such an option, if they are few."""
    name = f"--{given.lstrip('-')}"
    for exactly in (True, False):
        option_at: dict[tuple[str, ...], str] = {}
        for at, command_, ctx in walk():
            for option_name in _options(command_, ctx) if at[: len(path)] == tuple(path) else ():
                longer = option_name.startswith(name) and len(name) > _SHORTEST + 1
                if option_name == name or (longer and not exactly):
                    option_at.setdefault(at, option_name)
        lines = [[*at, *_replaced(rest, given, text)] for at, text in option_at.items()]
        right = [text for text in lines if accepted(text)]
        if len(right) == 1:
            return f"Did you mean: {shlex.join(['pvefw', *right[0]])}"
        if len(option_at) == 1:
            return f"It is an option of: {line(*option_at)}"
    return ""


# --- words too many -------------------------------------------------------------------------------


def superfluous(path: Sequence[str], rest: Sequence[str], extra: Sequence[str]) -> str:
    """A hint about words that a command does not take, or nothing.

    :param rest: all that was typed behind the command's name.
    """
    command_, ctx = _found(path)
    own = _options(command_, ctx)
    if rest[0] in habits.KINDS and "=" not in "".join(rest) and accepted([*path, *rest[1:]]):
        return f"Did you mean: {shlex.join(['pvefw', *path, *rest[1:]])}"
    for words in filter(None, _with_all(path, rest, extra, own)):
        if accepted([*path, *words]):
            return f"Did you mean: {shlex.join(['pvefw', *path, *words])}"
    if remark := habits.SUPERFLUOUS.get(" ".join(path)):
        return remark
    if "--data" in own:
        return _IN_A_FILE
    if path and path[-1] == "list" and (shown := _shown(path[:-1], extra)):
        return f"Did you mean: {shown}"
    if not set(extra) <= habits.FILLING:
        return ""  # what was meant by it is not known: a line without it may do something else
    kept = _without_last(rest, extra)
    return f"Without it: {shlex.join(['pvefw', *path, *kept])}" if accepted([*path, *kept]) else ""


def _with_all(
    path: Sequence[str], rest: Sequence[str], extra: Sequence[str], own: Sequence[str]
) -> Iterator[list[str]]:
    """Lines in which the words too many have a place, the likeliest first."""
    key, equals, value = extra[0].partition("=")
    kept = _without_last(rest, extra)
    name = habits.WORDS.get(" ".join(path))
    yield _joined(rest, extra, "," if name and name in rest else " ")
    if f"--{key}" in own:
        yield [*kept, f"--{key}", *([value] if equals else []), *extra[1:]]
    numbers = all(habits.GUESTS.fullmatch(word) for word in extra)
    if name and (numbers or (name != "--vmid" and not set(extra) <= habits.FILLING)):
        yield [*kept, name, ",".join(extra)]


def _joined(rest: Sequence[str], extra: Sequence[str], between: str) -> list[str]:
    """The line with the words too many in one word with the option's value before them, or nothing."""
    *before, option, value = ["", "", *rest[: len(rest) - len(extra)]]
    at_the_end = list(rest[len(rest) - len(extra) :]) == list(extra)
    if not at_the_end or not option.startswith("-") or "=" in option or value.startswith("-"):
        return []
    return [*filter(None, before), option, between.join([value, *extra])]


def _shown(group: Sequence[str], extra: Sequence[str]) -> str:
    """The line that shows one thing rather than a list, or nothing."""
    for name in _SHOWING if not set(extra) <= habits.FILLING else ():
        if name != "list" and accepted([*group, name, *extra]):
            return shlex.join(["pvefw", *group, name, *extra])
    return ""


def _without_last(rest: Sequence[str], extra: Sequence[str]) -> list[str]:
    """The line without its words too many, which are its last ones of these."""
    left = list(rest)[::-1]
    for word in reversed(extra):
        if word in left:
            left.remove(word)
    return left[::-1]
