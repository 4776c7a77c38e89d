"""The commands for what is wanted of certificates: add, list and remove, and a part of ``cert set``."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates
from pvefw.cli.changing import changing, removing
from pvefw.cli.config import PropertyCommand, check_certificate
from pvefw.cli.framework import App, Command, ListOption, output_option, pass_app
from pvefw.cli.output import show_rows
from pvefw.cli.streams import say
from pvefw.core.errors import UsageError

if TYPE_CHECKING:
    from pvefw.store.node import Node
    from pvefw.store.properties import Property

_COMMON = (
    click.option(
        "--nodes", cls=ListOption, metavar="A,B", help="The nodes that use it (default: all)."
    ),
    click.option(
        "--disable/--no-disable", default=None, help="Do not order or renew it; or do so again."
    ),
)


def common_options(function: Any) -> Any:
    """Give a command the options for what a section has beside the properties of a certificate."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


class CertificateCommand(PropertyCommand):
    """A command with an option for each property of a certificate."""

    def is_option(self, known: "Property") -> bool:
        return known.certificate


@click.command(cls=CertificateCommand)
@click.argument("name", metavar="NAME")
@common_options
@click.option("--or-set", is_flag=True, help="Change it if it exists.")
@pass_app
@changing
def add(app: App, /, name: str, or_set: bool, **values: Any) -> None:
    """Add a certificate for a service of this host; then order it with `acme cert order NAME`.

    It has the same properties as that of Proxmox VE's own services, which `config set` changes.
    """
    from pvefw.store import certificate_sections, certificates
    from pvefw.store.node import Node

    given = properties(values)
    if or_set and name in certificates.sections(Node.open(app.paths)):
        change(app, name, given, None)
        return
    certificate_sections.add(app.paths, name, given, partial(_check, app, name, {}))


def change(app: App, name: str, given: Mapping[str, str], delete: str | None) -> None:
    """Change what is wanted of a certificate.

    :raises UsageError: it is that of Proxmox VE's services, or a value does not fit.
    """
    from pvefw.store import certificate_sections, certificates
    from pvefw.store.node import Node
    from pvefw.store.section_config import split

    if name == certificates.PVEPROXY:
        raise UsageError(
            f"cert set: the properties of {name} are the node's configuration",
            hint="Change it: pvefw config set --PROPERTY VALUE",
        )
    there = certificates.sections(Node.open(app.paths)).get(name)
    known = certificates.usable(*there) if there else {}
    check = partial(_check, app, name, known)
    deleted = split(delete or "")
    if given.get("disable") == "0":
        given = {key: value for key, value in given.items() if key != "disable"}
        deleted = (*deleted, *(["disable"] if there and "disable" in there[0].values else []))
    certificate_sections.change(app.paths, name, given, deleted, check)


def properties(values: Mapping[str, Any]) -> dict[str, str]:
    """What the options say of a certificate."""
    given = {key.replace("_", "-"): value for key, value in values.items() if value is not None}
    if "disable" in given:
        given["disable"] = "1" if given["disable"] else "0"
    return given


def _check(
    app: App, name: str, known: Mapping[str, str], node: "Node", given: Mapping[str, str]
) -> None:
    from pvefw.store import certificates

    settings = certificates.of_values(name, {**known, **given})
    check_certificate(app, node, settings, given)


@click.command("list", cls=Command)
@output_option
@pass_app
def list_(app: App) -> None:
    """List the certificates that this node uses, with their configuration."""
    from pvefw.certs.certificate import Certificate
    from pvefw.store.node import Node

    rows: list[dict[str, object]] = []
    for certificate in Certificate.all_of(Node.open(app.paths)):
        settings, info = certificate.settings, certificate.installed()
        rows.append(
            {
                "name": certificate.name,
                "names": [entry.name for entry in settings.names()],
                "account": settings.account,
                "targets": list(settings.targets),
                "serves": settings.get("serves", ""),
                "certificate": str(certificate.files.certificate),
                "key": str(certificate.files.key),
                "not-after": info.not_after.isoformat() if info else None,
            }
        )
    shown = ["name", "names", "account", "certificate", "not-after"]
    show_rows(app, rows, shown)


@click.command(cls=Command)
@click.argument("name", metavar="NAME", shell_complete=candidates.certificate_sections)
@pass_app
def remove(app: App, name: str) -> None:
    """Stop managing a certificate; its files stay, and services keep using them."""
    from pvefw.certs import renewal_rule
    from pvefw.store import certificate_sections

    with removing():
        certificate_sections.remove(app.paths, name)
    files = app.paths.certificate_files(name)
    renewal_rule.forget(app.paths, files.certificate)
    left = [str(path) for path in (files.certificate, files.key) if path.exists()]
    if left:
        say(f"The files are left: {', '.join(left)}", err=True)
