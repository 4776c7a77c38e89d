"""The plugin behind an instance: what it declares, whether the settings fit, its hooks.

A plugin is an entry point of the family. For a dns instance it may be a name from a catalogue, too
(``--api hetzner``, ``--api lexicon/godaddy``): a name's own entry point wins over the catalogues, and
``CATALOGUE/NAME`` is always unambiguous.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pvefw import PROJECT
from pvefw.core import binding, families, finding, ours, references, settings
from pvefw.core.binding import Bound
from pvefw.core.errors import ConfigError, PluginMissing, PvefwError
from pvefw.core.families import DNS, DNS_CATALOG
from pvefw.core.finding import PluginInfo
from pvefw.core.hookspecs.dns import DnsCatalogSpec
from pvefw.core.model import CatalogEntry, SettingInfo
from pvefw.instances import files, listing
from pvefw.instances.codec import Instance
from pvefw.store import oddities
from pvefw.store.node import Node


@dataclass(frozen=True)
class _Installed:
    """A plugin with an entry point of its own."""

    info: PluginInfo
    takes_any: ClassVar[bool] = False

    @cached_property
    def declared(self) -> Sequence[SettingInfo]:
        return settings.declared(binding.load(self.info))

    def check(self, values: Mapping[str, str], who: str) -> list[str]:
        binding.check_values(self.info, values, who)
        return []

    def bind(self, values: Mapping[str, str], who: str) -> Bound[Any]:
        return binding.bind_found(self.info, values, instance=who)


@dataclass(frozen=True)
class _InCatalog:
    """A provider that a catalogue offers."""

    catalog: Bound[DnsCatalogSpec]
    name: str
    root: Path

    @cached_property
    def _entry(self) -> CatalogEntry:
        return self.catalog.hooks.catalog_entry(name=self.name, root=self.root)

    @property
    def declared(self) -> Sequence[SettingInfo]:
        return self._entry.settings

    @property
    def takes_any(self) -> bool:
        """Whether other settings than those that are declared are accepted, too."""
        return self._entry.open

    def check(self, values: Mapping[str, str], who: str) -> list[str]:
        if self.takes_any:
            return settings.doubts(self.declared, values)
        settings.check(self.declared, values, who)
        return []

    def bind(self, values: Mapping[str, str], who: str) -> Bound[Any]:
        if self.takes_any:
            resolved = settings.resolve_any(values, who)
        else:
            resolved = settings.resolve_all(self.declared, values, who)
        secrets = settings.secret_values(self.declared, resolved)
        catalog = self.catalog.masking(secrets)
        made = catalog.hooks.catalog_make(name=self.name, values=resolved, root=self.root)
        return binding.bind_object(DNS, made, who, secrets=secrets)


def declared(node: Node, family: str, plugin: str) -> Sequence[SettingInfo]:
    """The settings that a plugin declares.

    :param plugin: as in the configuration: ``ovh``, ``hetzner`` or ``acmesh/hetzner``.
    :raises PluginError: it is missing or broken.
    """
    return _locate(node, family, plugin).declared


def accepted(node: Node, family: str, plugin: str) -> tuple[Sequence[SettingInfo], bool]:
    """As :func:`declared`, and whether the plugin takes any other setting, too."""
    source = _locate(node, family, plugin)
    return source.declared, source.takes_any


def check(node: Node, instance: Instance) -> list[str]:
    """Hold an instance's settings against its plugin; references are not resolved.

    :returns: what looks wrong where the plugin takes any setting, a sentence for each.

    :raises PluginError: its plugin is missing or broken.
    :raises ConfigError: its settings do not fit, or a secret is plain text where others can read it.
    """
    source = _locate(node, instance.family, instance.plugin)
    return source.check(_values(node, instance, source), instance.who)


def bind(node: Node, instance: Instance) -> Bound[Any]:
    """An instance's hooks, whether it is disabled or not; references are resolved here.

    :raises PluginError: its plugin is missing or broken.
    :raises ConfigError: it is damaged, or as for :func:`check`.
    """
    if instance.problem:
        raise ConfigError(
            instance.problem, hint=f"Replace it: {listing.set_command(instance)} --data FILE"
        )
    source = _locate(node, instance.family, instance.plugin)
    values = _values(node, instance, source)
    if not source.takes_any:
        values = _known(instance, values, source.declared)
    return source.bind(values, instance.id)


def _known(
    instance: Instance, values: Mapping[str, str], infos: Sequence[SettingInfo]
) -> dict[str, str]:
    """The settings that the plugin has; a stray line must not keep guests from starting.

    Those who add or change an instance are refused instead.
    """
    keys = {info.key for info in infos}
    for key in values:
        if key not in keys:
            why = f"{instance.who}: {key} is not a setting of {instance.plugin}"
            oddities.report(instance.where or instance.who, 0, why, "it is ignored")
    return {key: value for key, value in values.items() if key in keys}


def implements(node: Node, instance: Instance, hook: str, *, broken: bool = False) -> bool:
    """Whether an instance's plugin has a hook, whatever its settings.

    :param broken: what is said of a plugin that is missing or cannot be loaded.
    """
    try:
        source = _locate(node, instance.family, instance.plugin)
        plugin = binding.load(source.info) if isinstance(source, _Installed) else None
    except PvefwError:
        return broken
    return hasattr(getattr(plugin, hook, None), f"{PROJECT}_impl")


def effective(node: Node, instance: Instance) -> tuple[dict[str, str], Sequence[SettingInfo]]:
    """An instance's settings and what its plugin declares: nothing where it cannot be asked."""
    try:
        infos = declared(node, instance.family, instance.plugin)
    except PvefwError:
        return dict(instance.settings), ()
    return _with_declared_lines(instance, infos), infos


