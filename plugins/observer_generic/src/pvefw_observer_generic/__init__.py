"""Observers for pvefw: files for services, programs, mail, webhooks, Healthchecks."""
