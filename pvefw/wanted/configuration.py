"""The node's configuration, and what is wanted of its certificates: properties of one vocabulary."""

from collections.abc import Mapping
from functools import partial

from pvefw.certs import references, renewal_rule
from pvefw.store import certificate_sections, certificates, node_settings, properties
from pvefw.store.node import DESCRIPTION, Node
from pvefw.store.node_config import normal_property_string
from pvefw.store.properties import Property
from pvefw.store.section_config import check_id
from pvefw.wanted.kind import Change, Context, Fields, Kind, present
from pvefw.wanted.shapes import Flag, List, Record, Shape, Table, Text

_DOMAINS = "acmedomain(?:0|[1-9][0-9]{0,2})"


def _text(known: Property) -> Text:
    return Text(known.help, partial(_check, known), known.format, normal=partial(_normal, known))


def _normal(known: Property, value: str) -> str:
    return normal_property_string(value.strip()) if known.parts else value.strip()


def _check(known: Property, value: str) -> None:
    properties.check_text(value)
    known.check(value)


def _domain(key: str) -> Shape | None:
    known = properties.find(key) or properties.find("acmedomain0")
    return None if known is None else _text(known)


def _fields(*, of_certificates: bool) -> dict[str, Shape]:
    return {
        property_.key: _text(property_)
        for property_ in properties.PROPERTIES
        if property_.certificate or not of_certificates
    }


def _usable(values: Mapping[str, str]) -> dict[str, str]:
    """The properties that are known, and in their format."""
    normalised = {}
    for key, value in values.items():
        known = properties.find(key)
        if known is None:
            continue
        normal = _normal(known, value)
        try:
            _check(known, normal)
        except ValueError:
            continue  # the node reports it whenever it is read
        normalised[key] = normal
    return normalised


def _refer(context: Context, node: Node, name: str, values: Mapping[str, str]) -> None:
    """Refuse what leads nowhere."""
    if not context.registering:  # the account may be one that comes before it
        references.check(node, certificates.of_values(name, values))


class Properties(Kind):
    """The node's configuration."""

    key = "properties"
    singular = True
    shape = Record(
        "The node's configuration: the properties of `pvefw config set`.",
        {
            DESCRIPTION: Text("Notes; any text.", normal=lambda text: text.rstrip("\n")),
            **_fields(of_certificates=False),
        },
        {_DOMAINS: _domain},
    )

    def current(self, context: Context) -> dict[str, Fields]:
        node = context.node
        properties = _usable({**node.own.properties.values, **node.config.values})
        if description := node.config.description.rstrip("\n"):
            properties[DESCRIPTION] = description
        return {"": dict(sorted(properties.items()))}

    def put(self, context: Context, change: Change) -> None:
        there, new = change.old, change.new
        given = {key: value for key, value in new.items() if there.get(key) != value}
        of_certificate = {
            key: value for key, value in new.items() if not certificates.wrong(key, value)
        }
        _refer(context, context.node, certificates.PVEPROXY, of_certificate)
        node_settings.change(context.paths, given, [key for key in there if key not in new])


class Certificates(Kind):
    """Certificates for services of the host."""

    key = "certificates"
    shape = Table(
        "Certificates for services of this host; each has the properties of `pvefw cert add`.",
        Record(
            "The properties of a certificate.",
            {
                **_fields(of_certificates=True),
                "nodes": List("The nodes that use it (default: all).", Text("A node.")),
                "disable": Flag("Leave it alone."),
            },
            {_DOMAINS: _domain},
        ),
        partial(check_id, what="the name of a certificate"),
    )

    def current(self, context: Context) -> dict[str, Fields]:
        fields_of: dict[str, Fields] = {}
        for name, (section, path) in certificates.sections(context.node).items():
            rest = present(nodes=list(section.nodes), disable=section.disabled)
            fields_of[name] = {**_usable(certificates.usable(section, path)), **rest}
        return fields_of

    def put(self, context: Context, change: Change) -> None:
        name, before, after = change.name, _lines(change.old), _lines(change.new)
        given = {key: value for key, value in after.items() if before.get(key) != value}

        def check(node: Node, _given: Mapping[str, str]) -> None:
            wanted = {key: value for key, value in after.items() if key not in certificates.COMMON}
            _refer(context, node, name, wanted)

        if change.before is None:
            certificate_sections.add(context.paths, name, given, check)
        else:
            gone = [key for key in before if key not in after]
            certificate_sections.change(context.paths, name, given, gone, check)

    def remove(self, context: Context, name: str) -> None:
        certificate_sections.remove(context.paths, name)
        renewal_rule.forget(context.paths, context.paths.certificate_files(name).certificate)


def _lines(fields: Fields) -> dict[str, str]:
    """Fields as a section has them."""
    settings = {key: field for key, field in fields.items() if key not in certificates.COMMON}
    settings |= {"nodes": ",".join(fields["nodes"])} if fields.get("nodes") else {}
    return {**settings, "disable": "1"} if fields.get("disable") else settings