def names(node: Node) -> list[str]:
    """Every name that a dns instance can have as its plugin; a broken catalogue is left out."""
    known = {info.name for info in finding.installed(DNS)}
    for info in finding.installed(DNS_CATALOG):
        try:
            known |= set(_catalog(node, info.name).hooks.catalog_names(root=node.paths.root))
        except PvefwError:
            continue
    return sorted(known)


def declared_by_name(node: Node) -> dict[str, Sequence[SettingInfo]]:
    """What each plugin that a dns instance can have accepts, by name; broken ones are left out.

    Each catalogue is bound once, as there may be a hundred names in it.
    """
    sources: dict[str, _Installed | _InCatalog] = {}
    for info in finding.installed(DNS_CATALOG):
        try:
            catalog = _catalog(node, info.name)
            for name in catalog.hooks.catalog_names(root=node.paths.root):
                sources.setdefault(name, _InCatalog(catalog, name, node.paths.root))
        except PvefwError:
            continue
    sources |= {info.name: _Installed(info) for info in finding.installed(DNS)}
    by_name = {}
    for name, source in sorted(sources.items()):
        try:
            by_name[name] = source.declared
        except PvefwError:
            continue
    return by_name


def providers(node: Node, word: str = "") -> list[dict[str, str]]:
    """Every DNS provider whose name or title has a word in it: plugins and those of catalogues.

    :returns: ``api``, what ``--api`` takes so that it is clear who is meant; ``name``; ``title``; and
        ``source``, as :func:`search` has them; sorted by name.
    """
    rows = [row for row in search(node, word) if row["family"] == DNS.name]
    counts = Counter(row["name"] for row in rows)
    offers = []
    for row in rows:
        family, _, catalog = row["source"].partition("/")
        clear = counts[row["name"]] == 1 or family != DNS_CATALOG.name
        api = row["name"] if clear else f"{catalog}/{row['name']}"
        offers.append({"api": api, **{key: row[key] for key in ("name", "title", "source")}})
    return offers


def search(node: Node, word: str) -> list[dict[str, str]]:
    """Plugins of all families, and providers of catalogues, whose name or title has a word in it.

    :param word: upper and lower case are the same.
    :returns: ``family``, ``name``, ``title`` (empty where only the plugin itself knows it) and
        ``source``, the distribution or ``dns_catalog/NAME``; sorted. Broken catalogues are left out.
    """
    rows = [
        {"family": info.family.name, "name": info.name, "title": "", "source": info.distribution}
        for family in families.FAMILIES.values()
        for info in finding.installed(family)
        if word.casefold() in f"{info.name} {info.distribution}".casefold()
    ]
    for info in finding.installed(DNS_CATALOG):
        with contextlib.suppress(PvefwError):
            rows += _offered(_catalog(node, info.name), node, word.casefold())
    return sorted(rows, key=lambda row: (row["family"], row["name"], row["source"]))


def _offered(catalog: Bound[DnsCatalogSpec], node: Node, word: str) -> Iterator[dict[str, str]]:
    """What a catalogue has for a word; an entry that cannot be used is left out."""
    for name in catalog.hooks.catalog_names(root=node.paths.root):
        with contextlib.suppress(PvefwError):
            title = catalog.hooks.catalog_entry(root=node.paths.root, name=name).title
            if word in f"{name} {title}".casefold():
                source = f"dns_catalog/{catalog.name}"
                yield {"family": DNS.name, "name": name, "title": title, "source": source}


# --- settings -------------------------------------------------------------------------------------


