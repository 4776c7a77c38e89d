"""The two places of instances, and how a section is found, written and removed there.

``pvefw.cfg`` has most families, for the cluster and for each node; an instance in both is the node's.

``plugins.cfg`` has those that answer challenges. What Proxmox VE's schema for it has no room for is in
``pvefw-plugins.cfg`` beside it, so that its parser never stumbles over an instance and never drops what
it does not know: types of third parties, dns plugins that it does not ship, and standalone instances with
settings. An instance in both counts as ours: Proxmox VE always writes ``standalone`` into its own.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pvefw.core.errors import ConfigError
from pvefw.instances.codec import DEFAULT_DELAY, STANDALONE, Instance, decode, encode, family_of
from pvefw.store import files, locks, properties, pvefw_config
from pvefw.store.kinds import KINDS
from pvefw.store.paths import Paths
from pvefw.store.pvefw_config import PvefwConfig
from pvefw.store.section_config import Section, SectionConfig


class Place:
    """``pvefw.cfg`` of the cluster and of this node. Proxmox VE's web server can read them."""

    private = False
    """Only root can read it: secrets may be in it as plain text."""

    def __init__(self, paths: Paths, family: str) -> None:
        self.paths = paths
        self.family = family
        self.files = paths.cluster_pvefw_cfg, paths.node_pvefw_cfg()
        """Both files; what is in the second one wins."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the locks that guard a change.

        :raises Locked: another process or node is changing a file.
        """
        # the node's file has the node's properties, too, and they have a lock of their own
        with locks.cluster_lock(self.paths, "pvefw-cfg"), locks.node_config_lock(self.paths):
            yield

    def sections(self) -> dict[str, tuple[Section, Path]]:
        """The family's sections and those that share its ids, by id, and the file each is in."""
        return {
            one.id: (one, path)
            for path in self.files
            for one in self._read(path).sections
            if self._shares(one.type)
        }

    def load(self) -> dict[str, Instance]:
        """The family's instances and those that share its ids, by id."""
        return {id_: decode(*found) for id_, found in self.sections().items()}

    def taken(self, id_: str) -> Section | None:
        """The section that has an id, of whatever type: an id names one section of a file."""
        return next((found for path in self.files if (found := self._read(path).get(id_))), None)

    def data(self) -> bytes:
        """What a digest is made of."""
        return b"".join(files.read_if_exists(path) or b"" for path in self.files)

    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance where it is, else into the first file.

        :param old: what it was made of; what is the same object in both keeps its form.
        """
        _, path = self.sections().get(instance.id, (None, self.files[0]))
        self._put(path, instance, old)

    def remove(self, id_: str) -> None:
        """Remove an instance from both files."""
        for path in self.files:
            self._remove(path, id_)

    def _put(self, home: Path, instance: Instance, old: Instance | None) -> None:
        new = Section(instance.type, instance.id), home
        section, path = self.sections().get(instance.id, new)
        changed = encode(section, old or decode(section, path), instance)
        self._replace(home, self._read(home).with_section(changed))

    def _remove(self, path: Path, id_: str) -> None:
        config = self._read(path)
        found = config.get(id_)
        if found is not None and self._shares(found.type):
            self._replace(path, config.without(id_))

    def _shares(self, type_: str) -> bool:
        """Whether sections of a type share the family's ids."""
        return type_ == self.family

    def _read(self, path: Path) -> SectionConfig:
        return pvefw_config.load(path)[0].sections

    def _replace(self, path: Path, sections: SectionConfig) -> None:
        config, _ = pvefw_config.load(path)
        files.replace(path, PvefwConfig(config.properties, sections).render())


class PluginsCfg(Place):
    """Proxmox VE's ``plugins.cfg``, and ours beside it."""

    private = True

    def __init__(self, paths: Paths, family: str) -> None:
        super().__init__(paths, family)
        self.files = paths.plugins_cfg, paths.own_plugins_cfg

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with locks.cluster_lock(self.paths, "file-priv_acme_plugins_cfg"):  # Proxmox VE's own lock
            yield

    def sections(self) -> dict[str, tuple[Section, Path]]:
        always = {STANDALONE: (Section(STANDALONE, STANDALONE), self.files[0])}
        return dict(sorted({**always, **super().sections()}.items()))

    def taken(self, id_: str) -> Section | None:
        return super().taken(id_) or self.sections().get(id_, (None,))[0]

    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance where it belongs; one that moves is never in neither of the files."""
        home, other = self.files if self._pve_accepts(instance) else reversed(self.files)
        self._put(home, instance, old)
        self._remove(other, instance.id)

    def _shares(self, type_: str) -> bool:
        kind = KINDS.get(family_of(type_))
        return kind is not None and kind.acme

    def _read(self, path: Path) -> SectionConfig:
        return SectionConfig.parse(files.read_if_exists(path) or b"", str(path))

    def _replace(self, path: Path, sections: SectionConfig) -> None:
        files.replace(path, sections.render(), private=True)

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
            return plugin in dict(files.parse_json(data))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: this is not a JSON object") from error


def place(paths: Paths, family: str) -> Place:
    """Where the instances of a family are."""
    return (PluginsCfg if KINDS[family].acme else Place)(paths, family)
