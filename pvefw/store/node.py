"""A node in hand: one coherent look at its configuration, for as long as one thing is decided.

What Proxmox VE can hold is in its node configuration; everything else in the node's ``pvefw.cfg``, with
the cluster's ``pvefw.cfg`` for defaults. Instances of plugins are in the two ``pvefw.cfg``, and those
that answer challenges in ``plugins.cfg`` and beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pvefw.core.errors import ConfigError, StoreError
from pvefw.store import files, oddities, pmxcfs
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import KINDS, STANDALONE
from pvefw.store.section_config import SectionConfig

if TYPE_CHECKING:
    from pvefw.store.domains import DomainEntry
    from pvefw.store.node_config import NodeConfig
    from pvefw.store.pvefw_config import PvefwConfig

DESCRIPTION = "description"
_Content = bytes | None | StoreError
"""Of a file: ``None`` where there is none, or why it cannot be read."""


@dataclass(frozen=True)
class Node:
    """A node's configuration as it was at one moment. A change takes a fresh look, under the lock.

    A file that cannot be read costs only those who need it: they get the error.
    """

    paths: Paths
    contents: Mapping[Path, _Content] = field(repr=False)

    @classmethod
    def open(cls, paths: Paths) -> "Node":
        """Read each file once.

        :raises StoreError: the cluster file system is not mounted.
        """
        pmxcfs.check(paths.etc_pve)
        return cls(paths, {path: _read(path) for path in _files(paths)})

    @classmethod
    def unread(cls, paths: Paths) -> "Node":
        """A node with nothing configured, for those who have to work where nothing can be read."""
        return cls(paths, dict.fromkeys(_files(paths)))

    def neighbour(self, name: str) -> "Node":
        """Another node of the cluster, as it is now; what the cluster shares is not read again.

        :raises UsageError: that is not the name of a node.
        """
        other = replace(self.paths, node=name)
        its_own = (other.node_config(), other.node_pvefw_cfg())
        return Node(other, {**self.contents, **{path: _read(path) for path in its_own}})

    @property
    def name(self) -> str:
        """The node's name."""
        return self.paths.node

    def data(self, path: Path) -> bytes:
        """A file as it was; empty where there was none.

        :raises StoreError: it could not be read.
        """
        content = self.contents[path]
        if isinstance(content, StoreError):
            raise content
        return content or b""

    # --- the files --------------------------------------------------------------------------------

    @cached_property
    def config(self) -> "NodeConfig":
        """Proxmox VE's node configuration."""
        from pvefw.store.node_config import NodeConfig

        path = self.paths.node_config()
        return NodeConfig.parse(self.data(path), str(path))

    @cached_property
    def own(self) -> "PvefwConfig":
        """The node's ``pvefw.cfg``."""
        return self._pvefw_cfg(self.paths.node_pvefw_cfg())

    @cached_property
    def cluster(self) -> "PvefwConfig":
        """The cluster's ``pvefw.cfg``."""
        return self._pvefw_cfg(self.paths.cluster_pvefw_cfg)

    @cached_property
    def _plugins(self) -> Mapping[Path, SectionConfig]:
        both = (self.paths.plugins_cfg, self.paths.own_plugins_cfg)
        parsed = {path: SectionConfig.parse(self.data(path), str(path)) for path in both}
        for path, config in parsed.items():
            _report_types(config, path)
        return parsed

    def sections(self, path: Path) -> SectionConfig:
        """The instances in one of the files that have some.

        :raises StoreError: it could not be read.
        """
        if path == self.paths.cluster_pvefw_cfg:
            return self.cluster.sections
        if path == self.paths.node_pvefw_cfg():
            return self.own.sections
        return self._plugins[path]

    def _pvefw_cfg(self, path: Path) -> "PvefwConfig":
        from pvefw.store.pvefw_config import PvefwConfig

        return PvefwConfig.parse(self.data(path), str(path))

    # --- properties -------------------------------------------------------------------------------

    @cached_property
    def own_properties(self) -> Mapping[str, str]:
        """The properties in the two ``pvefw.cfg``, the node's over the cluster's."""
        return {
            **_sound(self.cluster.properties, self.paths.cluster_pvefw_cfg),
            **_sound(self.own.properties, self.paths.node_pvefw_cfg()),
        }

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """Every property that is set, in its format, and ``description`` where there is one."""
        theirs = _sound(self.config, self.paths.node_config(), pve=True)
        properties = {**self.own_properties, **theirs}
        if self.config.description:
            properties[DESCRIPTION] = self.config.description
        return dict(sorted(properties.items()))

    def get(self, key: str, default: str = "") -> str:
        """One property, or its default.

        :raises StoreError: a file that has it could not be read.
        """
        from pvefw.store import properties

        known = properties.find(key)
        try:
            settings = self.properties
        except StoreError:
            if known is None or known.known_to_pve:
                raise
            settings = self.own_properties  # Proxmox VE's file is not where it belongs
        return settings.get(key, default)

    def is_on(self, key: str) -> bool:
        """Whether a property that is 0 or 1 is 1."""
        return self.get(key) == "1"

    def certificate_names(self) -> "list[DomainEntry]":
        """The names of the node's certificate, and who validates each.

        :raises ConfigError: a name occurs twice, or a property has two values.
        """
        from pvefw.store import domains

        self._check_one_place()
        return domains.entries(self.properties, f"node {self.name}")

    @property
    def account(self) -> str:
        """The ACME account to order from."""
        from pvefw.store import domains

        return domains.acme(self.properties).get("account", "default")

    @cached_property
    def max_workers(self) -> int | None:
        """How many guests of the cluster may be worked on at once; ``None`` where that is not set."""
        from pvefw.store import datacenter

        path = self.paths.datacenter_cfg
        return datacenter.max_workers(self.data(path), str(path))

    def instance_ids(self, path: Path) -> set[str]:
        """What an ``acmedomain`` can name as plugin: the instances of one file, and ``standalone``."""
        from pvefw.store.plugin_sections import STANDALONE

        return {STANDALONE, *(section.id for section in self.sections(path).sections)}

    @property
    def digest(self) -> str:
        """What guards a change: that of Proxmox VE's file, as its own tools show it, and then ours."""
        both = (self.paths.node_config(), self.paths.node_pvefw_cfg())
        return files.digest(b"".join(map(self.data, both)))

    def _check_one_place(self) -> None:
        """Proxmox VE does not see our file: it may have given a number of ours to another name.

        :raises ConfigError: a property stands in both files, so that one name would be left out.
        """
        from pvefw.store import properties

        theirs = self.config.values
        for key, value in self.own.properties.values.items():
            if key in theirs and (key == "acme" or properties.is_domain(key)):
                raise ConfigError(
                    f"node {self.name}: {key} is '{value}' in {self.paths.node_pvefw_cfg()} "
                    f"and '{theirs[key]}' in {self.paths.node_config()}",
                    hint=f"Choose one: pvefw config set --{key} VALUE; give the other a free number.",
                )


