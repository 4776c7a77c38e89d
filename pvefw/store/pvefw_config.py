"""``pvefw.cfg``, for the cluster and for each node: what Proxmox VE's own files cannot hold.

First ``key: value`` properties, as in the node configuration; then sections, for instances and
certificates::

    reload-command: systemctl reload nginx
    renew-before: 30

    observer: tell-admin
            api exec
            data …

    certificate: web
            acmedomain0 www.example.com,plugin=ovh

A node's property wins over the cluster's; sections are those of both files.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pvefw.store import files, oddities
from pvefw.store.node_config import NodeConfig
from pvefw.store.plugin_sections import KINDS
from pvefw.store.section_config import SectionConfig

CERTIFICATE = "certificate"
"""The type of the sections that are no plugin's: each says what is wanted of one certificate."""
SECTION_TYPES = tuple(
    sorted([CERTIFICATE, *(kind.family for kind in KINDS.values() if not kind.acme)])
)
_FIRST_SECTION = re.compile(rf"^(?:#.*\n)*(?:{'|'.join(SECTION_TYPES)}):\s", re.MULTILINE)
"""With the comment right above it."""


@dataclass(frozen=True)
class PvefwConfig:
    """One ``pvefw.cfg``."""

    properties: NodeConfig
    sections: SectionConfig

    @classmethod
    def parse(cls, data: bytes, what: str) -> "PvefwConfig":
        """Read a file. What makes no sense in it is kept, and reported as an oddity."""
        text = oddities.decoded(data)
        first = _FIRST_SECTION.search(text)
        cut = first.start() if first else len(text)
        head, tail = (oddities.encoded(part) for part in (text[:cut], text[cut:]))
        line = text[:cut].count("\n") + 1
        sections = SectionConfig.parse(tail, what, first=line, types_share_ids=False)
        for section in sections.sections:
            if section.type not in SECTION_TYPES:
                why = f"'{section.type}: {section.id}' is below the first section"
                known = ", ".join(SECTION_TYPES)
                oddities.report(what, section.line, why, f"it is ignored: sections are {known}")
        return cls(NodeConfig.parse(head, what), sections)

    def render(self) -> bytes:
        """The file again."""
        head, tail = self.properties.render(), self.sections.render()
        gap = b"\n" if head.strip() and tail and not head.endswith(b"\n\n") else b""
        return head + gap + tail


def load(path: Path) -> tuple[PvefwConfig, bytes]:
    """A file and its bytes; an empty one where there is none.

    :raises StoreError: it cannot be read.
    """
    data = files.read_if_exists(path) or b""
    return PvefwConfig.parse(data, str(path)), data
