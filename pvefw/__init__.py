"""Node management for virtualization hosts, with plugins.

Plugins import :mod:`pvefw.api` and :mod:`pvefw.testing`, nothing else.
"""

__version__ = "1.0.0"