def _files(paths: Paths) -> tuple[Path, ...]:
    return (
        paths.node_config(),
        paths.node_pvefw_cfg(),
        paths.cluster_pvefw_cfg,
        paths.datacenter_cfg,
        paths.plugins_cfg,
        paths.own_plugins_cfg,
    )


def _read(path: Path) -> _Content:
    try:
        return files.read_if_exists(path)
    except StoreError as error:
        return error


def _sound(config: "NodeConfig", file: Path, *, pve: bool = False) -> dict[str, str]:
    """The properties of a file without those that are not in their format, which are reported."""
    sound = {}
    for key, value, why in judged(config, pve=pve):
        if why:
            oddities.report(file, config.line_of(key), f"{key}: {why}", "the property is ignored")
        else:
            sound[key] = value
    return sound


def judged(config: "NodeConfig", *, pve: bool) -> Iterator[tuple[str, str, str]]:
    """The properties of a file with their values, and why a value cannot be used, else nothing.

    :param pve: it is Proxmox VE's file, and what its own parser drops cannot be used.
    """
    for key, value in config.values.items():
        yield key, value, _what_is_wrong(key, value, pve=pve)


def _what_is_wrong(key: str, value: str, *, pve: bool) -> str:
    """Why a property cannot be used; empty where it can, or nobody knows it."""
    from pvefw.store import properties

    known = properties.find(key)
    if known is None:
        return ""
    theirs = pve and known.known_to_pve
    if theirs and known.pve(value):
        return ""
    try:
        known.check(value)
    except ValueError as error:
        return f"{error}; the format is {known.format}"
    return f"Proxmox VE does not accept '{value}'" if theirs else ""


def _report_types(config: SectionConfig, path: Path) -> None:
    """Warn of sections that nobody reads: Proxmox VE leaves out those of a type that it does not know."""
    known = [STANDALONE, *(kind.family for kind in KINDS.values() if kind.acme)]
    for section in config.sections:
        if section.type not in known:
            plain = f"{section.type.removeprefix(oddities.MARK)}: {section.id}"
            mark = "a byte order mark hides" if section.type.startswith(oddities.MARK) else ""
            why = f"{mark} '{plain}'" if mark else f"'{plain}' is of no known type"
            assumed = f"it is ignored: sections are {', '.join(known)}"
            oddities.report(path, section.line, why, assumed)
