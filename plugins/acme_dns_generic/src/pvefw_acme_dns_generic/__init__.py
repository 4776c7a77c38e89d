"""dns-01 for pvefw without a provider of its own: ``rfc2136``, ``acmesh`` and ``exec``."""
