"""The two places of instances, and how a section is found, written and removed there.

``plugins.cfg`` has those that answer challenges. What Proxmox VE's schema for it has no room for is in
``pvefw-plugins.cfg`` beside it, so that its parser never stumbles over an instance and never drops what
it does not know: types of third parties, dns plugins that it does not ship, and standalone instances with
settings. An instance in both counts as ours: Proxmox VE always writes ``standalone`` into its own.

``pvefw.cfg`` has the other families, for the cluster and for each node; an instance in both counts as the
node's.
"""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from pvefw.errors import ConfigError
from pvefw.instances.codec import (
    DEFAULT_DELAY,
    STANDALONE,
    Instance,
    decode,
    encode,
    family_of,
)
from pvefw.instances.kinds import KINDS
from pvefw.store import files, locks, properties, pvefw_config
from pvefw.store.paths import Paths
from pvefw.store.pvefw_config import PvefwConfig
from pvefw.store.section_config import Section, SectionConfig


class Place(ABC):
    """A file and the one beside it, whose sections win."""

    private: bool
    """Only root can read it: secrets may be in it as plain text."""

    def __init__(self, paths: Paths, family: str) -> None:
        self.paths = paths
        self.family = family

    @property
    @abstractmethod
    def files(self) -> tuple[Path, Path]:
        """Both files."""

    @abstractmethod
    def locked(self) -> contextlib.AbstractContextManager[None]:
        """The lock that guards a change."""

    @abstractmethod
    def read(self, path: Path) -> SectionConfig:
        """The sections of one of the files."""

    @abstractmethod
    def replace(self, path: Path, sections: SectionConfig) -> None:
        """Write one of the files."""

    @abstractmethod
    def sections(self) -> dict[str, tuple[Section, Path]]:
        """The family's sections and those that share its ids, by id, and the file each is in."""

    @abstractmethod
    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance.

        :param old: what it was made of; what is the same object in both keeps its form.
        """

    def load(self) -> dict[str, Instance]:
        """The family's instances and those that share its ids, by id."""
        return {id_: decode(*found) for id_, found in self.sections().items()}

    def taken(self, id_: str) -> Section | None:
        """The section that has an id, of whatever type: an id names one section of a file."""
        return next((found for path in self.files if (found := self.read(path).get(id_))), None)

    def data(self) -> bytes:
        """What a digest is made of."""
        return b"".join(files.read_if_exists(path) or b"" for path in self.files)

    def remove(self, id_: str) -> None:
        """Remove an instance from both files."""
        for path in self.files:
            self._remove(path, id_)

    def _remove(self, path: Path, id_: str) -> None:
        config = self.read(path)
        found = config.get(id_)
        if found is not None and self._shares(found.type):
            self.replace(path, config.without(id_))

    def _changed(self, instance: Instance, old: Instance | None) -> Section:
        new = Section(instance.type, instance.id), self.files[0]
        section, path = self.sections().get(instance.id, new)
        return encode(section, old or decode(section, path), instance)

    @abstractmethod
    def _shares(self, type_: str) -> bool:
        """Whether sections of a type share the family's ids."""


class PluginsCfg(Place):
    """Proxmox VE's ``plugins.cfg``, and ours beside it."""

    private = True

    @property
    def files(self) -> tuple[Path, Path]:
        return self.paths.plugins_cfg, self.paths.own_plugins_cfg

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return locks.cluster_lock(self.paths, "file-priv_acme_plugins_cfg")  # Proxmox VE's own lock

    def read(self, path: Path) -> SectionConfig:
        return SectionConfig.parse(files.read_if_exists(path) or b"", str(path))

    def replace(self, path: Path, sections: SectionConfig) -> None:
        files.replace(path, sections.render(), private=True)

    def sections(self) -> dict[str, tuple[Section, Path]]:
        found = {STANDALONE: (Section(STANDALONE, STANDALONE), self.files[0])}
        for path in self.files:
            for one in self.read(path).sections:
                if self._shares(one.type):
                    found[one.id] = one, path
        return dict(sorted(found.items()))

    def taken(self, id_: str) -> Section | None:
        always = Section(STANDALONE, STANDALONE) if id_ == STANDALONE else None
        return super().taken(id_) or always

    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance where it belongs; one that moves is never in neither of the files."""
        home, other = self.files if self._pve_accepts(instance) else reversed(self.files)
        self.replace(home, self.read(home).with_section(self._changed(instance, old)))
        self._remove(other, instance.id)

    def _shares(self, type_: str) -> bool:
        kind = KINDS.get(family_of(type_))
        return kind is not None and kind.acme

    def _pve_accepts(self, instance: Instance) -> bool:
        """Whether Proxmox VE's schema has room for all of an instance."""
        if not properties.pve_id(instance.id):
            return False
        if instance.type == STANDALONE:
            return not instance.settings and instance.validation_delay == DEFAULT_DELAY
        return instance.family == "dns" and self._pve_ships(instance.plugin)

    def _pve_ships(self, plugin: str) -> bool:
        """Whether Proxmox VE ships this dns plugin; where it is not installed, it cannot mind."""
        path = self.paths.pve_dns_apis
        data = files.read_if_exists(path)
        if data is None:
            return True
        try:
            return plugin in dict(json.loads(data))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: this is not a JSON object") from error


class PvefwCfg(Place):
    """``pvefw.cfg`` of the cluster and of this node. Proxmox VE's web server can read them."""

    private = False

    @property
    def files(self) -> tuple[Path, Path]:
        return self.paths.cluster_pvefw_cfg, self.paths.node_pvefw_cfg()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        # the node's file has the node's properties, too, and they have a lock of their own
        with locks.cluster_lock(self.paths, "pvefw-cfg"), locks.node_config_lock(self.paths):
            yield

    def read(self, path: Path) -> SectionConfig:
        return pvefw_config.load(path)[0].sections

    def replace(self, path: Path, sections: SectionConfig) -> None:
        config, _ = pvefw_config.load(path)
        files.replace(path, PvefwConfig(config.properties, sections).render())

    def sections(self) -> dict[str, tuple[Section, Path]]:
        return {
            one.id: (one, path)
            for path in self.files
            for one in self.read(path).sections
            if self._shares(one.type)
        }

    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance where it is, else into the cluster's file."""
        _, path = self.sections().get(instance.id, (None, self.files[0]))
        self.replace(path, self.read(path).with_section(self._changed(instance, old)))

    def _shares(self, type_: str) -> bool:
        return type_ == self.family


def place(paths: Paths, family: str) -> Place:
    """Where the instances of a family are."""
    return PluginsCfg(paths, family) if KINDS[family].acme else PvefwCfg(paths, family)
