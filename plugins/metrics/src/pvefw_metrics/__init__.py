"""Figures of a node for Prometheus: what ``pvefw status`` finds out, as numbers."""
