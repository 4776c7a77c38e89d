"""``pvefw cert import``: take over a certificate of another ACME client."""

from pathlib import Path

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Command, output_option, pass_app
from pvefw.cli.output import show_rows
from pvefw.cli.tasks import run_task


@click.command("import", cls=Command)
@click.argument("theirs", metavar="[CERTIFICATE]", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="The directory of the other client.",
)
@click.option("--certificate", "name", metavar="NAME", help="What to call it here.")
@click.option(
    "--plugin",
    metavar="ID",
    shell_complete=candidates.instances("dns", "challenge"),
    help="The instance that validates its names (default: one like that of the other client).",
)
@output_option
@pass_app
def import_(
    app: App, theirs: str | None, source: Path | None, name: str | None, plugin: str | None
) -> None:
    """Take over CERTIFICATE of certbot, acme.sh or lego, with its names and credentials of DNS.

    Without CERTIFICATE, list those that were found. The other client is left as it is; what runs it is
    named, to be switched off.
    """
    from pvefw.certs import importing
    from pvefw.host.clock import SystemClock

    if theirs is None:
        rows = [
            {
                "certificate": certificate.name,
                "client": certificate.client,
                "authority": certificate.directory,
                "file": str(certificate.fullchain),
            }
            for certificate in importing.all_certificates(app.paths, source)
        ]
        show_rows(app, rows, ["certificate", "client", "authority", "file"])
        return
    other = importing.find_certificate(app.paths, source, theirs)
    wanted = importing.Import(other, name or importing.suggested_name(other), plugin or "")
    run_task(
        app,
        "certimport",
        lambda task: importing.take_certificate(app.paths, wanted, task, SystemClock().now()),
        wanted.name,
    )
