"""The peer of the database work: asyncpg alone, writing the same rows.

The rows that the node left for its last tickets are read back and written again into a database of
the same server with the same schema: for each ticket one transaction with one `INSERT … SELECT FROM
unnest` per table, over a pool of as many connections as the node has; and then the same rows with a
hundred tickets in each transaction. What many tickets share is written before. No locks are taken,
nothing is read, nothing decided, sealed or signed.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from gateway.database.embedded import EmbeddedPostgres
from gateway.database.migrations import Phase, migrate

DATABASE = "peer"
CONNECTIONS = 10
BATCH = 100
# Where a table says which ticket a row is about; rows of other tables are dealt out evenly.
TICKET_COLUMNS = ("ticket", "number", "parent")
IGNORED = frozenset({"schema_migrations", "timers", "inbox", "outbox"})

Insert = tuple[str, tuple[list[object], ...]]


@dataclass(frozen=True, slots=True)
class Written:
    """What asyncpg did: tickets a second one by one and in batches, and rows a ticket."""

    single_rate: float
    batch_rate: float
    rows: float


async def write_same_rows(data: Path, numbers: Sequence[str]) -> Written:
    """Let asyncpg write what the node wrote for these tickets, one by one and by the hundred."""
    server = EmbeddedPostgres(data)
    source = await asyncpg.connect(server.dsn())
    try:
        shared, work, rows = await _work(source, numbers)
        await source.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        await source.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await source.close()
    for phase in Phase:
        await migrate(server.dsn(DATABASE), phase)
    rates = []
    for together in (1, BATCH):
        await _empty(server.dsn(DATABASE))
        await _write(server.dsn(DATABASE), [shared], connections=1)
        batches = [_joined(work[at : at + together]) for at in range(0, len(work), together)]
        rates.append(len(work) / await _write(server.dsn(DATABASE), batches))
    return Written(rates[0], rates[1], rows / len(numbers))


async def _empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    try:
        for table in tables:
            if table["tablename"] not in IGNORED:
                # Some tables refuse a TRUNCATE; this database is ours alone.
                await connection.execute("SET session_replication_role = replica")
                await connection.execute(f'DELETE FROM "{table["tablename"]}"')  # noqa: S608 (as below)
    finally:
        await connection.close()


def _joined(tickets: Sequence[Sequence[Insert]]) -> list[Insert]:
    """Return one insert a table for several tickets."""
    texts: dict[str, list[tuple[list[object], ...]]] = defaultdict(list)
    for inserts in tickets:
        for text, arrays in inserts:
            texts[text].append(arrays)
    return [
        (
            text,
            tuple(
                [item for part in column for item in part] for column in zip(*parts, strict=True)
            ),
        )
        for text, parts in texts.items()
    ]


async def _work(
    source: asyncpg.Connection, numbers: Sequence[str]
) -> tuple[list[Insert], list[list[Insert]], int]:
    """Return what many tickets share, what each has of its own, and how many rows that are."""
    tables = await source.fetch(
        "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) AS columns, "
        "array_agg((SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
        "WHERE a.attrelid = format('public.%I', table_name)::regclass "
        "AND a.attname = column_name) "
        "ORDER BY ordinal_position) AS types "
        "FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name"
    )
    wanted = set(numbers)
    shared: list[Insert] = []
    work: dict[str, list[Insert]] = defaultdict(list)
    total = 0
    for table in tables:
        name, columns, types = table["table_name"], table["columns"], table["types"]
        if name in IGNORED:
            continue
        found = await source.fetch(f'SELECT * FROM "{name}"')  # noqa: S608 (names of the catalogue)
        text = _insert_text(name, columns, types)
        if len(found) < len(numbers) and not set(TICKET_COLUMNS) & set(columns):
            shared.append((text, _arrays(found, columns)))
            continue
        by_ticket = _deal(found, columns, numbers, wanted)
        for number, rows in by_ticket.items():
            work[number].append((text, _arrays(rows, columns)))
            total += len(rows)
    return shared, [work[number] for number in numbers], total


def _arrays(rows: Sequence[asyncpg.Record], columns: Sequence[str]) -> tuple[list[object], ...]:
    return tuple([row[index] for row in rows] for index in range(len(columns)))


def _deal(
    rows: Sequence[asyncpg.Record], columns: Sequence[str], numbers: Sequence[str], wanted: set[str]
) -> Mapping[str, list[asyncpg.Record]]:
    by_ticket: dict[str, list[asyncpg.Record]] = defaultdict(list)
    column = next((name for name in TICKET_COLUMNS if name in columns), None)
    for index, row in enumerate(rows):
        if column is not None and isinstance(row[column], str):
            if row[column] in wanted:
                by_ticket[row[column]].append(row)
        elif index < len(numbers):
            by_ticket[numbers[index]].append(row)
    return by_ticket


def _insert_text(name: str, columns: Sequence[str], types: Sequence[str]) -> str:
    listed = ", ".join(f'"{column}"' for column in columns)
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, start=1))
    return (
        f'INSERT INTO "{name}" ({listed}) SELECT * FROM unnest({arrays}) '  # noqa: S608 (as above)
        "ON CONFLICT DO NOTHING"
    )


async def _write(
    dsn: str, work: Sequence[Sequence[Insert]], *, connections: int = CONNECTIONS
) -> float:
    """Return the seconds that it took."""
    pool = await asyncpg.create_pool(dsn, min_size=connections, max_size=connections)
    waiting = iter(work)

    async def writer() -> None:
        async with pool.acquire() as connection:
            for inserts in waiting:
                async with connection.transaction():
                    for text, arrays in inserts:
                        await connection.execute(text, *arrays)

    began = time.monotonic()
    await asyncio.gather(*(writer() for _ in range(connections)))
    seconds = time.monotonic() - began
    await pool.close()
    return seconds
