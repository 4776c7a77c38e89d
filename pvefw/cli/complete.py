"""Answers the Tab key: ``_PVEFW_COMPLETE=SHELL pvefw LINE`` prints what may come next.

LINE is the command line up to the cursor, as it was typed. Each line of the answer is a kind, a value and
perhaps a word about it, tabs between. The kind is ``plain``; ``part`` for a value that goes on behind it;
``file`` or ``dir`` where the shell itself knows what there is.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pvefw.cli.framework import App
from pvefw.cli.groups import PVEFW
from pvefw.core import text
from pvefw.core.errors import PvefwError

_ONE_DASH = re.compile(r"-[a-zA-Z]")
_SPECIAL = re.compile(r"([^\w@%+=:,./-])", re.ASCII)


def answer(shell: str, line: str, word_breaks: str = "") -> str:
    """What may come where the line ends.

    :param shell: ``bash``, ``zsh`` or ``fish``.
    :param word_breaks: the characters at which bash begins another word (``COMP_WORDBREAKS``): it
        replaces only what comes after the last of them.
    """
    words, incomplete = _split(line)
    try:
        candidates = list(completions(words, incomplete))
    except PvefwError:
        return ""
    lines = []
    for item in candidates:
        kind, value = item.type, item.value
        if not value.isprintable():  # what others called so is no word that could be typed
            continue
        if kind == "plain" and value.endswith("="):
            kind = "part"
        if shell == "bash":
            value = _SPECIAL.sub(r"\\\1", value[_last_break(incomplete, word_breaks) :])
        description = text.one_line(" ".join((item.help or "").split()))
        lines.append("\t".join(filter(None, [kind, value, description])))
    return "".join(f"{row}\n" for row in lines)


def _split(line: str) -> tuple[list[str], str]:
    """The words before the one at the cursor, without the program's name; and that one."""
    from click.shell_completion import split_arg_string

    words = split_arg_string(line)
    incomplete = "" if not words or line[-1:].isspace() else words.pop()
    return words[1:], incomplete


def completions(words: Sequence[str], incomplete: str) -> Iterator[Any]:
    """What click offers; for an option with one dash, with one dash."""
    from click.shell_completion import CompletionItem, ShellComplete

    before, given, prefix = [_long(word) for word in words], _long(incomplete), ""
    name, equals, value = given.partition("=")
    if equals and name.startswith("--"):  # click would forget the name
        before.append(name)
        given, prefix = value, incomplete.partition("=")[0] + "="
    one_dash = given.startswith("--") and not incomplete.startswith("--")
    asked = ShellComplete(PVEFW, {"obj": App()}, "pvefw", "")
    for item in asked.get_completions(before, given):
        value = item.value.removeprefix("-") if one_dash else item.value
        yield CompletionItem(prefix + value, type=item.type, help=item.help)


def _long(word: str) -> str:
    """``-force`` as ``--force``: pvefw has no options of one letter."""
    return f"-{word}" if _ONE_DASH.match(word) else word


def _last_break(word: str, breaks: str) -> int:
    """How much of a word bash takes for words of their own."""
    return (
        max((word.rfind(separator) for separator in breaks if not separator.isspace()), default=-1)
        + 1
    )
