"""The command tree as plain data: where each command stands, and its line in the help.

No command line library is needed to read it, so the first page of help comes at once.
"""

from collections.abc import Mapping

NAME = "pvefw"
SUMMARY = "Manage this virtualization host: certificates, boot loader, guests, tasks."

OPTIONS = (
    ("--root", "DIR", "Work on the tree below DIR ($PVEFW_ROOT, else /)."),
    ("--node", "NAME", "Act as this node ($PVEFW_NODE, else the host's name)."),
    ("--debug", "", "Show where an error comes from."),
    (
        "--trace-plugins",
        "",
        "Show each call of a plugin ($PVEFW_TRACE_PLUGINS).",
    ),
)
"""What every command accepts: name, what follows it (empty for a flag), help."""

Commands = Mapping[str, tuple[str, str]]
"""A command's name to where it stands (``module:attribute``), and its line of help."""

ACME: Commands = {
    "account": ("pvefw.cli.acme_account:account", "Accounts at ACME authorities."),
    "cert": ("pvefw.cli.acme_cert:cert", "Order, renew and revoke this node's certificate."),
    "plugin": ("pvefw.cli.acme_plugin:plugin", "Plugin instances that answer challenges."),
}

ROOT: Commands = {
    "acme": ("pvefw.cli.groups:ACME", "ACME accounts, plugins and certificates."),
    "boot": ("pvefw.cli.boot:boot", "Kernels, boot loaders and EFI system partitions."),
    "boot-guests": ("pvefw.cli.guests:boot_guests", "What starts the guests after boot."),
    "cert": ("pvefw.cli.cert:cert", "The node's certificates."),
    "completion": ("pvefw.cli.completion:completion", "What a shell's Tab key needs."),
    "config": ("pvefw.cli.config:config", "Show and change the node's configuration."),
    "dns": ("pvefw.cli.dns:dns", "Try DNS plugins out; remove records left behind."),
    "guest": ("pvefw.cli.guests:guest", "Guests and how they start and stop."),
    "install-units": ("pvefw.cli.guests:install_units", "Install systemd units for the guests."),
    "ksm": ("pvefw.cli.ksm:ksm", "Kernel samepage merging: equal pages, kept once."),
    "migrateall": ("pvefw.cli.guests:migrateall", "Move guests to other nodes."),
    "observer": ("pvefw.cli.observer:observer", "Who is told of new certificates and failures."),
    "plugin": ("pvefw.cli.plugin:plugin", "Installed plugins and what is wrong with them."),
    "renew": ("pvefw.cli.renew:renew", "Renew every certificate that is due."),
    "resumeall": ("pvefw.cli.guests:resumeall", "Resume suspended guests, in their order."),
    "shutdown-guests": ("pvefw.cli.guests:shutdown_guests", "What stops the guests at shutdown."),
    "startall": ("pvefw.cli.guests:startall", "Start guests, in their order."),
    "status": ("pvefw.cli.status:status", "How this node is, on one screen."),
    "stopall": ("pvefw.cli.guests:stopall", "Stop guests, in the reverse order."),
    "suspendall": ("pvefw.cli.guests:suspendall", "Suspend guests, in the reverse order."),
    "task": ("pvefw.cli.task:task", "The history of tasks and their logs."),
    "wakeonlan": ("pvefw.cli.wakeonlan:wakeonlan", "Wake another node by Wake-on-LAN."),
}


def first_page() -> str:
    """What ``pvefw --help`` prints: word for word what click would make of the tree."""
    options = [(f"{name} {value}".rstrip(), text) for name, value, text in OPTIONS]
    options += [
        ("--version", "Show the version and exit."),
        ("--help", "Show this message and exit."),
    ]
    commands = [(name, ROOT[name][1]) for name in sorted(ROOT)]
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
            *_columns(commands),
        ]
    )


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(first) for first, _ in rows)
    return [f"  {first.ljust(width)}  {second}" for first, second in rows]
