"""What an export reads is the same on both engines, and a whole file is, too."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.custody import store
from gateway.database.uow import Database
from gateway.delivery.receipt_store import RECEIPTS, ReceiptRow
from gateway.evidence import store as kept
from gateway.kernel.ids import AuthorityCode

NOW = datetime(2026, 3, 2, 8, 30, 0, 123456, tzinfo=UTC)
TIANJIN, HEBEI = AuthorityCode("120000"), AuthorityCode("130000")
TICKETS = [f"1200002026030200000{number:03d}1" for number in range(4)]


def a_row(ticket: str, sequence: int, *, recorded: datetime = NOW) -> store.CustodyRow:
    return store.CustodyRow(
        authority=TIANJIN,
        ticket=ticket,
        scope="100000",
        number=1,
        sequence=sequence,
        txid=0,
        previous_digest=b"",
        kind="Offer",
        epoch=0,
        subject_digest=b"",
        state_digest=bytes(32),
        row_digest=sequence.to_bytes(32, "big"),
        holding="HELD",
        recorded=recorded,
    )


def an_entry(sequence: int, *, up_to: int) -> store.LedgerEntryRow:
    return store.LedgerEntryRow(
        authority=TIANJIN,
        sequence=sequence,
        previous_digest=bytes(32),
        root=bytes(32),
        row_count=1,
        up_to_txid=up_to,
        entry_digest=sequence.to_bytes(32, "big"),
        key_id="key",
        signature=b"signature",
        recorded=NOW,
    )


async def test_the_tickets_of_a_period_come_once_each_and_page_by_page(database: Database) -> None:
    async with database.unit() as uow:
        for days, ticket in enumerate(TICKETS):
            uow.insert(store.CUSTODY_ROWS, a_row(ticket, 1, recorded=NOW + timedelta(days=days)))
            uow.insert(store.CUSTODY_ROWS, a_row(ticket, 2, recorded=NOW + timedelta(days=days)))
    period = {"since": NOW + timedelta(days=1), "until": NOW + timedelta(days=3)}
    async with database.unit() as uow:
        page = await uow.select(
            kept.TICKETS_BETWEEN, authority=TIANJIN, after="", limit=1, **period
        )
        rest = await uow.select(
            kept.TICKETS_BETWEEN, authority=TIANJIN, after=page[0].ticket, limit=9, **period
        )
        others = await uow.select(
            kept.TICKETS_BETWEEN, authority=HEBEI, after="", limit=9, **period
        )
    assert [row.ticket for row in (*page, *rest)] == TICKETS[1:3]
    assert not others


async def test_an_entry_is_found_by_the_transaction_of_a_row(database: Database) -> None:
    async with database.unit() as uow:
        for sequence in (1, 2, 3):
            uow.insert(store.LEDGER_ENTRIES, an_entry(sequence, up_to=sequence * 10))
    async with database.unit() as uow:
        found = [
            [
                row.sequence
                for row in await uow.select(kept.ENTRY_OVER, authority=TIANJIN, txid=txid)
            ]
            for txid in (1, 10, 11, 30, 31)
        ]
        between = await uow.select(
            kept.ENTRIES_BETWEEN, authority=TIANJIN, first=2, last=9, limit=9
        )
    assert found == [[1], [1], [2], [3], []]
    assert [row.sequence for row in between] == [2, 3]


async def test_leaves_come_in_the_order_of_their_transactions(database: Database) -> None:
    for sequence in (2, 1):
        async with database.unit() as uow:
            uow.insert(store.CUSTODY_ROWS, a_row(TICKETS[0], sequence))
    async with database.unit() as uow:
        leaves = await uow.select(
            kept.LEAVES_BETWEEN, authority=TIANJIN, after=0, last=1 << 60, limit=9
        )
        none = await uow.select(
            kept.LEAVES_BETWEEN, authority=TIANJIN, after=leaves[-1].txid, last=1 << 60, limit=9
        )
    assert [leaf.sequence for leaf in leaves] == [2, 1]
    assert not none


async def test_receipts_stamps_and_openings_are_kept(database: Database) -> None:
    receipt = ReceiptRow(TIANJIN, TICKETS[0], HEBEI, b"digest", b"receipt", NOW)
    stamps = [kept.StampRow(TIANJIN, sequence, b"response", NOW, NOW) for sequence in (3, 7)]
    opening = store.OpeningRow(TIANJIN, TICKETS[0], b"digest", "case_block", b"sealed")
    async with database.unit() as uow:
        uow.put(RECEIPTS, receipt)
        uow.put(RECEIPTS, replace(receipt, ticket=TICKETS[1]))
        for stamp in stamps:
            uow.put(kept.STAMPS, stamp)
        uow.put(store.OPENINGS, opening)
    async with database.unit() as uow:
        of_ticket = await uow.select(kept.RECEIPTS_OF_TICKET, source=TIANJIN, ticket=TICKETS[0])
        later = await uow.select(kept.STAMPS_FROM, authority=TIANJIN, first=4, limit=9)
        last = await uow.select(kept.LAST_STAMP, authority=TIANJIN)
        openings = await uow.select(store.OPENINGS_OF_TICKET, authority=TIANJIN, ticket=TICKETS[0])
    assert (of_ticket, later, last, openings) == ([receipt], stamps[1:], stamps[1:], [opening])


async def test_statements_of_a_ticket_come_oldest_first(database: Database) -> None:
    def said(number: int, ticket: str) -> store.StatementRow:
        return store.StatementRow(
            authority=TIANJIN,
            digest=number.to_bytes(32, "big"),
            statement=b"statement",
            key_id="key",
            signature=b"signature",
            kind="Offer",
            issuer=TIANJIN,
            ticket=ticket,
            scope="100000",
            number=1,
            epoch=0,
            recorded=NOW - timedelta(seconds=number),
        )

    async with database.unit() as uow:
        for number in (1, 2, 3):
            uow.put(store.STATEMENTS, said(number, TICKETS[number % 2]))
    async with database.unit() as uow:
        found = await uow.select(
            kept.STATEMENTS_OF_TICKET, authority=TIANJIN, ticket=TICKETS[1], limit=9
        )
    assert [row.digest[-1] for row in found] == [3, 1]


async def test_the_entry_before_is_found_over_numbers_that_were_left_out(
    database: Database,
) -> None:
    async with database.unit() as uow:
        for sequence in (1, 2, 9):
            uow.insert(store.LEDGER_ENTRIES, an_entry(sequence, up_to=sequence))
    async with database.unit() as uow:
        found = [
            [
                row.sequence
                for row in await uow.select(
                    kept.ENTRY_BEFORE, authority=authority, sequence=sequence
                )
            ]
            for authority, sequence in ((TIANJIN, 9), (TIANJIN, 1), (HEBEI, 9))
        ]
    assert found == [[2], [], []]
