"""``/cluster/acme``: accounts, plugin instances, and what is known of authorities."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pvefw_api.calls import Call, lines

if TYPE_CHECKING:
    from pvefw.core.model import SettingInfo


def register(call: Call) -> Any:
    """Register an account; who gives the URL of the terms has agreed to them."""
    key = call.get("eab-hmac-key")
    return call.command(
        "acme account register",
        name_and_contact=[call.get("name", "default"), call.get("contact")],
        directory=call.get("directory", _default_directory()),
        accept_tos=bool(call.get("tos_url")),
        eab_kid=call.get("eab-kid"),
        eab_hmac_key_file=None if key is None else str(key).encode(),
        ca_file=call.get("ca-file"),
    )


def directories(_call: Call) -> list[dict[str, str]]:
    """The authorities that are offered by name."""
    from pvefw.cli.acme_account import ENDPOINTS

    return [{"name": name, "url": url} for name, url in ENDPOINTS]


def _default_directory() -> str:
    from pvefw.cli.acme_account import ENDPOINTS

    return ENDPOINTS[0][1]


def terms(call: Call) -> str | None:
    """The URL of an authority's terms of service."""
    return _offer(call).terms or None


def meta(call: Call) -> dict[str, object]:
    """What an authority says about itself."""
    offer = _offer(call)
    members = {"termsOfService": offer.terms} if offer.terms else {}
    return {**members, "externalAccountRequired": offer.binding_required}


def _offer(call: Call) -> Any:
    from pathlib import Path

    from pvefw.certs import accounts

    trust = call.get("ca-file")
    return accounts.look_at(
        call.get("directory", _default_directory()), Path(trust) if trust else None
    )


def plugins(call: Call) -> list[dict[str, Any]]:
    """The instances; a property that is not set is left out."""
    rows = call.command("acme plugin list", type=call.get("type"))
    return [{key: value for key, value in row.items() if value is not False} for row in rows]


def plugin(call: Call) -> dict[str, Any]:
    """One instance, its settings as text: secrets in clear, to those who may change it."""
    from pvefw import instances
    from pvefw.core.families import DNS
    from pvefw.instances import instance_binding
    from pvefw.store.node import Node

    node = Node.open(call.paths)
    instance = instances.load(node, DNS.name, call.get("id"))
    settings, _ = instance_binding.effective(node, instance)
    shown = call.command("acme plugin config", id=instance.id)
    return {**shown, "data": lines(settings)}


def challenge_schema(call: Call) -> list[dict[str, Any]]:
    """Every plugin that an instance can have, with the settings that it declares."""
    from pvefw.core.errors import PvefwError
    from pvefw.instances import STANDALONE, instance_binding
    from pvefw.store.node import Node

    node = Node.open(call.paths)
    schemas = [
        _challenge(name, "dns", infos)
        for name, infos in instance_binding.declared_by_name(node).items()
    ]
    with contextlib.suppress(PvefwError):  # it is a distribution of its own
        infos = instance_binding.declared(node, "challenge", STANDALONE)
        schemas.append(_challenge(STANDALONE, STANDALONE, infos))
    return schemas


def _challenge(name: str, type_: str, infos: "Sequence[SettingInfo]") -> dict[str, Any]:
    from pvefw.core import settings

    schema = settings.json_schema(infos)
    fields = {"fields": schema["properties"], "required": schema["required"]}
    return {"id": name, "name": name, "type": type_, "schema": fields}
