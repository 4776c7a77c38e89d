"""Wanted state: one document for a node, compared with what is there, and made so."""
