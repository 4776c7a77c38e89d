"""A catalogue of the DNS providers that dns-lexicon knows, a library with some ninety of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pvefw.api import CatalogEntry, ProviderError, TxtRecord, hookimpl
from pvefw_acme_dns_lexicon import library

__all__ = ["Lexicon"]

_Change = Callable[[library.Session, Sequence[TxtRecord]], None]
_USUAL_TTL = 3600
_ABOUT_TTL = re.compile(r"\bttl\b", re.IGNORECASE)


@dataclass
class Lexicon:
    """DNS providers through the library dns-lexicon."""

    @hookimpl
    def catalog_names(self) -> Sequence[str]:
        """Every provider whose own requirements are installed."""
        return library.names()

    @hookimpl
    def catalog_entry(self, name: str) -> CatalogEntry:
        """What the provider's options say."""
        return CatalogEntry(name, f"{name}, through dns-lexicon", library.settings(name))

    @hookimpl
    def catalog_make(self, name: str, values: Mapping[str, str]) -> "LexiconDns":
        """One provider; nothing is asked of it yet."""
        library.load(name)
        return LexiconDns(name, values)


@dataclass(init=False)
class LexiconDns:
    """One provider. Its settings are the library's; the catalogue knows them."""

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self._name = name
        self._values = dict(values)

    @hookimpl
    def dns_add(self, zone: str, records: Sequence[TxtRecord]) -> None:
        """Add what is missing."""
        self._change(_add, zone, records)

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord]) -> None:
        """Remove exactly these."""
        self._change(_remove, zone, records)

    def _change(self, change: _Change, zone: str, records: Sequence[TxtRecord]) -> None:
        """The TTL is a wish: a provider that refuses it gets lexicon's usual one."""
        try:
            with library.session(self._name, self._values, zone, records[0].ttl) as provider:
                change(provider, records)
        except ProviderError as error:
            if type(error) is not ProviderError or not _ABOUT_TTL.search(error.message):
                raise
            with library.session(self._name, self._values, zone, _USUAL_TTL) as provider:
                change(provider, records)


def _add(provider: library.Session, records: Sequence[TxtRecord]) -> None:
    missing = [record for record in records if record.value not in provider.values(record.name)]
    if not missing and provider.publishes_changes_only:
        provider.delete(records[0].name, records[0].value)
        missing = [records[0]]
    for record in missing:
        provider.create(record.name, record.value)


def _remove(provider: library.Session, records: Sequence[TxtRecord]) -> None:
    there = [record for record in records if record.value in provider.values(record.name)]
    if not there and provider.publishes_changes_only:
        provider.create(records[0].name, records[0].value)
        there = [records[0]]
    for record in there:
        provider.delete(record.name, record.value)
