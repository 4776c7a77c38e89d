"""``pvefw observer``: notifications and deploy hooks."""

from pvefw.cli.framework import Group
from pvefw.cli.instances import instance_commands

observer = Group("observer", help="Notifications and deploy hooks.")
instance_commands(observer, "observer")
