"""Synthetic tables that use every kind of column and key, with their DDL and queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.database.table import HORIZON, Group, Json, Query, RowsOf, Table
from gateway.kernel.time import Instant

NOON = datetime(2026, 3, 1, 4, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A row with every kind of column."""

    group: str = "g"
    number: int
    label: str | None = None
    is_good: bool = True
    content: bytes = b""
    time: Instant = NOON
    later: Instant | None = None
    body: Json = None
    extra: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of a stream."""

    position: int = 0
    txid: int = 0
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A row with a generated column beside its key."""

    position: int = 0
    name: str
    text: str = ""


SAMPLES = Table("samples", Sample, key=("group", "number"), unique=(("label",), ("group", "time")))
PLAIN = Table("plain", Sample, key=("group", "number"))
EVENTS = Table("events", Event, key=("position",), generated="position", transaction="txid")
LETTERS = Table("letters", Letter, key=("name",), generated="position")
BY_GROUP = Group(PLAIN, ("group",))  # a part of the key
BY_LABEL = Group(PLAIN, ("label",))  # beside the key
LETTERS_BY_TEXT = Group(LETTERS, ("text",))

_COLUMNS = """(
    "group" text, number bigint, label text, is_good boolean NOT NULL, content bytea NOT NULL,
    time timestamptz NOT NULL, later timestamptz, body jsonb NOT NULL, extra jsonb,
    PRIMARY KEY ("group", number)
"""
DDL = f"""
CREATE TABLE samples {_COLUMNS}, UNIQUE (label), UNIQUE ("group", time));
CREATE TABLE plain {_COLUMNS});
CREATE TABLE events (position bigserial PRIMARY KEY, txid bigint NOT NULL, name text NOT NULL);
CREATE TABLE letters (name text PRIMARY KEY, position bigserial NOT NULL, text text NOT NULL);
CREATE SEQUENCE tickets_number;
"""


def _plain(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[Sample]:
    found = [row for row in rows(PLAIN) if row.number in given["numbers"]]
    return sorted(found, key=lambda row: (row.group, row.number))


def _stream(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[Event]:
    cursor = (given["txid"], given["position"])
    found = [
        row
        for row in rows(EVENTS)
        if row.txid < given[HORIZON] and (row.txid, row.position) > cursor
    ]
    return sorted(found, key=lambda row: (row.txid, row.position))


def _all(table: Table[Any]) -> Any:
    def twin(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[Any]:
        return sorted(rows(table), key=table.key_of)

    return twin


PLAIN_BY_NUMBER = Query(
    "plain_by_number",
    Sample,
    """
    SELECT body, "group", number, label, is_good, content, time, later, extra  -- not :a_parameter
    FROM plain
    WHERE number = ANY(:numbers::bigint[]) AND ':text' <> label IS NOT FALSE
    ORDER BY "group", number
    """,
    _plain,
)
STREAM = Query(
    "stream",
    Event,
    """
    SELECT position, txid, name FROM events
    WHERE txid < :horizon AND (txid, position) > (:txid::bigint, :position::bigint)
    ORDER BY txid, position
    """,
    _stream,
)
ALL_SAMPLES = Query(
    "all_samples",
    Sample,
    'SELECT "group", number, label, is_good, content, time, later, body, extra FROM samples'
    ' ORDER BY "group", number',
    _all(SAMPLES),
)
ALL_LETTERS = Query(
    "all_letters", Letter, "SELECT position, name, text FROM letters ORDER BY name", _all(LETTERS)
)
