"""A catalogue of the DNS providers that dns-lexicon knows, a library with some ninety of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pvefw.api import CatalogEntry, ProviderError, TxtRecord, hookimpl
from pvefw_acme_dns_lexicon import library

__all__ = ["Lexicon"]


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
        """Add what is missing, and see that nothing was replaced by it."""
        with library.session(self._name, self._values, zone, records[0].ttl) as provider:
            for one in records:
                before = provider.values(one.name)
                if one.value in before:
                    continue
                provider.create(one.name, one.value)
                lost = before - provider.values(one.name) if before else set()
                if lost:
                    raise ProviderError(
                        f"lexicon/{self._name} replaced {len(lost)} other values at {one.name}",
                        hint="This provider's module cannot hold two values at one name.",
                    )

    @hookimpl
    def dns_remove(self, zone: str, records: Sequence[TxtRecord]) -> None:
        """Remove exactly these."""
        with library.session(self._name, self._values, zone, records[0].ttl) as provider:
            for one in records:
                if one.value in provider.values(one.name):
                    provider.delete(one.name, one.value)
