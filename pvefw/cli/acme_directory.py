"""``pvefw acme directory``: public ACME authorities, and what they offer."""

from pathlib import Path

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows

directory = Group("directory", help="Public ACME authorities and what they offer.")


@directory.command("list")
@click.argument("names", metavar="[NAME|URL]...", nargs=-1, shell_complete=candidates.directories)
@click.option("--ask", is_flag=True, help="Read each directory now; without it nothing is fetched.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="Certificates to trust for a private authority (PEM).",
)
@output_option
@pass_app
def list_(app: App, names: tuple[str, ...], ask: bool, ca_file: Path | None) -> None:
    """List authorities: all that have a short name, or those that are named.

    A directory does not list the types of challenges: those shown are known beforehand. Profiles,
    renewal windows (ARI), external account bindings and persistent records come from the directory.
    """
    from pvefw.certs import offered

    rows = [
        {
            "name": authority.name,
            "title": authority.title,
            "url": authority.url,
            "challenges": list(authority.challenges),
            "wildcard": authority.wildcard,
            "address": authority.address,
            "binding": authority.binding,
            "profiles": authority.profiles,
            "ari": authority.renewal_windows,
            "persist": authority.persistent,
            "problem": authority.problem,
        }
        for authority in offered.authorities(names, ask=ask, ca_file=ca_file)
    ]
    columns = ["name", "url", "challenges", "wildcard", "address", "binding"]
    if ask:
        columns += ["profiles", "ari", "persist", "problem"]
    show_rows(app, rows, columns)
