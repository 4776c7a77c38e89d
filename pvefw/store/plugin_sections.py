"""The kinds of sections that configure plugins: what each is called, and the commands that manage it.

Apart from :mod:`pvefw.core.hookspecs`, whose families import pluggy: the command line is built from this,
and ``--help`` and the Tab key must not wait for pluggy.
"""

from typing import NamedTuple

STANDALONE = "standalone"
"""The instance that always exists, and its type and plugin."""


class Kind(NamedTuple):
    """How the instances of one family are named and managed."""

    family: str
    noun: str
    """For messages: ``guest backend``."""
    command: str
    """The group of commands: ``guest backend`` for ``pvefw guest backend add``."""
    acme: bool = False
    """They answer challenges: Proxmox VE has them too, in its own file and format."""
    named_like_plugin: bool = False
    """There is one at most for each plugin, named like it; the plugin works without one, too."""

    @property
    def subject(self) -> str:
        """What commands work on: ``an observer``, ``the settings of a boot loader``."""
        text = f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"
        return f"the settings of {text}" if self.named_like_plugin else text

    def example(self, id_: str, api: str = "NAME") -> str:
        """The command that adds an instance."""
        if self.named_like_plugin:
            return f"pvefw {self.command} set {id_} --data FILE"
        type_ = "dns " if self.acme else ""
        return f"pvefw {self.command} add {type_}{id_} --api {api} --data FILE"


KINDS = {
    kind.family: kind
    for kind in (
        Kind("challenge", "plugin instance", "acme plugin", acme=True),
        Kind("dns", "plugin instance", "acme plugin", acme=True),
        Kind("dns_catalog", "DNS catalogue", "acme catalog", named_like_plugin=True),
        Kind("bootloader", "boot loader", "boot loader", named_like_plugin=True),
        Kind("guest", "guest backend", "guest backend"),
        Kind("observer", "observer", "observer"),
    )
}
