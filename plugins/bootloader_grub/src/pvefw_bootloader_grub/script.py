"""GRUB's script language, as far as menus need it: quoting words, and reading commands back.

Source: the manual of GRUB, section "Writing full configuration files directly".
"""

import re
from collections.abc import Callable, Iterator

_PLAIN = re.compile(r"[A-Za-z0-9_./:,@%+=-]+")
_ESCAPED_IN_DOUBLE = '"\\$'
_ENDS_A_COMMAND = ";\n"
_BLANK = " \t\r"
_SPECIAL = "|&<>"


class Unbalanced(ValueError):
    """A quote that is opened and not closed."""


def quote(text: str) -> str:
    """One word that GRUB reads as exactly this text, whatever it contains.

    Line breaks and other control characters become spaces: no title, version or option has any.
    """
    clean = "".join(character if character.isprintable() else " " for character in text)
    if _PLAIN.fullmatch(clean):
        return clean
    return "'" + clean.replace("'", r"'\''") + "'"


def command(*words: str) -> str:
    """One command of these words."""
    return " ".join(quote(word) for word in words)


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a script, as lists of words, in the order of their lines.

    Quotes are taken off; variables stay as they are written, ``${name}``. Braces that open or close a
    block are words of their own, and so are ``then``, ``else``, ``do``. Nothing is evaluated.

    :raises Unbalanced: the script is cut off in the middle of a word.
    """
    words: list[str] = []
    for token in _tokens(text):
        if token is not None:
            words.append(token)
        elif words:
            yield words
            words = []
    if words:
        yield words


def words(text: str) -> list[str]:
    """The words of a value that GRUB's own scripts would have put on a command line as it is.

    Only quotes, backslashes and blanks mean something. A ``$``, ``;`` or ``#`` stands for itself, which
    is what whoever wrote it without a backslash wanted.

    :raises Unbalanced: a quote is not closed.
    """
    words_: list[str] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        word, position = _word(text, position, lambda character: character.isspace())
        words_.append(word)
    return words_


def _tokens(text: str) -> Iterator[str | None]:
    """Words, and ``None`` where a command ends."""
    position = 0
    while position < len(text):
        character = text[position]
        if character in _ENDS_A_COMMAND or character in _SPECIAL:
            yield None
            position += 1
        elif character in _BLANK:
            position += 1
        elif character == "#":
            position = _end_of_line(text, position)
        else:
            word, position = _word(text, position, _ends_a_word)
            yield word


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _ends_a_word(character: str) -> bool:
    return character in _ENDS_A_COMMAND + _BLANK + _SPECIAL


def _word(text: str, position: int, ends: Callable[[str], bool]) -> tuple[str, int]:
    """The word that begins here, without its quotes, and where it ends."""
    word: list[str] = []
    while position < len(text) and not ends(text[position]):
        character = text[position]
        if character == "'":
            end = _closing(text, position)
            word.append(text[position + 1 : end])
            position = end + 1
        elif character == '"':
            inside, position = _double_quoted(text, position + 1)
            word.append(inside)
        elif character == "\\" and position + 1 < len(text):
            if text[position + 1] != "\n":
                word.append(text[position + 1])
            position += 2
        else:
            word.append(character)
            position += 1
    return "".join(word), position


def _closing(text: str, position: int) -> int:
    end = text.find("'", position + 1)
    if end < 0:
        raise Unbalanced(f"a quote is not closed: {text[position : position + 30]}")
    return end


def _double_quoted(text: str, position: int) -> tuple[str, int]:
    word: list[str] = []
    begin = position - 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return "".join(word), position + 1
        if character == "\\" and text[position + 1 : position + 2] in tuple(_ESCAPED_IN_DOUBLE):
            word.append(text[position + 1])
            position += 2
            continue
        word.append(character)
        position += 1
    raise Unbalanced(f"a quote is not closed: {text[begin : begin + 30]}")
