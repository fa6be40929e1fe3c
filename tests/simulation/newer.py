"""A peer of a later version: its signed statements carry a field that nobody here knows.

The bytes that were signed are the bytes that count: whoever parses them and writes them again
before verifying, passing on or keeping them loses the unknown field, and with it the signature.
"""

from __future__ import annotations

from gateway.custody import writer
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import Statement
from tests.simulation.network import NEWER_FIELD

authors: set[str] = set()
"""The authorities of the present run whose software is newer."""


def install() -> None:
    """Let the authorities in `authors` say more than this version knows."""
    writer.statement_to_bytes = _with_more  # type: ignore[attr-defined] # as it was imported


def _with_more(statement: Statement) -> bytes:
    raw = statement_to_bytes(statement)
    return raw + NEWER_FIELD if statement.issuer in authors else raw
