"""``pvefw plugin``: what is installed, what it can be told, what is wrong with it, and a new one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pvefw.cli.exit_codes import DONE, FAILED
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.core.families import FAMILIES

plugin = Group("plugin", help="List and check installed plugins.")

if TYPE_CHECKING:
    from pvefw.core.model import SettingInfo

_FEW = 3
"""Values that a list shows of a default."""
NEW_FAMILIES = ["dns", "challenge", "bootloader", "guest", "observer", "store"]
NEW_TYPES = ["http-01", "tls-alpn-01", "dns-01", "dns-account-01"]


@plugin.command("list")
@click.argument("word", required=False, default="")
@click.option("--family", type=click.Choice(list(FAMILIES)), help="Only plugins of this family.")
@click.option(
    "--providers",
    is_flag=True,
    help="All names of DNS providers, with those of catalogues, and where they come from.",
)
@output_option
@pass_app
def list_(app: App, word: str, family: str | None, providers: bool) -> None:
    """List the installed plugins, without importing any; with WORD, those that have it in their names."""
    from pvefw.core import finding

    if providers:
        _list_providers(app, word)
        return
    rows = [
        {
            "family": info.family.name,
            "name": info.name,
            "distribution": info.distribution,
            "version": info.version,
            "api": info.api,
            "state": info.problem or "ok",
        }
        for name in ([family] if family else FAMILIES)
        for info in finding.installed(FAMILIES[name])
        if word.casefold() in f"{info.name} {info.distribution}".casefold()
    ]
    show_rows(app, rows, ["family", "name", "distribution", "version", "api", "state"])


def _list_providers(app: App, word: str) -> None:
    from pvefw.instances import instance_binding
    from pvefw.store import notes
    from pvefw.store.node import Node

    rows = instance_binding.providers(Node.open(app.paths), word)
    if not word:
        notes.write(
            app.paths.provider_notes, {row["api"]: row["title"] or row["source"] for row in rows}
        )
    show_rows(app, rows, ["api", "title", "source"])


@plugin.command()
@click.argument("word")
@output_option
@pass_app
def search(app: App, word: str) -> None:
    """Search the installed plugins and catalogues for WORD, in names and titles."""
    from pvefw.instances import instance_binding
    from pvefw.store.node import Node

    show_rows(
        app,
        instance_binding.search(Node.open(app.paths), word),
        ["family", "name", "title", "source"],
    )


@plugin.command()
@click.argument("family", type=click.Choice(list(FAMILIES)))
@click.argument("name")
@click.option("--json-schema", is_flag=True, help="Print the settings as a JSON schema.")
@output_option
@pass_app
def show(app: App, family: str, name: str, json_schema: bool) -> None:
    """Show the settings of one plugin.

    For a provider of a catalogue, NAME is CATALOGUE/NAME or the provider's own name.
    """
    from pvefw.core import settings
    from pvefw.instances import instance_binding
    from pvefw.store.node import Node

    infos, others = instance_binding.accepted(Node.open(app.paths), family, name)
    if json_schema:
        if app.output_format == "text":
            app.output_format = "json-pretty"
        show_value(app, settings.json_schema(infos, others=others))
        return
    rows = [
        {
            "key": info.key,
            "type": info.type,
            "required": info.required,
            "secret": info.secret,
            "default": _brief(info) if app.output_format == "text" else info.default,
            "choices": list(info.choices),
            "help": info.help,
        }
        for info in infos
    ]
    show_rows(app, rows, ["key", "type", "required", "secret", "default", "help"])


def _brief(info: "SettingInfo") -> str:
    """A default that leaves room for the other columns; ``--output-format json`` has all of it."""
    count = info.default.count(",") + 1
    return f"{count} values" if info.type == "list" and count > _FEW else info.default


@plugin.command()
@output_option
@pass_app
def doctor(app: App) -> int:
    """Load each plugin separately and report what to fix.

    Exits with 1 when a plugin cannot be used.
    """
    from dataclasses import asdict

    from pvefw.core import doctor as examination

    diagnoses = examination.examine_all()
    rows = [
        {
            "family": diagnosis.info.family.name,
            "name": diagnosis.info.name,
            "distribution": diagnosis.info.distribution,
            "api": diagnosis.info.api,
            "usable": diagnosis.usable,
            "import_seconds": diagnosis.import_seconds,
            "findings": [asdict(finding) for finding in diagnosis.findings],
        }
        for diagnosis in diagnoses
    ]
    if app.output_format != "text":
        show_rows(app, rows, [])
    else:
        for diagnosis in diagnoses:
            seconds = (
                ""
                if diagnosis.import_seconds is None
                else f", import {diagnosis.import_seconds:.3f} s"
            )
            say(f"{diagnosis.info.who}: {'ok' if diagnosis.usable else 'BROKEN'}{seconds}")
            for finding in diagnosis.findings:
                say(f"  {finding.severity}: {finding.what}\n    {finding.fix}")
    return DONE if all(diagnosis.usable for diagnosis in diagnoses) else FAILED


@plugin.command()
@click.argument("family", type=click.Choice(NEW_FAMILIES))
@click.argument("name")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write it (default: a folder here, named as the distribution).",
)
@click.option(
    "--type",
    "type_",
    type=click.Choice(NEW_TYPES),
    help="Of a challenge plugin: the challenge that it answers (default: http-01).",
)
def new(family: str, name: str, directory: Path | None, type_: str | None) -> None:
    """Write the project of a new plugin named NAME.

    Its tests run, and say what is left to write.
    """
    from pvefw import scaffold

    project = scaffold.Project.named(FAMILIES[family], name, type_)
    place = (directory or Path(project.distribution)).absolute()
    written = scaffold.write(project, place)
    say(f"Wrote {len(written)} files of {project.distribution} into {place}")
    say("Install it with pip install --editable '.[test]' there, then run pytest.")
