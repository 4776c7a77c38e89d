"""The DNS plugin behind a name: ``--api ovh``, ``--api hetzner``, ``--api lexicon/godaddy``.

A name's own entry point wins over the catalogues; ``CATALOGUE/NAME`` is always unambiguous.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pvefw.core import plugins, settings
from pvefw.core.errors import PluginError, PluginMissing
from pvefw.core.hookspecs.dns import DNS, DNS_CATALOG, DnsCatalogSpec, DnsSpec
from pvefw.core.model import SettingInfo
from pvefw.core.plugins import Bound
from pvefw.store import pvefw_config
from pvefw.store.paths import Paths


@dataclass(frozen=True)
class _InCatalog:
    """A provider that a catalogue offers."""

    catalog: Bound[DnsCatalogSpec]
    name: str


def declared(paths: Paths, name: str) -> Sequence[SettingInfo]:
    """The settings that a provider accepts.

    :param name: as in the configuration: ``ovh``, ``hetzner`` or ``acmesh/hetzner``.
    :raises PluginMissing: nobody offers the name.
    :raises PluginError: who offers it is broken.
    """
    where = _locate(paths, name)
    if isinstance(where, _InCatalog):
        return where.catalog.hooks.catalog_entry(name=where.name).settings
    return settings.declared(plugins.load(where))


def check(paths: Paths, name: str, values: Mapping[str, str], instance: str) -> None:
    """Hold configured values against a provider's settings; references are not resolved.

    :param instance: the instance's name, for messages.
    :raises PluginError: nobody offers the name, or who does is broken.
    :raises ConfigError: the values do not fit.
    """
    where = _locate(paths, name)
    if isinstance(where, _InCatalog):
        settings.check(
            where.catalog.hooks.catalog_entry(name=where.name).settings, values, instance
        )
    else:
        plugins.check_values(where, values, instance)


def bind(paths: Paths, name: str, values: Mapping[str, str], instance: str) -> Bound[DnsSpec]:
    """The provider's hooks, for one configured instance.

    :param values: as configured; references are resolved here.
    :param instance: the instance's name, for messages.
    :raises PluginError: nobody offers the name, or who does is broken.
    :raises ConfigError: the values do not fit.
    """
    where = _locate(paths, name)
    if not isinstance(where, _InCatalog):
        return plugins.bind_found(where, values, instance=instance)
    infos = where.catalog.hooks.catalog_entry(name=where.name).settings
    resolved = settings.resolve_all(infos, values, instance)
    secrets = settings.secret_values(infos, resolved)
    catalog = where.catalog.masking(secrets)
    made = catalog.hooks.catalog_make(name=where.name, values=resolved)
    return plugins.bind_object(DNS, made, instance, secrets=secrets)


def names(paths: Paths) -> list[str]:
    """Every name that can be given to ``--api``; a broken catalogue is left out."""
    found = {info.name for info in plugins.installed(DNS)}
    for info in plugins.installed(DNS_CATALOG):
        try:
            found |= set(_bind_catalog(paths, info.name).hooks.catalog_names())
        except PluginError:
            continue
    return sorted(found)


def _locate(paths: Paths, name: str) -> plugins.PluginInfo | _InCatalog:
    catalog, slash, rest = name.partition("/")
    if slash:
        return _InCatalog(_bind_catalog(paths, catalog), rest)
    if any(info.name == name for info in plugins.installed(DNS)):
        return plugins.find(DNS, name)
    return _search(paths, name)


def _search(paths: Paths, name: str) -> _InCatalog:
    """The first catalogue, by name, that offers this provider; broken ones do not hide it."""
    broken: list[PluginError] = []
    for info in plugins.installed(DNS_CATALOG):
        try:
            catalog = _bind_catalog(paths, info.name)
            if name in catalog.hooks.catalog_names():
                return _InCatalog(catalog, name)
        except PluginError as error:
            broken.append(error)
    if broken:
        raise broken[0]
    raise PluginMissing(
        f"no DNS plugin or catalogue offers {name}",
        plugin=f"dns/{name}",
        hint=f"Install one, or choose from: {_some(names(paths))}.",
    )


def _some(everything: Sequence[str], limit: int = 20) -> str:
    rest = len(everything) - limit
    return ", ".join(everything[:limit]) + (f" and {rest} more" if rest > 0 else "") or "none"


def _bind_catalog(paths: Paths, name: str) -> Bound[Any]:
    return plugins.bind(DNS_CATALOG, name, pvefw_config.section_values(paths, "dns_catalog", name))
