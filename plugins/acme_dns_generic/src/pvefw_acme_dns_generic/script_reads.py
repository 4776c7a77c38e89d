"""Which settings a dnsapi script reads, defaults, or takes instead of each other: found in its text.

The text is only looked at, never run. A script can hide what it reads (``eval``), so this is for
completion, forms and warnings; it decides nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z][A-Za-z0-9_]*"
_STORED = re.compile(rf"_(?:read|save)(?:account|domain)conf(?:_mutable)?\s+[\"']?({_NAME})\b")
_USED = re.compile(rf"\$\{{?#?({_NAME})")
_FALLBACK = re.compile(rf"\$\{{({_NAME}):?[-=]((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}")
_ASSIGNED = re.compile(rf"(?<![\w$-])({_NAME})=(\"(?:\\.|[^\"\\])*\"|'[^']*'|[^\s;&|)]*)")
_BOUND = re.compile(rf"\b(?:for|local|read(?:\s+-r)?)\s+({_NAME})\b")
_DOCUMENTED = re.compile(rf"#[\s>$]*export\s+({_NAME})=")
_EMPTY_TEST = re.compile(rf"-z\s+\"?\$\{{?({_NAME})")
_PLAIN = re.compile(r"[\w.:/@,+-]+")

_RUNNERS = frozenset(
    (
        *("ACCOUNT_CONF_PATH", "CONTENT_TYPE", "DEBUG", "DOMAIN_CONF", "HTTPS_INSECURE"),
        *("HTTP_HEADER", "LE_CONFIG_HOME", "LE_WORKING_DIR", "USER_AGENT"),
        *("HOME", "HOSTNAME", "IFS", "LANG", "LC_ALL", "OLDPWD", "OPTARG", "OPTIND", "PATH"),
        *("PPID", "PWD", "RANDOM", "SHELL", "TMPDIR", "UID", "USER", "BASH_REMATCH"),
    )
)
"""Variables that the runner or the shell sets."""


@dataclass(frozen=True)
class Reads:
    """What a script's text says of its settings."""

    keys: tuple[str, ...]
    """Every setting that it reads or documents, in the order of the text."""
    defaults: Mapping[str, str]
    """Those that it has a value of its own for; empty where that is computed."""
    alternatives: frozenset[str]
    """Those of which one of several is enough."""


def find(text: str) -> Reads:
    """Look a script's text through.

    :param text: the script, without its info block.
    """
    code = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    keys = _in_order(text, _keys(text, code))
    return Reads(keys, dict(_defaults(code)), frozenset(_either(code)))


def _keys(text: str, code: str) -> set[str]:
    """Names from the stored configuration, with a fallback, documented, or used and never set."""
    used = {name for name in _USED.findall(code) if name.lower() != name}
    own = {name for name, value in _ASSIGNED.findall(code) if not _mentions(value, name)}
    own |= set(_BOUND.findall(code))
    fallbacks = {name for name, _ in _FALLBACK.findall(code) if name.lower() != name}
    documented = set(_DOCUMENTED.findall(text))
    return (set(_STORED.findall(code)) | fallbacks | documented | (used - own)) - _RUNNERS


def _defaults(code: str) -> Iterator[tuple[str, str]]:
    for name, value in _FALLBACK.findall(code):
        bare = value.strip("\"'")
        if bare and not _is_read_again(bare, name):
            yield name, bare if _PLAIN.fullmatch(bare) else ""
    for name, value in _ASSIGNED.findall(code):
        bare = value.strip("\"'")
        if bare and not _mentions(value, name):
            yield name, bare if _PLAIN.fullmatch(bare) else ""


def _is_read_again(value: str, name: str) -> bool:
    """Whether a fallback only looks the same setting up in the stored configuration."""
    return bool(_STORED.search(value)) or _mentions(value, name)


def _either(code: str) -> Iterator[str]:
    """What is complained of only where another one is missing, too: ``[ -z "$A" ] && [ -z "$B" ]``."""
    for line in code.split("\n"):
        names = list(dict.fromkeys(_EMPTY_TEST.findall(line)))
        if len(names) > 1 and ("&&" in line or " -a " in line) and "||" not in line:
            yield from names


def _mentions(value: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", value) is not None


def _in_order(text: str, keys: set[str]) -> tuple[str, ...]:
    def first(key: str) -> int:
        match = re.search(rf"\b{key}\b", text)
        return match.start() if match else len(text)

    return tuple(sorted(keys, key=lambda key: (first(key), key)))
