"""Every query of custody gives the same rows on both engines."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from gateway.custody import chains, store
from gateway.custody.model import ChainKey
from gateway.database.table import Group, Table
from gateway.database.uow import Database
from gateway.kernel.errors import LubiaoError, ResourceExists
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from tests.postgres import TestServer, postgres_database

Row = TypeVar("Row")

NOW = datetime(2026, 3, 2, 8, 30, 0, 123456, tzinfo=UTC)
TIANJIN, HEBEI, LANGFANG = "120000", "130000", "131000"
NATION = "100000"
TICKETS = [f"1200002026030200000{number:03d}1" for number in range(4)]
EPOCH = Epoch(0, 1).key()
_SAMPLES: dict[str, Any] = {
    "str": "text",
    "int": 0,
    "bool": False,
    "bytes": b"",
    "Instant": NOW,
    "Json": (),
}


def a_row(kind: type[Row], /, **changes: Any) -> Row:
    """Return a row of nothing but defaults, with `changes`."""
    given: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type] # every row is a dataclass
        name = str(field.type)
        given[field.name] = None if name.endswith("None") else _SAMPLES[name]
    return kind(**(given | changes))


def a_chain_row(**changes: Any) -> store.ChainRow:
    place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
    return a_row(store.ChainRow, **({"holding": "RELEASED"} | place | changes))


def a_ledger_row(**changes: Any) -> store.CustodyRow:
    place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
    return a_row(store.CustodyRow, **({"holding": "HELD", "sequence": 1} | place | changes))


async def put(database: Database, table: Table[Row], *rows: Row) -> None:
    async with database.unit() as uow:
        for row in rows:
            uow.put(table, row)


async def selected(database: Database, query: Any, **given: Any) -> list[Any]:
    async with database.unit() as uow:
        if isinstance(query, Group):
            return await uow.rows(query, *(given[name] for name in query.columns))
        found: list[Any] = await uow.select(query, **given)
        return found


async def test_a_chain_comes_back_whole(database: Database) -> None:
    row = a_chain_row(
        holding="OFFERED",
        desk="desk",
        term_epoch=EPOCH,
        floor_epoch=EPOCH,
        pending_epoch=EPOCH,
        ruling_target=HEBEI,
        ruling_statement=b"\x00\xff",
        content_due=True,
        mandates=("130100",),
        path=(TIANJIN, HEBEI),
        parties=(HEBEI,),
        records=("aa", "bb"),
        release_due=HEBEI,
        shown_epoch=EPOCH,
        contact=True,
    )
    await put(database, store.CHAINS, row)
    assert await selected(
        database, store.CHAINS_OF_TICKET, authority=TIANJIN, ticket=TICKETS[0]
    ) == [row]


async def test_chains_of_a_ticket_are_those_of_one_authority_in_order(database: Database) -> None:
    wanted = [
        a_chain_row(),
        a_chain_row(scope=TIANJIN),
        a_chain_row(scope=TIANJIN, number=2),
    ]
    others = [a_chain_row(authority=HEBEI), a_chain_row(ticket=TICKETS[1])]
    await put(database, store.CHAINS, *reversed(wanted), *others)
    assert (
        await selected(database, store.CHAINS_OF_TICKET, authority=TIANJIN, ticket=TICKETS[0])
        == wanted
    )


async def test_filings_that_wait_are_bounded_and_in_order(database: Database) -> None:
    waiting = [a_chain_row(ticket=ticket, filing_due=True) for ticket in TICKETS[:3]]
    first = a_chain_row(ticket=TICKETS[3], authority="110000", filing_due=True)
    filed = a_chain_row(authority="100001")
    await put(database, store.CHAINS, *reversed(waiting), first, filed)
    found = await selected(database, store.CHAINS_FILING_DUE, limit=3)
    assert found == [first, *waiting[:2]]


@pytest.mark.parametrize(
    ("table", "kind", "query"),
    [
        (store.OFFERS_MADE, store.OfferMadeRow, store.OFFERS_MADE_OF_TICKET),
        (store.OFFERS_ANSWERED, store.OfferAnsweredRow, store.OFFERS_ANSWERED_OF_TICKET),
    ],
    ids=["made", "answered"],
)
async def test_offers_of_a_ticket_are_in_order_of_their_epochs(
    database: Database, table: Table[Any], kind: type[Any], query: Any
) -> None:
    def row(**changes: Any) -> Any:
        place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
        return a_row(kind, **({"verdict": "DECLINED", "epoch": EPOCH} | place | changes))

    wanted = [
        row(),
        row(epoch=Epoch(0, 12).key()),
        row(epoch=Epoch(1, 0).key()),
        row(scope=TIANJIN),
        row(scope=TIANJIN, number=2),
    ]
    others = [row(authority=HEBEI), row(ticket=TICKETS[1])]
    await put(database, table, *reversed(wanted), *others)
    assert await selected(database, query, authority=TIANJIN, ticket=TICKETS[0]) == wanted


async def test_invitations_are_paged_by_ticket_or_those_of_one_ticket(database: Database) -> None:
    def row(**changes: Any) -> store.InvitationRow:
        place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
        return a_row(store.InvitationRow, **({"epoch": EPOCH} | place | changes))

    rows = [row(ticket=ticket) for ticket in TICKETS]
    inner = row(scope=TIANJIN)
    await put(database, store.INVITATIONS, *reversed(rows), inner, row(authority=HEBEI))

    async def found(**given: Any) -> list[Any]:
        given = {"authority": TIANJIN, "ticket": "", "after": "", "limit": 10} | given
        return await selected(database, store.INVITATIONS_OF_AUTHORITY, **given)

    assert await found() == [rows[0], inner, *rows[1:]]
    assert await found(after=TICKETS[0], limit=2) == rows[1:3]
    assert await found(ticket=TICKETS[0]) == [rows[0], inner]
    assert await found(ticket=TICKETS[0], limit=1) == [rows[0]]


async def test_the_ledger_of_a_ticket_goes_on_after_a_row(database: Database) -> None:
    rows = [
        a_ledger_row(sequence=1),
        a_ledger_row(sequence=2),
        a_ledger_row(scope=TIANJIN, sequence=1),
        a_ledger_row(scope=TIANJIN, number=2, sequence=1),
    ]
    async with database.unit() as uow:
        for row in (*reversed(rows), a_ledger_row(authority=HEBEI)):
            uow.insert(store.CUSTODY_ROWS, row)

    async def after(scope: str, number: int, sequence: int, limit: int = 10) -> list[Any]:
        found = await selected(
            database,
            store.ROWS_OF_TICKET,
            authority=TIANJIN,
            ticket=TICKETS[0],
            scope=scope,
            number=number,
            sequence=sequence,
            limit=limit,
        )
        return [replace(row, txid=0) for row in found]

    assert await after("", 0, 0) == rows
    assert await after(NATION, 1, 1, limit=2) == rows[1:3]
    assert await after(TIANJIN, 1, 1) == rows[3:]


async def test_a_ledger_row_is_written_once(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(store.CUSTODY_ROWS, a_ledger_row())
    with pytest.raises(ResourceExists):
        await _written_again(database)


async def _written_again(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(store.CUSTODY_ROWS, a_ledger_row(kind="forged"))


async def test_statements_are_found_by_their_identity(database: Database) -> None:
    def row(name: bytes, **changes: Any) -> store.StatementRow:
        place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
        said = {"issuer": HEBEI, "kind": "Answer", "epoch": EPOCH, "digest": name}
        return a_row(store.StatementRow, **(place | said | changes))

    wanted = row(b"1")
    others = [
        row(b"2", authority=HEBEI),
        row(b"3", ticket=TICKETS[1]),
        row(b"4", scope=TIANJIN),
        row(b"5", number=2),
        row(b"6", issuer=TIANJIN),
        row(b"7", kind="Offer"),
        row(b"8", epoch=Epoch(1, 1).key()),
    ]
    await put(database, store.STATEMENTS, wanted, *others)
    found = await selected(
        database,
        store.STATEMENT_IDENTITY,
        authority=TIANJIN,
        ticket=TICKETS[0],
        scope=NATION,
        number=1,
        issuer=HEBEI,
        kind="Answer",
        epoch=EPOCH,
    )
    assert found == [wanted]


async def test_acts_of_a_term_are_those_of_that_epoch_in_order(database: Database) -> None:
    def row(**changes: Any) -> store.OwnActRow:
        place = {"authority": TIANJIN, "ticket": TICKETS[0], "scope": NATION, "number": 1}
        return a_row(store.OwnActRow, **(place | {"epoch": EPOCH, "sequence": 2} | changes))

    wanted = [row(), row(sequence=4)]
    others = [row(epoch=Epoch(0, 2).key()), row(number=2), row(authority=HEBEI)]
    await put(database, store.OWN_ACTS, *reversed(wanted), *others)
    found = await selected(
        database,
        store.ACTS_OF_TERM,
        authority=TIANJIN,
        ticket=TICKETS[0],
        scope=NATION,
        number=1,
        epoch=EPOCH,
    )
    assert found == wanted


async def test_recorded_acts_are_those_of_one_actor_in_order(database: Database) -> None:
    def row(**changes: Any) -> store.ActRow:
        place = {"authority": HEBEI, "ticket": TICKETS[0], "scope": HEBEI, "number": 1}
        act = {"actor": LANGFANG, "epoch": EPOCH, "act_row": 1}
        return a_row(store.ActRow, **(place | act | changes))

    wanted = [row(), row(act_row=2), row(epoch=Epoch(0, 3).key())]
    others = [row(actor="130100"), row(number=2), row(ticket=TICKETS[1]), row(authority=TIANJIN)]
    await put(database, store.ACTS, *reversed(wanted), *others)
    found = await selected(
        database,
        store.ACTS_OF_ACTOR,
        authority=HEBEI,
        ticket=TICKETS[0],
        scope=HEBEI,
        number=1,
        actor=LANGFANG,
    )
    assert found == wanted


async def test_statements_of_a_kind_are_those_of_one_chain_oldest_first(database: Database) -> None:
    place = {"authority": NATION, "ticket": TICKETS[0], "scope": NATION, "number": 1}
    rows = [
        a_row(store.StatementRow, **place, digest=bytes([n]), kind=kind, issuer=issuer, epoch=epoch)
        for n, (kind, issuer, epoch) in enumerate(
            [("CaseFiling", HEBEI, 2), ("CaseFiling", TIANJIN, 1), ("Genesis", TIANJIN, 0)]
        )
    ]
    await put(database, store.STATEMENTS, *rows)
    async with database.unit() as uow:
        key = ChainKey(AuthorityCode(NATION), TicketNumber(TICKETS[0]), AuthorityCode(NATION), 1)
        assert await chains.of_kind(uow, key, "CaseFiling") == [rows[1], rows[0]]
    said = await selected(
        database, store.STATEMENTS_SAID, **place, kind="CaseFiling", issuer=TIANJIN
    )
    assert said == [rows[1]]


async def test_rulings_and_their_answers_are_those_of_one_chain_in_order(
    database: Database,
) -> None:
    place = {"scope": NATION, "ticket": TICKETS[0], "chain": 1}
    rulings = [
        a_row(store.RulingRow, **place, number=number, kind=2, told=(TIANJIN, HEBEI))
        for number in (2, 1)
    ]
    other = a_row(store.RulingRow, **(place | {"chain": 2}), number=1, kind=5)
    await put(database, store.RULINGS, *rulings, other)
    assert await selected(database, store.RULINGS_OF_CHAIN, **place) == rulings[::-1]
    answers = [
        a_row(store.RulingAnswerRow, **place, number=1, authority=code, role=1)
        for code in (TIANJIN, HEBEI)
    ]
    await put(database, store.RULING_ANSWERS, *answers)
    assert await selected(database, store.ANSWERS_OF_CHAIN, **place) == answers


async def test_rows_after_a_transaction_leave_out_what_may_still_be_overtaken(
    database: Database,
) -> None:
    for sequence in (1, 2):
        async with database.unit() as uow:
            for ticket in reversed(TICKETS[:2]):
                uow.insert(store.CUSTODY_ROWS, a_ledger_row(ticket=ticket, sequence=sequence))
            uow.insert(store.CUSTODY_ROWS, a_ledger_row(authority=HEBEI, sequence=sequence))

    async def after(txid: int, limit: int = 10) -> list[Any]:
        return await selected(database, store.ROWS_AFTER, authority=TIANJIN, txid=txid, limit=limit)

    rows = await after(0)
    assert [(row.ticket, row.sequence) for row in rows] == [
        (TICKETS[0], 1),
        (TICKETS[1], 1),
        (TICKETS[0], 2),
        (TICKETS[1], 2),
    ]
    assert await after(rows[0].txid) == rows[2:]
    assert await after(0, limit=3) == rows[:3]
    async with database.unit() as running:
        running.insert(store.CUSTODY_ROWS, a_ledger_row(sequence=3))
        await running.get(store.CUSTODY_ROWS, TIANJIN, TICKETS[0], NATION, 1, 3)  # writes it
        async with database.unit() as uow:
            uow.insert(store.CUSTODY_ROWS, a_ledger_row(ticket=TICKETS[1], sequence=3))
        assert await after(rows[-1].txid) == [], "a smaller number may still commit"
    assert len(await after(rows[-1].txid)) == 2


async def test_the_last_entry_is_that_of_one_authority(database: Database) -> None:
    def row(**changes: Any) -> store.LedgerEntryRow:
        return a_row(store.LedgerEntryRow, **({"authority": TIANJIN, "sequence": 1} | changes))

    assert await selected(database, store.LAST_ENTRY, authority=TIANJIN) == []
    last = row(sequence=10, recorded=NOW + timedelta(microseconds=1))
    await put(
        database,
        store.LEDGER_ENTRIES,
        last,
        row(sequence=9),
        row(authority=HEBEI, sequence=11),
    )
    assert await selected(database, store.LAST_ENTRY, authority=TIANJIN) == [last]


@pytest.mark.parametrize(
    "changes",
    [{"holding": "HELD"}, {"holding": "OFFERED", "desk": "desk"}, {"holding": "NOWHERE"}],
    ids=["no desk", "nothing pending", "no such state"],
)
async def test_postgresql_itself_refuses_a_custodian_without_a_desk(
    postgres_server: TestServer, changes: dict[str, str]
) -> None:
    """The inner half of I2 is a constraint of the table, whatever the program does."""
    async with postgres_database(postgres_server) as database:
        with pytest.raises(LubiaoError):
            await put(database, store.CHAINS, a_chain_row(**changes))
