"""Targets that two certificates name and that have room for one: the second would replace the first."""

from pvefw.instances import Instance, binding
from pvefw.store import certificates
from pvefw.store.certificates import CertificateSettings
from pvefw.store.node import Node

_NAME = "{name}"
"""Stands for the certificate's name in settings of a target that has room for several."""


def of_target(node: Node, settings: CertificateSettings, target: Instance) -> str:
    """Why a certificate cannot have this target beside another one, a clause; empty where it can.

    :raises StoreError: the configuration cannot be read.
    """
    others = [
        one.what
        for one in certificates.all_of(node)
        if one.name != settings.name and target.id in one.targets
    ]
    if not others or _has_room(node, target):
        return ""
    return f"the target {target.id} has room for one certificate, and {others[0]} names it, too"


def _has_room(node: Node, target: Instance) -> bool:
    """Whether it puts each certificate elsewhere: a setting has the name, and none has lost it."""
    values, infos = binding.effective(node, target)
    defaults = {one.key: str(one.default or "") for one in infos}
    named = {key for key, one in {**defaults, **values}.items() if _NAME in one}
    return bool(named) and named >= {key for key, one in defaults.items() if _NAME in one}
