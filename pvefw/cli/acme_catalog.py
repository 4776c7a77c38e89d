"""``pvefw acme catalog``: settings of catalogues, each of which offers many DNS providers."""

from pvefw.cli.framework import Group
from pvefw.cli.instances import instance_commands

catalog = Group("catalog", help="Settings of catalogues of DNS providers.")
instance_commands(catalog, "dns_catalog")
