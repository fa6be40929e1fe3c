"""Custody: who holds a ticket, proved by statements (docs/custody.md)."""
