"""Every query of delivery gives the same rows on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.database.uow import Database
from gateway.delivery.store import (
    OUTBOX,
    OUTBOX_DUE,
    OUTBOX_NEXT,
    OUTBOX_NODES,
    OUTBOX_QUEUES,
    SEQUENCES,
    NodeRow,
    OutboxRow,
    QueueRow,
    SequenceRow,
)

NOW = datetime(2026, 3, 2, 8, 30, 0, 123456, tzinfo=UTC)
ROW = OutboxRow(
    position=0,
    node="hebei",
    source="120000",
    target="130000",
    ticket="12000020260302000000017",
    kind="Offer",
    statement_digest=b"digest",
    envelope=b"envelope",
    sequence=0,
    created=NOW,
    not_before=NOW,
)


async def insert(database: Database, *rows: OutboxRow) -> None:
    async with database.unit() as uow:
        for row in rows:
            uow.insert(OUTBOX, row)


async def due(database: Database, *, now: datetime = NOW, limit: int = 10) -> list[OutboxRow]:
    async with database.unit() as uow:
        return await uow.select(OUTBOX_DUE, node="hebei", now=now, limit=limit)


async def test_what_is_due_for_a_node_comes_in_order_of_posting(database: Database) -> None:
    names = [b"1", b"2", b"3"]
    for name in names:
        await insert(database, replace(ROW, envelope=name), replace(ROW, node="tianjin"))
    rows = await due(database)
    assert [row.envelope for row in rows] == names
    assert [row.position for row in rows] == sorted(row.position for row in rows)
    assert await due(database, limit=2) == rows[:2]


async def test_a_sender_reads_on_from_where_it_was_up_to_bounds_of_number_and_size(
    database: Database,
) -> None:
    for number in range(5):
        moment = NOW + timedelta(seconds=number // 2)
        await insert(database, replace(ROW, envelope=bytes(10), created=NOW, not_before=moment))

    async def read(after: tuple[datetime, int], **given: object) -> list[OutboxRow]:
        bounds = {"limit": 10, "bytes": 1000, "now": NOW + timedelta(days=1), "until": NOW}
        async with database.unit() as uow:
            return await uow.select(
                OUTBOX_NEXT,
                node="hebei",
                after_time=after[0],
                after_position=after[1],
                **(bounds | given),
            )

    start = (NOW - timedelta(days=1), 0)
    rows = await read(start)
    assert [row.position for row in rows] == [1, 2, 3, 4, 5]
    assert await read((rows[1].not_before, rows[1].position)) == rows[2:]
    assert await read(start, limit=3) == rows[:3]
    assert await read(start, bytes=21) == rows[:3], "the row that goes over the bound is the last"
    assert await read(start, bytes=1) == rows[:1], "one is always read"
    assert await read(start, now=NOW) == rows[:2]
    assert await read(start, until=NOW - timedelta(seconds=1)) == []


async def test_what_is_deferred_waits_and_does_not_hide_the_rest(database: Database) -> None:
    later = NOW + timedelta(microseconds=1)
    await insert(
        database, replace(ROW, envelope=b"later", not_before=later), replace(ROW, envelope=b"now")
    )
    assert [row.envelope for row in await due(database)] == [b"now"]
    assert [row.envelope for row in await due(database, now=later)] == [b"now", b"later"]


async def test_a_row_that_is_put_back_keeps_its_place(database: Database) -> None:
    await insert(database, replace(ROW, envelope=b"1"), replace(ROW, envelope=b"2"))
    [first, second] = await due(database)
    async with database.unit() as uow:
        uow.put(OUTBOX, replace(first, sequence=7))
    assert await due(database) == [replace(first, sequence=7), second]
    async with database.unit() as uow:
        uow.delete(OUTBOX, first.position)
    assert await due(database) == [second]


async def test_queues_tell_how_much_waits_up_to_a_bound_and_since_when(database: Database) -> None:
    async with database.unit() as uow:
        assert await uow.select(OUTBOX_NODES) == []
        assert await uow.select(OUTBOX_QUEUES, bound=10) == []
    older = NOW - timedelta(hours=1)
    await insert(database, replace(ROW, created=older), ROW, ROW, replace(ROW, node="a-node"))
    async with database.unit() as uow:
        assert await uow.select(OUTBOX_NODES) == [NodeRow("a-node"), NodeRow("hebei")]
        queues = await uow.select(OUTBOX_QUEUES, bound=2)
    assert queues == [QueueRow("a-node", 1, NOW), QueueRow("hebei", 2, older)]


async def test_sequences_are_kept_per_pair(database: Database) -> None:
    async with database.unit() as uow:
        uow.put(SEQUENCES, SequenceRow("120000", "130000", 1))
        uow.put(SEQUENCES, SequenceRow("120000", "310000", 5))
        uow.put(SEQUENCES, SequenceRow("120000", "130000", 2))
    async with database.unit() as uow:
        known = await uow.get(SEQUENCES, "120000", "130000")
    assert known == SequenceRow("120000", "130000", 2)
