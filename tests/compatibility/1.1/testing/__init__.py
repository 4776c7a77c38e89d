"""Conformance kits and fakes for plugin authors: API, as :mod:`pvefw.api` is.

The kits are pytest classes to inherit from and need ``pip install pvefw[testing]``: ``dns``,
``dns_catalog``, ``challenge``, ``boot``, ``guest`` and ``observer``. The other modules are stand-ins that
need nothing but pvefw itself.
"""
