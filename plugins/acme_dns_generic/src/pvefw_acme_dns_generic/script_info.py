"""What a dnsapi script says about itself: the ``dns_NAME_info='…'`` block at its head, read as text.

The block is a hint for people, and written by many hands: options indented by one blank, by several or
not at all, ``Optional:`` sections, ``Default: "…"``, ``OptionsAlt:`` once or more often, "or" between
keys, or all of it as JSON. Many scripts have none. What the script's text reads completes it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pvefw.api import SettingInfo
from pvefw_acme_dns_generic import script_reads
from pvefw_acme_dns_generic.script_reads import Reads

_BLOCK = r"""(?:'(?P<single>(?:[^']|'\\'')*)'|"(?P<double>(?:\\.|[^"\\])*)")"""
"""Quoted for a shell, in one way or the other."""
_OPTION = re.compile(
    r"\s*(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)(?:\s*[:=-]\s*|\s+|$)(?P<help>.*)"
)
_FIELD = re.compile(r"\s*(?P<field>[A-Z][A-Za-z]+)\s*:\s*(?P<value>.*)")
_FIELDS = frozenset(
    ("author", "authors", "default", "docs", "domains", "issues", "note", "notes", "site")
)
_OPTIONS, _ALTERNATIVES, _OPTIONAL_SECTION = "options", "optionsalt", "optional"
_OPTIONAL = re.compile(r"\b(optional|only (if|for|when)|if (set|not set|you))\b", re.IGNORECASE)
_DEFAULT = re.compile(
    r"\bdefaults?\b(?:\s+(?:is|value|to))*\s*[:=]?\s*(?P<quote>[\"'`]?)(?P<value>[\w.:/@,+-]*)",
    re.IGNORECASE,
)
_OR = re.compile(r"^\s*or\b|\bor$|\b(?:or|instead of) [`\"']?[A-Z][A-Za-z0-9]*_", re.IGNORECASE)
_PUBLIC = re.compile(
    r"(user(name)?|login|e?mail|url|uri|endpoint|host|server|zones?|domain|region|ttl|port|"
    r"project|subscription|account|tenant|customer|realm|version|type|slowrate|timeout|"
    r"(?<!key)(?<!token)_?id)$",
    re.IGNORECASE,
)
"""Keys that end so are shown; everything else may be a credential and is masked."""


@dataclass(frozen=True)
class ScriptInfo:
    """What is known of a provider from its script."""

    name: str
    title: str
    docs: str
    settings: Sequence[SettingInfo]


@dataclass(frozen=True)
class _Option:
    """One option of a block; ``needed`` unless the block itself says otherwise."""

    key: str
    help: str
    needed: bool
    default: str = ""


def parse(name: str, text: str) -> ScriptInfo:
    """Read a script's info block, and complete it from the rest of the text.

    :param name: the provider's name: ``hetzner`` for ``dns_hetzner.sh``.
    :param text: the script. One without a block gets its name as title, and what its text reads.
    """
    text = text.replace("\r\n", "\n")
    block = re.search(rf"dns_{re.escape(name)}_info={_BLOCK}", text)
    if block is None:
        return ScriptInfo(name, name, "", tuple(_settings([], script_reads.find(text), text)))
    rest = text[: block.start()] + text[block.end() :]
    info = (block["single"] or block["double"] or "").replace(r"'\''", "'").strip("\n")
    if info.lstrip().startswith(("[", "{")):
        title, docs, options = _from_json(info)
    else:
        title, docs, options = _from_lines(info.split("\n"))
    settings = tuple(_settings(options, script_reads.find(rest), rest))
    return ScriptInfo(name, title or name, docs, settings)


def _settings(options: Iterable[_Option], reads: Reads, text: str) -> Iterator[SettingInfo]:
    """Those of the block first; of several with one key the first one counts."""
    seen: set[str] = set()
    for option in options:
        if option.key in seen:
            continue
        seen.add(option.key)
        idle = not re.search(rf"\b{option.key}\b", text)
        yield SettingInfo(
            key=option.key,
            help=f"{option.help or option.key}{' (The script does not read it.)' if idle else ''}",
            secret=not _PUBLIC.search(option.key),
            required=option.needed
            and not (idle or option.key in reads.defaults or option.key in reads.alternatives),
            default=option.default or reads.defaults.get(option.key, ""),
        )
    for key in reads.keys:
        if key not in seen:
            help_ = f"{key}, as the script's text reads it."
            secret = not _PUBLIC.search(key)
            yield SettingInfo(key, help_, secret=secret, default=reads.defaults.get(key, ""))


