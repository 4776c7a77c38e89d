"""The reference's commands under their own names, carried out by pvefw: a module for each.

Each has one table of what differs from ``pvefw``.
"""
