"""The command tree as plain data: where each command is, and its line in the help.

No command line library is needed to read it, so the first page of help comes at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pvefw import PROJECT
from pvefw.core import metadata
from pvefw.core.metadata import EntryPoint

NAME = PROJECT
SUMMARY = "Manage this virtualization host: certificates, boot loader, guests, tasks."

OPTIONS = (
    ("--root", "DIR", "Work on the tree below DIR ($PVEFW_ROOT, else /)."),
    ("--node", "NAME", "Act as this node ($PVEFW_NODE, else the host's name)."),
    ("--debug", "", "Show where an error comes from."),
    ("--trace-plugins", "", "Show each call of a plugin ($PVEFW_TRACE_PLUGINS)."),
    ("--detach", "", "Run the task in the background; print its id."),
)
"""What every command accepts: name, what follows it (empty for a flag), help."""

LINES: Mapping[str, str] = {
    "acme": "ACME accounts, plugins and certificates.",
    "acme.account": "Accounts at ACME authorities.",
    "acme.catalog": "Settings of catalogues of DNS providers.",
    "acme.cert": "Order, renew and revoke this node's certificate.",
    "acme.directory": "Public ACME authorities and what they offer.",
    "acme.persist": "DNS records that let an account get certificates permanently.",
    "acme.plugin": "Plugin instances that answer challenges.",
    "apply": "Make this node match a document.",
    "boot": "Kernels, boot loaders and EFI system partitions.",
    "boot-guests": "Start guests at boot (run by systemd).",
    "cert": "The node's certificates.",
    "completion": "Print a shell completion script.",
    "config": "Show and change the node's configuration.",
    "dns": "Try DNS plugins out; remove records left behind.",
    "guest": "Guests and how they start and stop.",
    "install-units": "Install systemd units for the guests.",
    "ksm": "Kernel samepage merging: equal pages, kept once.",
    "migrateall": "Move guests to other nodes.",
    "node": "Empty nodes for maintenance, one by one.",
    "observer": "Notifications and deploy hooks.",
    "plugin": "List and check installed plugins.",
    "renew": "Renew every certificate that is due.",
    "resumeall": "Resume suspended guests, in their order.",
    "shutdown-guests": "Stop guests at shutdown (run by systemd).",
    "startall": "Start guests, in their order.",
    "status": "Show the health of this node.",
    "stopall": "Stop guests, in the reverse order.",
    "suspendall": "Suspend guests, in the reverse order.",
    "store": "Files that nodes share without a cluster file system.",
    "task": "The history of tasks and their logs.",
    "wakeonlan": "Wake another node by Wake-on-LAN.",
}
"""The line of help of each of pvefw's own commands. That of another distribution's is its summary."""

GROUP = f"{PROJECT}.command"


class Subcommand(NamedTuple):
    """One command of a group."""

    name: str
    help: str
    point: EntryPoint

    @property
    def ours(self) -> bool:
        """Whether it is a command of pvefw itself."""
        return self.point.distribution.file_name == PROJECT


def commands(group: str = "") -> dict[str, Subcommand]:
    """The commands of a group, sorted by name: entry points of :data:`GROUP`; none is imported.

    Another distribution adds commands, also to a group of pvefw (``acme.new``), and replaces none.

    :param group: the group's name, with dots; empty for the first level.
    """
    by_name: dict[str, Subcommand] = {}
    for entry in _in(group, metadata.entry_points(GROUP)):
        if entry.ours or entry.name not in by_name:
            by_name[entry.name] = entry
    return dict(sorted(by_name.items()))


def own_commands(group: str) -> dict[str, Subcommand]:
    """Those of pvefw itself. Nobody replaces them, so calling one needs no look at others."""
    points = (point for point in metadata.own_entry_points() if point.group == GROUP)
    return {entry.name: entry for entry in _in(group, points)}


def _in(group: str, points: Iterable[EntryPoint]) -> Iterator[Subcommand]:
    for point in points:
        parent, _, name = point.name.rpartition(".")
        if parent == group:
            yield Subcommand(name, LINES.get(point.name) or point.distribution.summary, point)


def first_page() -> str:
    """What ``pvefw --help`` prints: word for word what click would make of the tree."""
    options = [(f"{name} {value}".rstrip(), text) for name, value, text in OPTIONS]
    options += [
        ("--version", "Show the version and exit."),
        ("-h, --help", "Show this message and exit."),
    ]
    listed = [(command.name, command.help) for command in commands().values()]
    return "\n".join(
        [
            f"Usage: {NAME} [OPTIONS] COMMAND [ARGS]...",
            "",
            f"  {SUMMARY}",
            "",
            "Options:",
            *_columns(options),
            "",
            "Commands:",
            *_columns(listed),
        ]
    )


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(first) for first, _ in rows)
    return [f"  {first.ljust(width)}  {second}" for first, second in rows]
