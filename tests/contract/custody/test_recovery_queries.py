"""Heads and recovery read the same rows, and live the same life, on both engines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.custody import recovery_store as kept
from gateway.custody import store
from gateway.custody.books import Books
from gateway.custody.confirming import confirm, view
from gateway.custody.heads import FindingKind, HeadKeeper
from gateway.custody.incarnation import FileWitness, Mode, Recovery, Seen, begin_life, load
from gateway.custody.sealer import LedgerSealer
from gateway.database.uow import Database
from gateway.delivery import incarnations
from gateway.kernel.errors import (
    FieldInvalid,
    IncarnationStale,
    NodeRecovering,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, NodeId
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation.stage import Stage

NOW = datetime(2026, 3, 2, 8, 30, 0, 123456, tzinfo=UTC)
NODE, PEER = NodeId("tianjin"), NodeId("hebei")
TIANJIN = AuthorityCode("120000")
TICKETS = [f"1200002026030200000{number:03d}1" for number in range(4)]


@dataclass(frozen=True, slots=True)
class Nearby:
    """Asks books without a network."""

    books: Books

    async def exchange_heads(
        self, _node: NodeId, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        return await self.books.exchange_heads(request)


def an_entry(sequence: int, *, authority: str = TIANJIN) -> store.LedgerEntryRow:
    return store.LedgerEntryRow(
        authority=authority,
        sequence=sequence,
        previous_digest=bytes(32),
        root=bytes(32),
        row_count=1,
        up_to_txid=sequence,
        entry_digest=sequence.to_bytes(32, "big"),
        key_id="key",
        signature=b"signature",
        recorded=NOW + timedelta(seconds=sequence),
    )


def a_statement(number: int, *, recorded: datetime = NOW) -> store.StatementRow:
    return store.StatementRow(
        authority=TIANJIN,
        digest=number.to_bytes(32, "big"),
        statement=b"statement",
        key_id="key",
        signature=b"signature",
        kind="Offer",
        issuer=TIANJIN,
        ticket=TICKETS[0],
        scope="100000",
        number=1,
        epoch=number,
        recorded=recorded,
    )


def a_ledger_row(sequence: int, digest: bytes) -> store.CustodyRow:
    return store.CustodyRow(
        authority=TIANJIN,
        ticket=TICKETS[0],
        scope="100000",
        number=1,
        sequence=sequence,
        txid=0,
        previous_digest=bytes(32),
        kind="Offer",
        epoch=1,
        subject_digest=bytes(32),
        state_digest=bytes(32),
        row_digest=digest,
        holding="HELD",
        recorded=NOW,
    )


def a_recovered(ticket: str, number: int) -> kept.RecoveredRow:
    return kept.RecoveredRow(
        authority=TIANJIN,
        digest=number.to_bytes(32, "big"),
        statement=b"statement",
        key_id="key",
        signature=b"signature",
        kind="Offer",
        issuer=TIANJIN,
        ticket=ticket,
        source=PEER,
        attempts=0,
        block=b"\x00",
    )


async def test_entries_come_from_a_sequence_on_in_order(database: Database) -> None:
    async with database.unit() as uow:
        for sequence in (3, 1, 2, 4):
            uow.put(store.LEDGER_ENTRIES, an_entry(sequence))
        uow.put(store.LEDGER_ENTRIES, an_entry(2, authority="130000"))
    async with database.unit() as uow:
        found = await uow.select(kept.ENTRIES_FROM, authority=TIANJIN, sequence=2, limit=2)
    assert found == [an_entry(2), an_entry(3)]


async def test_statements_since_an_instant_come_page_by_page(database: Database) -> None:
    old = a_statement(1, recorded=NOW - timedelta(seconds=1))
    new = [a_statement(number) for number in range(2, 6)]
    async with database.unit() as uow:
        for row in (*reversed(new), old):
            uow.put(store.STATEMENTS, row)
    pages: list[list[store.StatementRow]] = []
    after = b""
    async with database.unit() as uow:
        for _ in range(3):
            pages.append(
                await uow.select(
                    kept.STATEMENTS_SINCE, authority=TIANJIN, since=NOW, after=after, limit=3
                )
            )
            after = pages[-1][-1].digest if pages[-1] else after
    assert pages == [new[:3], new[3:], []]


async def test_what_was_returned_is_read_ticket_by_ticket(database: Database) -> None:
    rows = [a_recovered(TICKETS[1], 2), a_recovered(TICKETS[0], 3), a_recovered(TICKETS[1], 1)]
    async with database.unit() as uow:
        for row in rows:
            uow.put(kept.RECOVERED, row)
    async with database.unit() as uow:
        tickets = await uow.select(kept.RECOVERED_TICKETS, after="", limit=9)
        later = await uow.select(kept.RECOVERED_TICKETS, after=TICKETS[0], limit=9)
        found = await uow.select(kept.RECOVERED_OF_TICKET, ticket=TICKETS[1])
    assert [row.ticket for row in tickets] == TICKETS[:2]
    assert [row.ticket for row in later] == [TICKETS[1]]
    assert found == [rows[2], rows[0]]


async def test_heads_and_findings_come_back_whole_and_in_order(database: Database) -> None:
    heads = [
        kept.PeerHeadRow(
            authority=code,
            node=PEER,
            incarnation=2,
            sequence=7,
            entry_digest=bytes(32),
            entry=b"\x00\xff",
            checked=NOW,
        )
        for code in ("130000", "310000")
    ]
    findings = [
        kept.HeadFindingRow(
            authority="130000",
            kind=kind,
            sequence=7,
            shown_digest=bytes(32),
            known=b"\x00",
            shown=b"",
            detail="two entries 7",
            found=NOW + timedelta(seconds=second),
        )
        for second, kind in enumerate(("forked", "shortened", "unlinked", "restored"))
    ]
    async with database.unit() as uow:
        for head in reversed(heads):
            uow.put(kept.PEER_HEADS, head)
        for finding in reversed(findings):
            uow.put(kept.FINDINGS, finding)
    async with database.unit() as uow:
        assert await uow.select(kept.HEADS) == heads
        assert await uow.select(kept.HEAD_FINDINGS) == findings


async def test_the_incarnation_of_a_peer_never_falls(database: Database) -> None:
    async with database.unit() as uow:
        await incarnations.note(uow, PEER, 1)
        await incarnations.note(uow, PEER, 3)
    async with database.unit() as uow:
        with pytest.raises(IncarnationStale):
            await incarnations.note(uow, PEER, 2)


async def test_a_ledger_row_rewritten_in_the_database_is_noticed_at_the_next_exchange(
    database: Database,
) -> None:
    """Whoever has the database and the key of 天津 makes its history anew; 河北 notices."""
    stage = Stage()
    tianjin, hebei = stage.node_of(TIANJIN), stage.node_of("130000")
    sealer = LedgerSealer(keys=tianjin.keys)
    books = Books(
        database=database,
        roster=tianjin.known_roster,
        keys=tianjin.keys,
        recovery=Recovery(NODE),
        clock=tianjin.clock,
    )
    keeper = HeadKeeper(
        node=hebei.id,
        database=hebei.database,
        transport=Nearby(books),
        roster=hebei.known_roster,
        clock=hebei.clock,
    )

    async def seal(digest: bytes, sequence: int) -> None:
        async with database.unit() as uow:
            uow.put(store.CUSTODY_ROWS, a_ledger_row(sequence, digest))
        async with database.unit() as uow:
            assert await sealer.seal(uow, TIANJIN, now=NOW + timedelta(seconds=sequence))

    for sequence in (1, 2):
        await seal(sequence.to_bytes(32, "big"), sequence)
    assert await keeper.ask(TIANJIN, NODE) is None
    await seal((3).to_bytes(32, "big"), 3)
    assert await keeper.ask(TIANJIN, NODE) is None
    async with database.unit() as uow:
        for sequence in (2, 3):
            uow.delete(store.LEDGER_ENTRIES, TIANJIN, sequence)
            uow.delete(store.CUSTODY_ROWS, TIANJIN, TICKETS[0], "100000", 1, sequence)
    await seal(b"x" * 32, 2)
    await seal(b"y" * 32, 3)
    finding = await keeper.ask(TIANJIN, NODE)
    assert finding is not None
    assert finding.kind is FindingKind.FORKED


async def begun(database: Database, witness: FileWitness) -> kept.NodeStateRow:
    async with database.unit() as uow:
        return await begin_life(uow, node=NODE, authorities=(TIANJIN,), witness=witness, now=NOW)


async def test_a_restart_is_no_new_life(database: Database, tmp_path: Path) -> None:
    witness = FileWitness(tmp_path)
    first = await begun(database, witness)
    async with database.unit() as uow:
        uow.put(store.LEDGER_ENTRIES, an_entry(1))
    witness.sealed(TIANJIN, 1)
    again = await begun(database, witness)
    assert (first.incarnation, again.incarnation, again.mode) == (1, 1, "serving")
    assert witness.read() == Seen(incarnation=1, heads={TIANJIN: 1})


@pytest.mark.parametrize("sign", ["a newer head", "a greater incarnation", "a person"])
async def test_a_database_behind_its_folder_begins_a_new_life_that_signs_nothing(
    database: Database, tmp_path: Path, sign: str
) -> None:
    witness = FileWitness(tmp_path)
    async with database.unit() as uow:
        uow.put(store.LEDGER_ENTRIES, an_entry(1))
    await begun(database, witness)
    if sign == "a newer head":
        witness.sealed(TIANJIN, 2)
    elif sign == "a greater incarnation":
        witness.write(Seen(incarnation=4))
    else:
        witness.ask_for_recovery()
    state = await begun(database, witness)
    assert (state.mode, state.since < an_entry(1).recorded) == ("recovering", True)
    assert witness.read().incarnation == state.incarnation > 1
    recovery = Recovery(NODE)
    async with database.unit() as uow:
        await load(uow, recovery)
    with pytest.raises(NodeRecovering):
        recovery.refuse_if_recovering(TIANJIN)
    assert (await begun(database, witness)).incarnation == state.incarnation


async def test_a_person_confirms_and_names_who_is_missing(
    database: Database, tmp_path: Path
) -> None:
    witness = FileWitness(tmp_path)
    with pytest.raises(ResourceNotFound):
        async with database.unit() as uow:
            await confirm(uow, NODE, by="测试员", now=NOW)
    witness.ask_for_recovery()
    await begun(database, witness)
    peers = [
        kept.RecoveryPeerRow(
            node=node, announced=NOW, complete=node == PEER, statements=3, waived_by=""
        )
        for node in (PEER, "shanghai")
    ]
    async with database.unit() as uow:
        for peer in peers:
            uow.put(kept.PEERS, peer)
    for error, given in (
        (TransitionNotAllowed, {"by": "测试员"}),
        (FieldInvalid, {"by": "", "without": ("shanghai",)}),
        (FieldInvalid, {"by": "测试员", "without": ("nobody",)}),
    ):
        with pytest.raises(error):
            async with database.unit() as uow:
                await confirm(uow, NODE, now=NOW, **given)
    async with database.unit() as uow:
        await confirm(uow, NODE, by="测试员", without=("shanghai",), now=NOW)
    async with database.unit() as uow:
        found = await view(uow, NODE)
    assert found is not None
    assert (found.missing, found.state.confirmed_by) == ((), "测试员")
    assert found.state.mode == Mode.RECOVERING.value
