"""Conformance kits and fakes for plugin authors: API, as :mod:`pvefw.api` is.

The kits (:mod:`pvefw.testing.challenge` and its siblings) are pytest classes to inherit from and need
``pip install pvefw[testing]``; :mod:`pvefw.testing.fakes` needs nothing.
"""
