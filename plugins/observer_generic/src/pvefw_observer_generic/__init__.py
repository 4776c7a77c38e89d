"""Observers for pvefw: a program of the administrator's own, and mail."""
