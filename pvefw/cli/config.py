"""``pvefw config``: show and change the node's configuration."""

import re
from typing import TYPE_CHECKING

import click

from pvefw.cli import candidates
from pvefw.cli.changing import changing
from pvefw.cli.framework import App, Command, Group, ListOption, output_option, pass_app
from pvefw.cli.output import show_value
from pvefw.cli.streams import say
from pvefw.core.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvefw.store.certificates import CertificateSettings
    from pvefw.store.node import Node
    from pvefw.store.properties import Property

config = Group("config", help="Show and change the node's configuration.")

_DOMAIN_OPTION = re.compile(r"--?(acmedomain\d+)(?:=.*)?")


@config.command()
@click.argument("key", required=False, shell_complete=candidates.properties)
@click.option(
    "--property",
    "property_",
    metavar="KEY",
    help="Show only this one.",
    shell_complete=candidates.properties,
)
@output_option
@pass_app
def get(app: App, key: str | None, property_: str | None) -> None:
    """Show the configuration, or the property KEY of it."""
    from pvefw.store.node import Node

    if key and property_:
        raise UsageError(
            "config get: KEY and --property are the same", hint="One of them is enough."
        )
    property_ = property_ or key

    node = Node.open(app.paths)
    values = dict(node.properties)
    if property_ is None:
        values["digest"] = node.digest
    elif property_ in values:
        values = {property_: values[property_]}
    else:
        raise _not_set(app, property_, [*node.properties])
    show_value(app, values)


def _not_set(app: App, key: str, known: list[str]) -> NotFound:
    from pvefw.store import properties

    if properties.find(key) is None:
        listed = ", ".join(known) or "none"
        return NotFound(
            f"config get: {key} is not a property",
            hint=f"Set here: {listed}. Others: pvefw config set --help",
        )
    return NotFound(
        f"config get: {key} is not set on node {app.paths.node}",
        hint=f"Set it: pvefw config set --{key} VALUE",
    )


class PropertyCommand(Command):
    """A command with one option for each property, and for as many domains as are given."""

    def is_option(self, _known: "Property") -> bool:
        """Whether a property is an option of this command."""
        return True

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from pvefw.store import properties

        options: list[click.Parameter] = [
            _option(property_) for property_ in properties.PROPERTIES if self.is_option(property_)
        ]
        return (
            options + [_domain_option(key) for key in self._domains(ctx)] + super().get_params(ctx)
        )

    def _domains(self, ctx: click.Context) -> list[str]:
        given = ctx.meta.get("pvefw.domains", [])
        return sorted({*(f"acmedomain{number}" for number in range(6)), *given})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["pvefw.domains"] = [
            match[1] for argument in args if (match := _DOMAIN_OPTION.fullmatch(argument))
        ]
        return super().parse_args(ctx, args)


def _domain_option(key: str) -> click.Option:
    from pvefw.store import properties

    known = properties.find(key)
    if known is None:
        raise UsageError(f"config set: {key} is not a property", hint="acmedomain0 … acmedomain999")
    return _option(known)


def _option(known: "Property") -> click.Option:
    kind = ListOption if known.is_list else click.Option
    return kind(
        [f"--{known.key}"],
        metavar=known.format,
        help=known.help,
        shell_complete=candidates.property_value(known),
    )


@config.command("set", cls=PropertyCommand)
@click.option("--description", help="Notes; any text.")
@click.option(
    "--delete",
    cls=ListOption,
    metavar="KEY,…",
    help="Properties to delete.",
    shell_complete=candidates.several(candidates.properties),
)
@click.option("--digest", help="Refuse if the configuration has changed since.")
@pass_app
@changing
def set_(
    app: App,
    /,
    description: str | None,
    delete: str | None,
    digest: str | None,
    **values: str | None,
) -> None:
    """Change properties, all or none."""
    from pvefw.store import node_settings
    from pvefw.store.section_config import split

    given = {key.replace("_", "-"): value for key, value in values.items() if value is not None}
    if description is not None:
        given["description"] = description
    deleted = list(dict.fromkeys(split(delete or "")))
    if not given and not deleted:
        raise UsageError("config set: nothing to set", hint="See pvefw config set --help.")
    _check(app, given)
    node_settings.change(app.paths, given, deleted, expected_digest=digest)


def _check(app: App, given: dict[str, str]) -> None:
    """Refuse what would make the next order or deployment fail."""
    from pvefw.store import certificates
    from pvefw.store.node import Node

    wanted = {key: value for key, value in given.items() if not certificates.wrong(key, value)}
    if not wanted:
        return
    node = Node.open(app.paths)
    check_certificate(app, node, certificates.own(node), wanted)


def check_certificate(
    app: App, node: "Node", settings: "CertificateSettings", given: "Mapping[str, str]"
) -> None:
    """Refuse properties of a certificate that would make the next order or deployment fail.

    :param settings: what is wanted of it otherwise.
    :param given: what is about to be set, in its format.
    :raises UsageError: they would.
    """
    from pvefw.certs import references
    from pvefw.store import certificates

    references.check(node, certificates.of_values(settings.name, given))
    if given.get("profile") or given.get("must-staple"):
        from pvefw.certs import offer_checks

        for doubt in offer_checks.check(settings, app.paths, given):
            say(f"WARN: {doubt}", err=True)
