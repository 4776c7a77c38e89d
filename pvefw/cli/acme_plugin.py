"""``pvefw acme plugin``: plugin instances that answer challenges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pvefw.cli import candidates
from pvefw.cli.framework import App, Group, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.tasks import run_task
from pvefw.core.errors import UsageError

plugin = Group("plugin", help="Plugin instances that answer challenges.")

_TYPES = click.Choice(["dns", "standalone", "challenge"])
_data = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the settings, a KEY=VALUE a line.",
)
_nodes = click.option("--nodes", metavar="A,B", help="The nodes that may use it; all without it.")
_delay = click.option(
    "--validation-delay",
    type=click.IntRange(0, 172800),
    help="Seconds to wait for DNS at most (default: 30).",
)
_api = click.option(
    "--api", metavar="NAME", help="The plugin's name: ovh, hetzner, acmesh/hetzner."
)


@plugin.command()
@click.argument("type_", metavar="TYPE", type=_TYPES)
@click.argument("id_", metavar="ID")
@_api
@_data
@_nodes
@_delay
@click.option("--disable", is_flag=True, help="Do not use it yet.")
@pass_app
def add(app: App, /, type_: str, id_: str, data: Path | None, **options: Any) -> None:
    """Add an instance named ID; TYPE is dns, standalone, or challenge for a third party's."""
    from pvefw.certs import instances
    from pvefw.store.plugin_config import PluginInstance

    api = options["api"] or ("standalone" if type_ == "standalone" else "")
    if not api:
        raise UsageError(
            f"acme plugin add: {type_} {id_}: --api is missing",
            hint="It names the plugin; `pvefw plugin list` shows those that are installed.",
        )
    instance = PluginInstance(
        id=id_,
        type=type_,
        api=api,
        data=instances.read_data(data) if data else {},
        nodes=_split(options["nodes"]),
        disable=options["disable"],
        validation_delay=30 if options["validation_delay"] is None else options["validation_delay"],
    )
    instances.add(app.paths, instance)


@plugin.command("set")
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@_api
@_data
@_nodes
@_delay
@click.option("--disable/--no-disable", default=None, help="Whether to leave it unused.")
@click.option("--delete", metavar="KEY,…", help="Properties to set back to their default.")
@click.option("--digest", help="Refuse if the configuration has changed since.")
@pass_app
def set_(app: App, /, id_: str, data: Path | None, **options: Any) -> None:
    """Change an instance."""
    from pvefw.certs import instances

    changes: dict[str, Any] = {"data": {}} if "data" in _split(options["delete"]) else {}
    if data:
        changes["data"] = instances.read_data(data)
    if options["nodes"] is not None:
        changes["nodes"] = _split(options["nodes"])
    for key in ("api", "validation_delay", "disable"):
        if options[key] is not None:
            changes[key] = options[key]
    instances.change(
        app.paths,
        id_,
        lambda one: replace(one, **changes),
        delete=_split(options["delete"]),
        expected_digest=options["digest"],
    )


@plugin.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@click.option("--show-secrets", is_flag=True, help="Print secrets as they are.")
@output_option
@pass_app
def config(app: App, id_: str, show_secrets: bool) -> None:
    """Show an instance's configuration."""
    from pvefw.certs import instances

    show_value(app, instances.describe(app.paths, id_, show_secrets=show_secrets))


@plugin.command("list")
@click.option("--type", "type_", type=_TYPES, help="Only instances of this type.")
@output_option
@pass_app
def list_(app: App, type_: str | None) -> None:
    """List the instances."""
    from pvefw.store import plugin_config

    rows = [
        {"plugin": one.id, "type": one.type, "api": one.api, "disable": one.disable}
        for one in plugin_config.load_all(app.paths)
        if type_ in (None, one.type)
    ]
    show_rows(app, rows, ["plugin", "type", "api", "disable"])


@plugin.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@click.option("--digest", help="Refuse if the configuration has changed since.")
@pass_app
def remove(app: App, id_: str, digest: str | None) -> None:
    """Remove an instance."""
    from pvefw.certs import instances

    instances.remove(app.paths, id_, expected_digest=digest)


@plugin.command()
@click.argument("id_", metavar="ID", shell_complete=candidates.plugin_ids)
@pass_app
def login(app: App, id_: str) -> None:
    """Get the credentials that only a person can give: it shows a page to open, and waits."""
    from pvefw.certs import instances

    run_task(app, "acmepluginlogin", lambda task: instances.login(app.paths, id_, task), id_)


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