# --- lines --------------------------------------------------------------------------------------------


def _from_lines(lines: Sequence[str]) -> tuple[str, str, list[_Option]]:
    """Title, documentation and options of the usual form."""
    title, docs, section, alternatives = lines[0].strip(), "", "", False
    options: list[_Option] = []
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        field = match["field"].lower() if match else ""
        if match and (field in _FIELDS or field.startswith(_OPTIONS) or field == _OPTIONAL_SECTION):
            if field == "default":
                _add_default(options, match["value"])
                continue
            section = field
            docs = _url(match["value"]) if field == "docs" else docs
            alternatives |= field.startswith(_ALTERNATIVES)
        elif section.startswith(_OPTIONS) or section == _OPTIONAL_SECTION:
            options += _option(line, section)
            alternatives |= bool(options and line.strip().lower() in ("or", "or:"))
    if alternatives:  # where there is another set of credentials, neither can be required
        options = [replace(option, needed=False) for option in options]
    return title, docs, _without_either(options)


def _option(line: str, section: str) -> Iterator[_Option]:
    match = _OPTION.fullmatch(line)
    if match is None or not ("_" in match["key"] or match["key"].isupper()):
        return  # a sentence, or the word "or"
    text = match["help"].strip()
    default = _DEFAULT.search(text)
    needed = section != _OPTIONAL_SECTION and not (_OPTIONAL.search(text) or default)
    yield _Option(match["key"], text, needed=needed, default=_default(default))


def _add_default(options: list[_Option], text: str) -> None:
    """A line ``Default: "…"`` belongs to the option above it."""
    if options:
        value = text.strip().strip("\"'`")
        options[-1] = replace(options[-1], needed=False, default=value)


def _without_either(options: Sequence[_Option]) -> list[_Option]:
    """An option whose help says "or" and another key is one of two ways; so is the other one."""
    either = {option.key for option in options if _OR.search(option.help)}
    either |= {
        other.key
        for option in options
        if option.key in either
        for other in options
        if re.search(rf"\b{other.key}\b", option.help)
    }
    return [
        replace(option, needed=option.needed and option.key not in either) for option in options
    ]


def _default(match: "re.Match[str] | None") -> str:
    return match["value"].rstrip(".") if match else ""


# --- JSON ---------------------------------------------------------------------------------------------

_KEYS = ("name", "key", "variable", "id")
_HELPS = ("usage", "help", "description", "title", "label")
_LISTS = ("options", "settings", "fields", "parameters")


def _from_json(text: str) -> tuple[str, str, list[_Option]]:
    """A list of objects with a name each, perhaps below ``options`` of an object with title and docs."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return "", "", []
    title, docs = "", ""
    if isinstance(data, dict):
        title, docs = (str(_first(data, keys)) for keys in (("name", "title"), ("docs", "site")))
        data = _first(data, _LISTS) or []
    if isinstance(data, dict):
        data = [
            {"name": key, **(value if isinstance(value, dict) else {"help": value})}
            for key, value in data.items()
        ]
    options = [
        _json_option(option)
        for option in data
        if isinstance(option, dict) and _first(option, _KEYS)
    ]
    return title, _url(docs), options


def _json_option(item: dict[str, object]) -> _Option:
    text = str(_first(item, _HELPS))
    match = _DEFAULT.search(text)
    default = str(item.get("default") or _default(match))
    required = str(item.get("required", "1")).lower() not in ("0", "false", "no", "")
    optional = str(item.get("optional", "0")).lower() in ("1", "true", "yes")
    needed = required and not (optional or default or _OPTIONAL.search(text))
    return _Option(str(_first(item, _KEYS)), text, needed=needed, default=default)


def _first(item: dict[str, object], keys: Sequence[str]) -> object:
    return next((item[key] for key in keys if item.get(key)), "")


def _url(text: str) -> str:
    text = text.strip()
    return text if "://" in text or not text else f"https://{text}"
