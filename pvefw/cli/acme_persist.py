"""``pvefw acme persist``: the record of dns-persist-01, after which no order changes DNS."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.tasks import run_task

if TYPE_CHECKING:
    from pvefw.certs.persist import RequestedRecord

persist = Group("persist", help="DNS records that let an account get certificates permanently.")

_domain = click.argument("domain", shell_complete=candidates.domains)
_account = click.option(
    "--account",
    metavar="NAME",
    help="The ACME account (default: the node's).",
    shell_complete=candidates.accounts,
)
_wildcard = click.option(
    "--wildcard", is_flag=True, help="Valid for the wildcard and all names below, too."
)
_until = click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="When it expires (UTC; default: never).",
)
_issuer = click.option(
    "--issuer",
    metavar="DOMAIN",
    default="",
    help="The authority's name in such records, if its directory has none.",
)


def _wanted(
    app: App, domain: str, until: datetime | None = None, **options: Any
) -> "RequestedRecord":
    from pvefw.certs import persist as records

    end = until.replace(tzinfo=UTC) if until else None
    return records.wanted(app.paths, domain, until=end, **options)


@persist.command()
@_domain
@_account
@_wildcard
@_until
@_issuer
@output_option
@pass_app
def show(app: App, /, domain: str, **options: Any) -> None:
    """Show the record for DOMAIN, for the administrator of its zone.

    The authority is asked how it wants to be named; nothing is changed.
    """
    from pvefw.certs import persist as records

    requested = _wanted(app, domain, **options)
    terms = records.terms(app.paths, requested)
    text = records.record(terms, requested).text
    quoted = " ".join(f'"{string}"' for string in records.strings(text))
    show_value(
        app,
        {
            "name": records.name_of(requested),
            "type": "TXT",
            "content": text,
            "line": f"{records.name_of(requested)} 3600 IN TXT {quoted}",
            "issuers": list(terms.issuers),
            "draft": "02" if terms.prefix else "01",
        },
    )


@persist.command()
@_domain
@click.option(
    "--plugin",
    metavar="ID",
    required=True,
    help="The dns instance that adds it.",
    shell_complete=candidates.plugin_ids,
)
@click.option(
    "--alias", metavar="DOMAIN", default="", help="Put the record below this domain instead."
)
@_account
@_wildcard
@_until
@_issuer
@pass_app
def publish(app: App, /, domain: str, plugin: str, alias: str, **options: Any) -> None:
    """Add the record for DOMAIN through an instance, and wait until all name servers show it.

    From then on orders need no access to DNS; the instance may be removed.
    """
    from pvefw.certs import persist as records

    requested = _wanted(app, domain, **options)
    run_task(
        app,
        "acmepersist",
        lambda task: records.publish(app.paths, requested, plugin, alias, task),
        requested.domain,
    )


@persist.command()
@_domain
@_account
@_wildcard
@_issuer
@output_option
@pass_app
def check(app: App, /, domain: str, **options: Any) -> int:
    """Look at the record of DOMAIN at all of its name servers, and at CAA records.

    A record that is right everywhere is remembered: the next order uses it where no plugin is configured
    for the name. The exit status is 1 where something is wrong.
    """
    from pvefw.certs import persist as records

    findings = records.check(app.paths, _wanted(app, domain, **options))
    rows = [
        {"where": finding.where, "good": finding.good, "said": finding.text} for finding in findings
    ]
    show_rows(app, rows, ["where", "good", "said"])
    return 0 if all(finding.good for finding in findings) else 1


@persist.command()
@_domain
@pass_app
def remove(app: App, domain: str) -> None:
    """Remove the record of DOMAIN that was published from here."""
    from pvefw.certs import persist as records

    run_task(
        app,
        "acmepersist",
        lambda task: records.remove(app.paths, domain, task),
        domain.removeprefix("*."),
    )
