"""The small core: contracts, their values, and how a plugin is found, loaded, bound and called.

It knows of no certificate, disk or guest.
"""
