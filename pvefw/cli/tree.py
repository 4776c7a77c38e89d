"""The command tree: where each command stands, and its line in the help."""

from pvefw.cli.framework import Group

ACME = Group(
    "acme",
    help="Accounts, plugins and certificates of an ACME authority such as Let's Encrypt.",
    lazy={
        "account": ("pvefw.cli.acme_account:account", "Accounts at ACME authorities."),
        "cert": ("pvefw.cli.acme_cert:cert", "Order, renew and revoke this node's certificate."),
        "plugin": ("pvefw.cli.acme_plugin:plugin", "Plugin instances that answer challenges."),
    },
)

PVEFW = Group(
    "pvefw",
    help="Manage this virtualization host: certificates, boot loader, guests, tasks.",
    lazy={
        "acme": ("pvefw.cli.tree:ACME", "ACME accounts, plugins and certificates."),
        "cert": ("pvefw.cli.cert:cert", "The node's certificates."),
        "config": ("pvefw.cli.config:config", "Show and change the node's configuration."),
        "plugin": ("pvefw.cli.plugin:plugin", "Installed plugins and what is wrong with them."),
        "task": ("pvefw.cli.task:task", "The history of tasks and their logs."),
    },
)
