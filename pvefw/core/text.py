"""The door for text that others wrote: an authority, a provider, a script, a guest's name, an old log.

A terminal obeys control characters, a log takes a line break for another event, and bidirectional
overrides show something else than what is there. None of them gets further than this.
"""

import re
import unicodedata

_REPLACEMENT = "\ufffd"
_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
LONGEST = 8192
"""Characters of one message; whoever says more is cut off."""
_CUT = "… (cut off)"
_END_OF_TASK = re.compile(r"TASK (?:OK|WARNINGS|ERROR)")


def one_line(words: str) -> str:
    """A text as one line that does nothing but be read."""
    return bounded(_visible(words.rstrip("\r\n")))


def lines(words: str) -> str:
    """As :func:`one_line`, where a text may have several lines of its own."""
    return "\n".join(map(_visible, words.split("\n")))


def log_line(words: str) -> str:
    """As :func:`one_line`, for a task's log: only a task itself says how it ended."""
    line = one_line(words)
    return f" {line}" if _END_OF_TASK.match(line) else line


def bounded(words: str, most: int = LONGEST) -> str:
    """A text that says so where it was cut off.

    :param most: characters.
    """
    return words if len(words) <= most else words[: most - len(_CUT)] + _CUT


def of(error: BaseException) -> str:
    """What an exception says, on one line. Its text is made by foreign code, which may fail in turn."""
    try:
        return " ".join(str(error).split())
    except Exception as again:  # noqa: BLE001 - whatever foreign code raises
        return f"(its text is not available: {type(again).__name__})"


def counted(number: float, noun: str) -> str:
    """A number and what it counts, a noun with a regular plural: ``1 second``, ``2.5 days``."""
    digits = f"{number:g}"
    if "e" in digits:  # nobody reads 3.16224e+07
        digits = f"{number:.0f}"
    return f"{digits} {noun}{'' if number == 1 else 's'}"


def shown(value: object) -> str:
    """What stands for a value. Its text is made by foreign code, which may fail in turn."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever foreign code raises
        return f"<{type(value).__name__}, whose repr() raises {type(error).__name__}>"


def _visible(words: str) -> str:
    if words.isprintable():
        return words
    return "".join(char if char.isprintable() else _shown(char) for char in _BREAKS.sub(" ", words))


def _shown(char: str) -> str:
    """What stands for a character that cannot be seen."""
    return " " if char == "\t" or unicodedata.category(char).startswith("Z") else _REPLACEMENT