def _values(node: Node, instance: Instance, source: _Installed | _InCatalog) -> dict[str, str]:
    """The settings to use.

    :raises ConfigError: a secret is plain text in a file that others can read.
    """
    if files.place(node, instance.family).private:
        if not instance.undeclared:
            return dict(instance.settings)
        return _with_declared_lines(instance, source.declared)
    for info in source.declared:
        value = instance.settings.get(info.key)
        if info.secret and value and not references.is_reference(value):
            raise ConfigError(
                f"{instance.who}: {info.key} is a secret in plain text, and others can read "
                f"{instance.where or node.paths.cluster_pvefw_cfg}",
                hint="Put it into a file that only root can read, and refer to it: "
                f"{info.key}=file:/etc/pve/priv/NAME",
            )
    return dict(instance.settings)


def _with_declared_lines(instance: Instance, infos: Sequence[SettingInfo]) -> dict[str, str]:
    keys = {info.key for info in infos}
    lines = {key: value for key, value in instance.undeclared.items() if key in keys}
    return {**lines, **instance.settings}


# --- finding the plugin ---------------------------------------------------------------------------


def _locate(node: Node, family: str, plugin: str) -> _Installed | _InCatalog:
    if family != DNS.name:
        return _Installed(finding.find(families.FAMILIES[family], plugin))
    catalog, slash, rest = plugin.partition("/")
    if slash:
        return _InCatalog(_catalog(node, catalog), rest, node.paths.root)
    if any(info.name == plugin for info in finding.installed(DNS)):
        return _Installed(finding.find(DNS, plugin))
    return _search(node, plugin)


def _search(node: Node, name: str) -> _InCatalog:
    """The first catalogue, by name, that offers this provider; broken ones do not hide it."""
    broken: list[PvefwError] = []
    for info in finding.installed(DNS_CATALOG):
        try:
            catalog = _catalog(node, info.name)
            if name in catalog.hooks.catalog_names(root=node.paths.root):
                return _InCatalog(catalog, name, node.paths.root)
        except PvefwError as error:
            broken.append(error)
    if broken:
        raise broken[0]
    raise PluginMissing(
        f"no DNS plugin or catalogue offers {name}",
        plugin=f"dns/{name}",
        hint=_how_to_get(node, name),
    )


def _how_to_get(node: Node, name: str) -> str:
    """What to do where nobody offers a DNS provider."""
    if name in ours.OURS[DNS.name]:
        return ours.how_to_get(DNS.name, name, ())
    known = names(node)
    if meant := ours.close(name, [*known, *ours.OURS[DNS.name]]):
        return f"Did you mean {meant}?" if meant in known else ours.how_to_get("dns", meant, ())
    installed = [info.name for info in finding.installed(DNS_CATALOG)]
    more = {dist for key, dist in ours.OURS[DNS_CATALOG.name].items() if key not in installed}
    hint = "All names: pvefw plugin list --providers"
    for catalog in installed:
        with contextlib.suppress(PvefwError):
            if not _catalog(node, catalog).hooks.catalog_names(root=node.paths.root):
                hint += f"\nThe catalogue {catalog} has no names here; what it needs: "
                hint += f"pvefw plugin show dns_catalog {catalog}"
    if more:
        hint += f"\nMore names come with: pipx inject pvefw {' '.join(sorted(more))}"
    return hint


def resolved(node: Node, instance: Instance) -> Instance:
    """An instance whose plugin stays the same whatever is installed later.

    A provider's plain name is answered by the first catalogue that has it. Where another could have it,
    the catalogue is named, too; but not that of the scripts which Proxmox VE ships, where it ships this
    one: it only understands the plain name.
    """
    plain = "/" not in instance.plugin
    if instance.family != DNS.name or not plain or len(finding.installed(DNS_CATALOG)) == 1:
        return instance
    try:
        source = _locate(node, DNS.name, instance.plugin)
    except PvefwError:
        return instance  # :func:`check` has said why
    if not isinstance(source, _InCatalog):
        return instance
    catalog = source.catalog.name
    if catalog == files.PVE_CATALOG:
        others = [other for other in offering(node, instance.plugin) if other != catalog]
        if not others or files.ships(node, instance.plugin):
            return instance
    return replace(instance, plugin=f"{catalog}/{instance.plugin}")


def offering(node: Node, name: str) -> list[str]:
    """The catalogues that have a provider of this name; broken ones are left out."""
    catalogs = []
    for info in finding.installed(DNS_CATALOG):
        with contextlib.suppress(PvefwError):
            if name in _catalog(node, info.name).hooks.catalog_names(root=node.paths.root):
                catalogs.append(info.name)
    return catalogs


def _catalog(node: Node, name: str) -> Bound[DnsCatalogSpec]:
    """A catalogue, with its settings.

    :raises ConfigError: it is disabled or not for this node.
    """
    instance = listing.of_plugin(node, DNS_CATALOG.name, name)
    listing.check_used(node, instance)
    bound: Bound[DnsCatalogSpec] = bind(node, instance)
    return bound
