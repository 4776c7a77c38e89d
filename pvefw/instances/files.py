"""The two places of instances, and how a section is found, written and removed there.

``pvefw.cfg`` has most families, for the cluster and for each node; an instance in both is the node's.

``plugins.cfg`` has those that answer challenges. What Proxmox VE's schema for it has no room for is in
``pvefw-plugins.cfg`` beside it, so that its parser never stumbles over an instance and never drops what
it does not know: types of third parties, dns plugins that it does not ship, and standalone instances with
settings. An instance in both counts as ours: Proxmox VE always writes ``standalone`` into its own.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pvefw.core.errors import StoreError
from pvefw.instances.codec import DEFAULT_DELAY, Instance, decode, encode
from pvefw.store import files, oddities
from pvefw.store.node import Node
from pvefw.store.paths import Paths
from pvefw.store.plugin_sections import KINDS, STANDALONE
from pvefw.store.section_config import Section, SectionConfig

PVE_CATALOG = "acmesh"
"""The catalogue of the scripts that Proxmox VE ships: there, a plain name means one of these."""


class Place:
    """``pvefw.cfg`` of the cluster and of this node. Proxmox VE's web server can read them."""

    private = False
    """Only root can read it: secrets may be in it as plain text."""

    def __init__(self, node: Node, family: str) -> None:
        self.node = node
        self.family = family
        self.files = node.paths.cluster_pvefw_cfg, node.paths.node_pvefw_cfg()
        """Both files; what is in the second one wins."""
        self.types = frozenset({family})
        """The types of sections that share the family's ids."""

    @staticmethod
    @contextlib.contextmanager
    def locked(paths: Paths) -> Iterator[None]:
        """Hold the locks that guard a change.

        :raises Locked: another process or node is changing a file.
        """
        from pvefw.store import locks

        # the node's file has the node's properties, too, and they have a lock of their own
        with locks.cluster_lock(paths, "pvefw-cfg"), locks.node_config_lock(paths):
            yield

    def sections(self) -> dict[str, tuple[Section, Path]]:
        """The family's sections and those that share its ids, by id, and the file each is in."""
        return {
            section.id: (section, path)
            for path in self.files
            for section in self._readable(path)
            if section.type in self.types
        }

    def _readable(self, path: Path) -> Sequence[Section]:
        """The sections of a file. One that is not needed and cannot be read does not hide the other.

        :raises StoreError: the first file cannot be read.
        """
        try:
            return self.node.sections(path).sections
        except StoreError as error:
            if path == self.files[0]:
                raise
            oddities.report(path, 0, error.message, "it counts as empty")
            return ()

    def load(self) -> dict[str, Instance]:
        """The family's instances and those that share its ids, by id."""
        return {id_: decode(*source) for id_, source in self.sections().items()}

    def taken(self, id_: str) -> Section | None:
        """The section that has an id, of whatever type: an id names one section of a file."""
        return next(
            (section for path in self.files if (section := self.node.sections(path).get(id_))), None
        )

    def data(self) -> bytes:
        """What a digest is made of."""
        return b"".join(map(self.node.data, self.files))

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
        self._replace(home, self.node.sections(home).with_section(changed, self.types))

    def _remove(self, path: Path, id_: str) -> None:
        config = self.node.sections(path)
        if config.get(id_, self.types) is not None:
            self._replace(path, config.without(id_, self.types))

    def _replace(self, path: Path, sections: SectionConfig) -> None:
        there = self.node.own if path == self.files[1] else self.node.cluster
        files.replace(path, replace(there, sections=sections).render())


class PluginsCfg(Place):
    """Proxmox VE's ``plugins.cfg``, and ours beside it."""

    private = True

    def __init__(self, node: Node, family: str) -> None:
        super().__init__(node, family)
        self.files = node.paths.plugins_cfg, node.paths.own_plugins_cfg
        self.types = frozenset({STANDALONE, *(kind.family for kind in KINDS.values() if kind.acme)})

    @staticmethod
    @contextlib.contextmanager
    def locked(paths: Paths) -> Iterator[None]:
        from pvefw.store import locks

        with locks.cluster_lock(paths, "file-priv_acme_plugins_cfg"):  # Proxmox VE's own lock
            yield

    def sections(self) -> dict[str, tuple[Section, Path]]:
        always = {STANDALONE: (Section(STANDALONE, STANDALONE), self.files[0])}
        return dict(sorted({**always, **super().sections()}.items()))

    def taken(self, id_: str) -> Section | None:
        return super().taken(id_) or self.sections().get(id_, (None,))[0]

    def put(self, instance: Instance, old: Instance | None = None) -> None:
        """Write an instance where it belongs; one that moves is never in neither of the files.

        The names that it validates move with it: Proxmox VE refuses all work on a node that names an
        instance it does not know.
        """
        home, other = self.files if self._pve_accepts(instance) else reversed(self.files)
        self._put(home, instance, old)
        if old is not None:
            from pvefw.store import node_settings

            leaves_pve = home != self.files[0]
            node_settings.move_names(self.node.paths, instance.id, leaves_pve=leaves_pve)
        self._remove(other, instance.id)

    def _replace(self, path: Path, sections: SectionConfig) -> None:
        files.replace(path, sections.render(), private=True)

    def _pve_accepts(self, instance: Instance) -> bool:
        """Whether Proxmox VE's schema has room for all of an instance."""
        from pvefw.store import properties

        if not properties.pve_id(instance.id):
            return False
        if instance.type == STANDALONE:
            return not instance.settings and instance.validation_delay == DEFAULT_DELAY
        return instance.family == "dns" and self._pve_ships(instance.plugin)

    def _pve_ships(self, plugin: str) -> bool:
        """Whether Proxmox VE ships this dns plugin; where it is not installed, it cannot mind."""
        if "/" in plugin:
            return False  # no name of a script has one, whichever Proxmox VE may come
        return not files.exists(self.node.paths.pve_dns_apis) or ships(self.node, plugin)


def ships(node: Node, plugin: str) -> bool:
    """Whether the Proxmox VE of this node ships a dns plugin; not where there is none."""
    path = node.paths.pve_dns_apis
    data = files.read_if_exists(path)
    if data is None:
        return False
    try:
        return plugin in dict(files.parse_json(data))
    except (ValueError, TypeError):
        oddities.report(path, 0, "this is not a JSON object", "Proxmox VE ships no dns plugin")
        return False


def place(node: Node, family: str) -> Place:
    """Where the instances of a family are."""
    return _class(family)(node, family)


@contextlib.contextmanager
def changing(paths: Paths, family: str) -> Iterator[Place]:
    """The same, under its lock, with a fresh look at the files.

    :raises Locked: another process or node is changing one.
    """
    with _class(family).locked(paths):
        yield place(Node.open(paths), family)


def _class(family: str) -> type[Place]:
    return PluginsCfg if KINDS[family].acme else Place
