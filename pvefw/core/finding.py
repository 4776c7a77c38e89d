"""Finds plugins by their metadata; nothing of them is imported."""

from dataclasses import dataclass

from pvefw.core import metadata, ours
from pvefw.core.errors import PluginBroken, PluginMissing
from pvefw.core.families import Family


@dataclass(frozen=True)
class PluginInfo:
    """An installed plugin, as its distribution's metadata describes it."""

    family: Family
    entry_point: metadata.EntryPoint

    @property
    def name(self) -> str:
        return self.entry_point.name

    @property
    def who(self) -> str:
        """For messages: ``dns/ovh (pvefw-acme-dns-ovh 1.0.0)``."""
        return f"{self.family.name}/{self.name} ({self.distribution} {self.version})"

    @property
    def distribution(self) -> str:
        return self.entry_point.distribution.name

    @property
    def version(self) -> str:
        return self.entry_point.distribution.version

    @property
    def api(self) -> int | None:
        """The plugin API number: the lowest major version of pvefw that it requires."""
        return metadata.plugin_api(self.entry_point.distribution)

    @property
    def problem(self) -> str:
        """Why it must not be loaded, from metadata alone; empty where it may."""
        return metadata.problem(self.entry_point.distribution)


def installed(family: Family) -> list[PluginInfo]:
    """Every plugin of a family, by name. A name occurs twice where two distributions offer it."""
    infos = [PluginInfo(family, point) for point in metadata.entry_points(family.group)]
    return sorted(infos, key=lambda info: (info.name, info.distribution))


def find(family: Family, name: str) -> PluginInfo:
    """The one installed plugin of this name.

    :raises PluginMissing: there is none; the hint lists those that are there.
    :raises PluginBroken: two distributions offer the name, or it is made for another plugin API.
    """
    everything = installed(family)
    matches = [info for info in everything if info.name == name]
    if not matches:
        raise PluginMissing(
            f"there is no {family.name} plugin named {name}",
            plugin=f"{family.name}/{name}",
            hint=ours.how_to_get(family.name, name, [info.name for info in everything]),
        )
    if len(matches) > 1:
        owners = " and ".join(f"{info.distribution} {info.version}" for info in matches)
        raise PluginBroken(
            f"{family.name}/{name} is offered by {owners}",
            plugin=f"{family.name}/{name}",
            hint="Uninstall one of the two.",
        )
    if matches[0].problem:
        raise PluginBroken(
            f"{matches[0].who}: {matches[0].problem}",
            plugin=f"{family.name}/{name}",
            hint=f"Install a release of {matches[0].distribution} for this pvefw, or upgrade pvefw.",
        )
    return matches[0]
