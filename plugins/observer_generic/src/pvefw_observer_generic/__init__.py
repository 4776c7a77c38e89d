"""Observers for pvefw: programs, mail, webhooks, Healthchecks."""
