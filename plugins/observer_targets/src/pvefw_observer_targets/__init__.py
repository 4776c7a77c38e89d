"""Targets for certificates: files, another host, and services that read them, each by its name."""
