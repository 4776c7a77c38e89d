"""Node management for virtualization hosts, with plugins.

Plugins import :mod:`pvefw.api` and :mod:`pvefw.testing`, nothing else.
"""

__version__ = "1.1.0"

PROJECT = "pvefw"
"""This distribution's name, and how the names of its entry-point groups begin."""

PLUGIN_API = 1
"""The plugin API number. It is pvefw's major version: a plugin that requires ``pvefw>=1,<2`` speaks 1."""
