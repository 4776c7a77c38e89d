"""What the Tab key offers: nodes, plugin instances, accounts, domains, guests, kernels, tasks.

Somebody waits at every press of the key. So nothing here asks a plugin, a daemon or the network; which
guests there are is what the last command that asked has noted. What cannot be read is not offered: the
command itself says why.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from pvefw.cli.app import App
from pvefw.core.errors import PvefwError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pvefw.store.paths import Paths
    from pvefw.store.properties import Property

Complete = Callable[[click.Context, click.Parameter, str], list[Any]]
Values = Iterable[tuple[str, str]]
"""Values, and a word about each."""

_CHOICE = r"[a-z0-9]+(\|[a-z0-9]+)+"


def _item(value: str, text: str = "") -> "CompletionItem[str]":
    from click.shell_completion import CompletionItem

    return CompletionItem(value, help=text or None)


def _offer(find: "Callable[[Paths], Values]") -> Complete:
    """What a parameter needs to offer these values."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
        try:
            pairs = list(find(ctx.ensure_object(App).paths))
        except (PvefwError, OSError):
            return []
        return [_item(value, text) for value, text in pairs if value.startswith(incomplete)]

    return complete


def several(completion: Complete) -> Complete:
    """The same, for a list with commas; what is there already is not offered again."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        head, comma, last = incomplete.rpartition(",")
        given = head.split(",")
        return [
            _item(f"{head}{comma}{item.value}", item.help or "")
            for item in completion(ctx, param, last)
            if item.value not in given
        ]

    return complete


# --- what there is --------------------------------------------------------------------------------


def _nodes(paths: "Paths") -> Values:
    from pvefw.store import nodes

    return [(name, "") for name in nodes.names(paths)]


def _other_nodes(paths: "Paths") -> Values:
    return [node for node in _nodes(paths) if node[0] != paths.node]


def instances(*families: str) -> Complete:
    """The configured instances of these families, and the plugin of each."""

    def find(paths: "Paths") -> Values:
        from pvefw.instances import load_all
        from pvefw.store.node import Node

        return [
            (instance.id, instance.plugin) for instance in load_all(Node.open(paths), *families)
        ]

    return _offer(find)


def _accounts(paths: "Paths") -> Values:
    from pvefw.store import accounts as store

    return [(name, "") for name in store.names(paths)]


def _domains(paths: "Paths") -> Values:
    from pvefw.store.certificates import all_of
    from pvefw.store.node import Node

    entries = [name for each in all_of(Node.open(paths)) for name in each.names()]
    return [(entry.name, entry.plugin) for entry in entries]


def _certificates(paths: "Paths") -> Values:
    from pvefw.store.certificates import all_of
    from pvefw.store.node import Node

    return [
        (certificate.name, ", ".join(entry.name for entry in certificate.names()))
        for certificate in all_of(Node.open(paths))
    ]


def _sections(paths: "Paths") -> Values:
    return [certificate for certificate in _certificates(paths) if certificate[0] != "pveproxy"]


def _properties(paths: "Paths") -> Values:
    from pvefw.store.node import Node

    properties = Node.open(paths).properties
    return [(key, value.partition("\n")[0]) for key, value in properties.items()]


def _guests(paths: "Paths") -> Values:
    from pvefw.store import guest_notes

    return guest_notes.read(paths)


def _kernels(paths: "Paths") -> Values:
    """Installed kernels and manually selected ones, newest first."""
    from pvefw.boot import versions
    from pvefw.store import kernel_files

    there = [path.name.removeprefix("vmlinuz-") for path in paths.kernels.glob("vmlinuz-*")]
    manual = kernel_files.entries(paths.manual_kernels)
    about = dict.fromkeys(there, "") | dict.fromkeys(manual, "manually selected")
    return sorted(about.items(), key=lambda item: versions.key(item[0]), reverse=True)


def _interfaces(paths: "Paths") -> Values:
    return [(path.name, "") for path in sorted(paths.below("sys/class/net").iterdir())]


def _directories(_paths: "Paths") -> Values:
    from pvefw.certs.directories import KNOWN

    return [(authority.name, authority.title) for authority in KNOWN]


def plugins(family: str) -> Complete:
    """What ``--api`` takes: installed plugins; of DNS also the providers that were listed last."""

    def find(paths: "Paths") -> Values:
        from pvefw.core import finding
        from pvefw.core.families import FAMILIES
        from pvefw.store import notes

        titles = {info.name: info.distribution for info in finding.installed(FAMILIES[family])}
        if family == "dns":
            titles = {**notes.read(paths.provider_notes), **titles}
            catalogs = finding.installed(FAMILIES["dns_catalog"])
            titles |= {f"{catalog.name}/": catalog.distribution for catalog in catalogs}
        return sorted(titles.items())

    return _offer(find)


nodes = _offer(_nodes)
directories = _offer(_directories)
other_nodes = _offer(_other_nodes)
plugin_ids = instances("challenge", "dns")
accounts = _offer(_accounts)
domains = _offer(_domains)
certificates = _offer(_certificates)
certificate_sections = _offer(_sections)
properties = _offer(_properties)
guests = _offer(_guests)
kernels = _offer(_kernels)
_NOTHING = _offer(lambda _paths: ())


def upids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """The latest tasks, latest first."""
    from pvefw.tasks.latest import latest

    matches = latest(ctx.ensure_object(App).paths.task_dir, incomplete)
    return [_item(upid, " ".join(upid.split(":")[5:7])) for upid in matches]


# --- values of properties -------------------------------------------------------------------------


def _challenges(_paths: "Paths") -> Values:
    from pvefw.store.domains import CHALLENGE_TYPES

    return [(type_, "") for type_ in CHALLENGE_TYPES]


_OF_PARTS = {
    "account": accounts,
    "bind-interface": _offer(_interfaces),
    "challenge": _offer(_challenges),
    "plugin": plugin_ids,
}
"""Of the parts of property strings, those whose values are known."""
_WHOLE = {"targets": several(instances("observer")), "fallback-account": accounts}
"""Of properties whose value has no parts with names."""


def property_value(known: "Property") -> Complete:
    """What may be the value of a property of the node."""
    if re.fullmatch(_CHOICE, known.format):
        return _offer(lambda _paths: [(part, "") for part in known.format.split("|")])
    if known.key in _WHOLE:
        return _WHOLE[known.key]

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        head, comma, last = incomplete.rpartition(",")
        name, equals, value = last.partition("=")
        if equals:
            candidates = _OF_PARTS.get(name, _NOTHING)(ctx, param, value)
            return [
                _item(f"{head}{comma}{name}={candidate.value}", candidate.help or "")
                for candidate in candidates
            ]
        given = {part.partition("=")[0] for part in head.split(",")}
        return [
            _item(f"{head}{comma}{part}=")
            for part in known.parts
            if part.startswith(last) and part not in given
        ]

    return complete
