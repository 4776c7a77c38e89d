"""The table: every kind of thing that a document can name, in the order in which changes are made.

What is named comes before what names it. Removals go the other way.
"""

from collections.abc import Sequence

from pvefw.wanted.accounts import Accounts
from pvefw.wanted.configuration import Certificates, Properties
from pvefw.wanted.host import Boot, Esps, Guests, Units
from pvefw.wanted.instances import Instances
from pvefw.wanted.kind import Kind

KINDS: Sequence[Kind] = (
    Accounts(),
    Instances("catalogs", "Settings of catalogues of DNS providers.", "dns_catalog"),
    Instances("plugins", "Plugin instances that answer challenges.", "dns", "challenge"),
    Instances("observers", "Notifications and deploy hooks.", "observer"),
    Instances("backends", "The hypervisors that run this node's guests.", "guest"),
    Instances("loaders", "Settings of boot loaders.", "bootloader"),
    Properties(),
    Certificates(),
    Guests(),
    Esps(),
    Boot(),
    Units(),
)
