"""``pvefw.cfg``, for the cluster and for each node: what Proxmox VE's own files cannot hold.

First ``key: value`` properties, as in the node configuration; then sections for instances::

    reload-command: systemctl reload nginx
    renew-before: 30

    observer: tell-admin
            api exec
            data …

A node's property wins over the cluster's; sections are those of both files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvefw.core.errors import ConfigError
from pvefw.store import files
from pvefw.store.node_config import NodeConfig
from pvefw.store.paths import Paths
from pvefw.store.section_config import Section, SectionConfig

SECTION_TYPES = ("dns_catalog", "guest", "observer")
_FIRST_SECTION = re.compile(rf"^(?:#.*\n)*(?:{'|'.join(SECTION_TYPES)}):\s", re.MULTILINE)
"""With the comment right above it."""


@dataclass(frozen=True)
class PvefwConfig:
    """One ``pvefw.cfg``."""

    properties: NodeConfig
    sections: SectionConfig

    @classmethod
    def parse(cls, data: bytes, what: str) -> "PvefwConfig":
        """Read a file.

        :raises ConfigError: as :meth:`NodeConfig.parse` and :meth:`SectionConfig.parse`, and for a
            property or an unknown type among the sections.
        """
        text = data.decode(errors="surrogateescape")
        first = _FIRST_SECTION.search(text)
        cut = first.start() if first else len(text)
        head, tail = (part.encode(errors="surrogateescape") for part in (text[:cut], text[cut:]))
        sections = SectionConfig.parse(tail, what)
        for one in sections.sections:
            if one.type not in SECTION_TYPES:
                raise ConfigError(
                    f"{what}: '{one.type}: {one.id}' stands below the first section",
                    hint=f"Properties stand above; sections are {', '.join(SECTION_TYPES)}.",
                )
        return cls(NodeConfig.parse(head, what), sections)

    def render(self) -> bytes:
        """The file again."""
        head, tail = self.properties.render(), self.sections.render()
        gap = b"\n" if head.strip() and tail and not head.endswith(b"\n\n") else b""
        return head + gap + tail


def load(path: Path) -> tuple[PvefwConfig, bytes]:
    """A file and its bytes; an empty one where there is none.

    :raises ConfigError: it is damaged.
    """
    data = files.read_if_exists(path) or b""
    return PvefwConfig.parse(data, str(path)), data


def properties(paths: Paths) -> dict[str, str]:
    """All properties, the node's over the cluster's."""
    cluster, _ = load(paths.cluster_pvefw_cfg)
    node, _ = load(paths.node_pvefw_cfg())
    return {**cluster.properties.values, **node.properties.values}


def sections(paths: Paths, type_: str) -> list[Section]:
    """All sections of a type, the cluster's first; of one id in both files, the node's."""
    found: dict[str, Section] = {}
    for path in (paths.cluster_pvefw_cfg, paths.node_pvefw_cfg()):
        config, _ = load(path)
        found |= {one.id: one for one in config.sections.sections if one.type == type_}
    return list(found.values())


def option(paths: Paths, key: str, default: str = "") -> str:
    """One property, or its default."""
    return properties(paths).get(key, default)


def section_values(paths: Paths, type_: str, id_: str) -> dict[str, str]:
    """One section's properties; none where there is no such section."""
    found: Sequence[Section] = [one for one in sections(paths, type_) if one.id == id_]
    return found[0].values if found else {}
