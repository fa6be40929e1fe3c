"""Audit: append-only acts and readings, sealed into a chain."""
