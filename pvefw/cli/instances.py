"""The commands that manage the instances of a family: add, set, list, config, test and remove for all.

Families import pluggy and plugins import anything, so both come in only when a command runs.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli import candidates
from pvefw.cli.changing import changing, removing
from pvefw.cli.data_option import data_option, raw_option
from pvefw.cli.data_option import read as read_data
from pvefw.cli.framework import App, ListOption, output_option, pass_app
from pvefw.cli.output import show_rows, show_value
from pvefw.cli.streams import say
from pvefw.cli.tasks import run_task
from pvefw.core.errors import UsageError
from pvefw.store.plugin_sections import KINDS, Kind

if TYPE_CHECKING:
    from pvefw.core.model import Task
    from pvefw.instances import Instance
    from pvefw.store.paths import Paths

_TYPES = click.Choice(["dns", "standalone", "challenge"])
_nodes = click.option(
    "--nodes", cls=ListOption, metavar="A,B", help="The nodes that may use it (default: all)."
)
_delay = click.option(
    "--validation-delay",
    type=click.IntRange(0, 172800),
    help="Seconds to wait for DNS at most (default: 30).",
)
_digest = click.option("--digest", help="Refuse if the configuration has changed since.")
_SET = (
    data_option,
    raw_option,
    _nodes,
    click.option("--disable/--no-disable", default=None, help="Whether it is turned off."),
    click.option(
        "--delete", cls=ListOption, metavar="KEY,…", help="Properties to reset to their defaults."
    ),
    _digest,
)


def instance_commands(group: click.Group, *families: str) -> None:
    """Give a group the commands for the instances of these families, which share their ids."""
    kind = KINDS[families[0]]
    if not kind.named_like_plugin:
        _add(group, kind)
    for make in (_set, _config, _list, _test, _remove):
        make(group, kind, families)


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _id_argument(families: tuple[str, ...]) -> Callable[[Any], Any]:
    word = "NAME" if KINDS[families[0]].named_like_plugin else "ID"
    return click.argument("id_", metavar=word, shell_complete=candidates.instances(*families))


def _api(kind: Kind, *, required: bool = False) -> Callable[[Any], Any]:
    examples = {
        "dns": "ovh, hetzner, acmesh/hetzner",
        "observer": "mail, webhook, apprise, proxmox, exec, files",
        "guest": "libvirt",
    }
    text = f"The plugin's name: {examples['dns' if kind.acme else kind.family]}."
    return click.option(
        "--api",
        metavar="NAME",
        required=required,
        help=text,
        shell_complete=candidates.plugins("dns" if kind.acme else kind.family),
    )


# --- commands ---------------------------------------------------------------------------------------


def _add(group: click.Group, kind: Kind) -> None:
    types = [click.argument("type_", metavar="TYPE", type=_TYPES)] if kind.acme else []
    delay = [_delay] if kind.acme else []
    text = f"Add {kind.subject} named ID"
    text += "; TYPE is dns, standalone, or challenge for a third party's." if kind.acme else "."

    @group.command(help=text)
    @_options(*types, click.argument("id_", metavar="ID"), _api(kind, required=not kind.acme))
    @_options(data_option, raw_option, _nodes, *delay)
    @click.option("--disable", is_flag=True, help="Do not use it yet.")
    @click.option("--or-set", is_flag=True, help="Change it if it exists.")
    @pass_app
    @changing
    def add(app: App, /, id_: str, or_set: bool, **options: Any) -> None:
        from pvefw import instances
        from pvefw.certs import references
        from pvefw.store.node import Node

        type_ = options.pop("type_", kind.family)
        api = options["api"] or (type_ if type_ == instances.STANDALONE else "")
        if not api:
            raise UsageError(
                f"{kind.command} add: {type_} {id_}: --api is missing",
                hint="It names the plugin; `pvefw plugin list` shows those that are installed.",
            )
        new = instances.Instance(instances.family_of(type_), id_, api)
        new = replace(new, **_changes(options))
        references.check_target(Node.open(app.paths), new)
        with _settings_checked("" if options["data"] else kind.example(id_, api)):
            _warn(new, (_ensure if or_set else instances.add)(app.paths, new))


def _set(group: click.Group, kind: Kind, families: tuple[str, ...]) -> None:
    api = [] if kind.named_like_plugin else [_api(kind)]
    delay = [_delay] if kind.acme else []

    @group.command("set", help=f"Change {kind.subject}.")
    @_options(_id_argument(families), *api, *delay, *_SET)
    @pass_app
    @changing
    def set_(app: App, /, id_: str, **options: Any) -> None:
        from pvefw import instances
        from pvefw.certs import references
        from pvefw.store.node import Node
        from pvefw.store.section_config import split

        delete = split(options.pop("delete") or "")
        digest = options.pop("digest")
        changes = _changes(options)

        def changed(old: "Instance") -> "Instance":
            new = replace(old, **changes)
            references.check_target(Node.open(app.paths), new)
            return new

        with _settings_checked():
            doubts = instances.change(
                app.paths, families[0], id_, changed, delete=delete, expected_digest=digest
            )
        if doubts:
            _warn(instances.load(Node.open(app.paths), families[0], id_), doubts)


def _config(group: click.Group, kind: Kind, families: tuple[str, ...]) -> None:
    @group.command(help=f"Show {kind.subject}.")
    @_id_argument(families)
    @click.option("--show-secrets", is_flag=True, help="Print secrets as they are.")
    @output_option
    @pass_app
    def config(app: App, id_: str, show_secrets: bool) -> None:
        from pvefw import instances
        from pvefw.store.node import Node

        node = Node.open(app.paths)
        instance = instances.load(node, families[0], id_)
        shown = instances.describe(node, instance, show_secrets=show_secrets)
        shown["digest"] = instances.digest(node, families[0])
        show_value(app, _as_proxmox_ve(shown) if kind.acme else shown)


def _list(group: click.Group, kind: Kind, families: tuple[str, ...]) -> None:
    type_ = [click.option("--type", "type_", type=_TYPES, help="Only instances of this type.")]

    @group.command("list", help=f"List the configured {kind.noun}s.")
    @_options(*(type_ if kind.acme else []))
    @output_option
    @pass_app
    def list_(app: App, type_: str | None = None) -> None:
        from pvefw import instances
        from pvefw.store.node import Node

        node = Node.open(app.paths)
        configured = instances.load_all(node, *families)
        if kind.acme:
            rows = [_row(instance) for instance in configured if type_ in (None, instance.type)]
            show_rows(app, rows, ["plugin", "type", "api", "disable"])
        else:
            shown = [instances.describe(node, instance) for instance in configured]
            show_rows(app, shown, ["id", "api", "disable"])


def _test(group: click.Group, kind: Kind, families: tuple[str, ...]) -> None:
    notifies = kind.family == "observer"
    what = "Send a test notification, of EVENT if one is named." if notifies else ""

    event = [click.argument("event", required=False, metavar="[EVENT]")]

    @group.command(help=what or f"Check whether {kind.subject} can be used; nothing is changed.")
    @_options(_id_argument(families), *(event if kind.family == "observer" else []))
    @pass_app
    def test(app: App, id_: str, event: str | None = None) -> None:
        from pvefw.instances import trial
        from pvefw.store.node import Node

        def work(task: "Task") -> None:
            trial.test(Node.open(app.paths), families[0], id_, task, event=event or "")

        run_task(app, f"{kind.command.replace(' ', '')}test", work, id_)


def _remove(group: click.Group, kind: Kind, families: tuple[str, ...]) -> None:
    @group.command(help=f"Remove {kind.subject}.")
    @_id_argument(families)
    @_digest
    @pass_app
    def remove(app: App, id_: str, digest: str | None) -> None:
        from pvefw import instances

        with removing():
            if kind.acme:
                from pvefw.certs import acme_plugin

                acme_plugin.remove(app.paths, id_, expected_digest=digest)
            else:
                from pvefw.certs import references
                from pvefw.store.node import Node

                references.check_unused(Node.open(app.paths), families[0], id_)
                instances.remove(app.paths, families[0], id_, expected_digest=digest)


@contextlib.contextmanager
def _settings_checked(command: str = "") -> Iterator[None]:
    """Settings that do not fit are a value that makes no sense, as wherever one is given.

    :param command: the whole line, which shows how settings are given to somebody who gave none.
    :raises ConfigError: as the body does.
    """
    from pvefw.core.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        error.exit_status = UsageError.exit_status
        if command:
            error.hint += f"; in a file with lines KEY=VALUE: {command}"
        raise


# --- values -----------------------------------------------------------------------------------------


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say of an instance."""
    from pvefw.store.section_config import split

    data = options["data"]
    changes = {
        "plugin": options.get("api"),
        "settings": read_data(data, raw=options["raw"]) if data else None,
        "nodes": None if options["nodes"] is None else split(options["nodes"]),
        "disabled": options["disable"],
        "validation_delay": options.get("validation_delay"),
    }
    return {key: value for key, value in changes.items() if value is not None}


def _ensure(paths: "Paths", new: "Instance") -> list[str]:
    """Add an instance, or make the one of its id the same.

    :raises UsageError: the id is taken by one of another type.
    """
    from pvefw import instances
    from pvefw.store.node import Node

    known = {instance.id: instance for instance in instances.load_all(Node.open(paths), new.family)}
    if new.id not in known:
        return instances.add(paths, new)
    return instances.change(paths, new.family, new.id, lambda _old: new)


def _warn(instance: "Instance", doubts: Sequence[str]) -> None:
    for doubt in doubts:
        say(f"WARN: {instance.who}: {doubt}", err=True)


def _row(instance: "Instance") -> dict[str, object]:
    """An instance in a list that imports no plugin."""
    return {
        "plugin": instance.id,
        "type": instance.type,
        "api": instance.plugin,
        "disable": instance.disabled,
    }


def _as_proxmox_ve(shown: dict[str, object]) -> dict[str, object]:
    """With the keys of Proxmox VE's own command, in their order."""
    members = {"plugin" if key == "id" else key: value for key, value in shown.items()}
    members.pop("where", None)
    return {key: value for key, value in sorted(members.items()) if value is not False}
