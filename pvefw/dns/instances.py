"""Configured plugin instances of type ``dns``, by id."""

from pvefw.core.errors import UsageError
from pvefw.core.hookspecs.dns import DnsSpec
from pvefw.core.plugins import Bound
from pvefw.dns import providers
from pvefw.dns.publication import Route
from pvefw.store import plugin_config
from pvefw.store.paths import Paths
from pvefw.store.plugin_config import PluginInstance


def bind(paths: Paths, id_: str) -> Bound[DnsSpec]:
    """An instance's hooks; a disabled one's, too: it may have something to remove.

    :raises NotFound: there is no such instance.
    :raises UsageError: it is not of type ``dns``.
    :raises PluginError: its plugin is missing or broken.
    :raises ConfigError: its settings do not fit.
    """
    return _bind(paths, _load(paths, id_))


def route(paths: Paths, id_: str, domain: str, alias: str = "") -> Route:
    """How an instance would validate a domain.

    :raises PvefwError: as :func:`bind`.
    """
    instance = _load(paths, id_)
    return Route(domain, _bind(paths, instance), alias, float(instance.validation_delay))


def _load(paths: Paths, id_: str) -> PluginInstance:
    instance = plugin_config.load(paths, id_)
    if instance.type != "dns":
        ids = [one.id for one in plugin_config.load_all(paths) if one.type == "dns"]
        raise UsageError(
            f"{id_} is a {instance.type} instance, not a dns one",
            hint=f"Those of type dns: {', '.join(ids) or 'none'}.",
        )
    return instance


def _bind(paths: Paths, instance: PluginInstance) -> Bound[DnsSpec]:
    return providers.bind(paths, instance.api, instance.data, instance.id)
