"""What a dnsapi script says of itself: the ``dns_NAME_info='…'`` block at its head, read as text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pvefw.api import SettingInfo

_OPTION = re.compile(r"\s+(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<help>.*)")
_FIELD = re.compile(r"(?P<field>[A-Z][A-Za-z]+):\s*(?P<value>.*)")
_OPTIONAL = re.compile(r"\boptional\b", re.IGNORECASE)
_PUBLIC = re.compile(
    r"(user(name)?|login|e?mail|url|uri|endpoint|host|server|zone|domain|region|ttl|port|"
    r"project|subscription|account|tenant|customer|realm|version|type|(?<!key)(?<!token)_?id)$",
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


def parse(name: str, text: str) -> ScriptInfo:
    """Read a script's info block.

    :param name: the provider's name: ``hetzner`` for ``dns_hetzner.sh``.
    :param text: the script. One without a block gets its name as title, and no settings.
    """
    block = re.search(rf"dns_{re.escape(name)}_info='([^']*)'", text)
    if block is None:
        return ScriptInfo(name, name, "", ())
    lines = block[1].strip("\n").split("\n")
    title, docs, section = lines[0].strip(), "", ""
    options: dict[str, list[SettingInfo]] = {"Options": [], "OptionsAlt": []}
    for line in lines[1:]:
        match = _FIELD.fullmatch(line)
        if match:
            section = match["field"]
            docs = _url(match["value"]) if section == "Docs" else docs
        elif section in options and (option := _OPTION.fullmatch(line)):
            options[section].append(_setting(option["key"], option["help"].strip()))
    return ScriptInfo(name, title, docs, tuple(_both_ways(*options.values())))


def _setting(key: str, text: str) -> SettingInfo:
    return SettingInfo(
        key=key,
        help=text or key,
        secret=not _PUBLIC.search(key),
        required=not _OPTIONAL.search(text),
    )


def _both_ways(
    first: Sequence[SettingInfo], alternative: Sequence[SettingInfo]
) -> Iterator[SettingInfo]:
    """Where there is another set of credentials, neither can be required."""
    seen: set[str] = set()
    for one in (*first, *alternative):
        if one.key not in seen:
            seen.add(one.key)
            yield replace(one, required=one.required and not alternative)


def _url(text: str) -> str:
    text = text.strip()
    return text if "://" in text or not text else f"https://{text}"
