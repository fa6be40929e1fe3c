"""What must hold once everything has healed, read out of the databases and by no service of ours.

Every acknowledged ticket is there once, is held by exactly one authority, and nothing is pending;
both sides of every hand-over recorded the same answer; every ledger row names the one before and is
covered by a signed entry or young; nothing waits for a peer, nobody was refused or accused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

import asyncpg

from gateway.custody.ledger import RowContent, merkle_root, row_digest
from gateway.kernel.ids import NATION, Epoch

EPOCH_BASE = 1 << 20  # how the database writes the pair
CARING = frozenset({"HELD", "OFFERED", "REVOKING", "YIELDING"})


@dataclass(slots=True)
class State:
    """What the databases of all nodes hold."""

    chains: list[asyncpg.Record] = field(default_factory=list)
    copies: list[asyncpg.Record] = field(default_factory=list)
    made: list[asyncpg.Record] = field(default_factory=list)
    answered: list[asyncpg.Record] = field(default_factory=list)
    rows: list[asyncpg.Record] = field(default_factory=list)
    entries: list[asyncpg.Record] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    accused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Up to where the ledger of an authority was checked."""

    sequence: int = 0
    up_to_txid: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """Some tickets, and what their authorities sealed after a mark; `sealed` None: no entries."""

    tickets: list[str]
    authorities: list[str]
    sealed: Mapping[str, Sealed] | None = None


async def read(databases: Mapping[str, str], part: Part | None = None) -> State:
    """Read the databases, by node name: each as of one instant, one after the other."""
    state = State()
    for node, dsn in databases.items():
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if part is None:
                await _read_all(connection, state)
            else:
                await _read_part(connection, state, part)
            state.waiting[node] = await connection.fetchval("SELECT count(*) FROM outbox")
            for table in ("refusals_received", "evidence"):
                state.accused += [
                    f"{node}: {row['kind']} {row['reason']}"
                    for row in await connection.fetch(f"SELECT kind, reason FROM {table}")
                ]
        finally:
            await connection.close()
    return state


async def waiting(databases: Mapping[str, str]) -> Counter[str]:
    """Return how many statements wait at each node for another."""
    found: Counter[str] = Counter()
    for node, dsn in databases.items():
        connection = await asyncpg.connect(dsn)
        try:
            found[node] = await connection.fetchval("SELECT count(*) FROM outbox")
        finally:
            await connection.close()
    return found


COPIES = "SELECT authority, number, origin, external_id, followed FROM ticket_copies"
LEDGER = "authority, ticket, scope, number, sequence"


async def _read_all(connection: asyncpg.Connection, state: State) -> None:
    state.chains += await connection.fetch("SELECT * FROM chains")
    state.copies += await connection.fetch(COPIES)
    state.made += await connection.fetch("SELECT * FROM offers_made")
    state.answered += await connection.fetch("SELECT * FROM offers_answered")
    state.rows += await connection.fetch(f"SELECT * FROM custody_rows ORDER BY {LEDGER}")
    state.entries += await connection.fetch(
        "SELECT * FROM ledger_entries ORDER BY authority, sequence"
    )


async def _read_part(connection: asyncpg.Connection, state: State, part: Part) -> None:
    """Read by the keys of the tables, so that it costs what the part costs."""
    given = (part.authorities, part.tickets)
    of_tickets = "authority = ANY($1::text[]) AND ticket = ANY($2::text[])"
    copies = f"{COPIES} WHERE authority = ANY($1::text[]) AND number = ANY($2::text[])"
    state.copies += await connection.fetch(copies, *given)
    for table, found in (
        ("chains", state.chains),
        ("offers_made", state.made),
        ("offers_answered", state.answered),
    ):
        text = f"SELECT * FROM {table} WHERE {of_tickets}"
        found.extend(await connection.fetch(text, *given))
    ledgers = f"SELECT * FROM custody_rows WHERE {of_tickets} ORDER BY {LEDGER}"
    state.rows += await connection.fetch(ledgers, *given)
    for authority in part.authorities if part.sealed is not None else ():
        state.entries += await connection.fetch(
            "SELECT * FROM ledger_entries WHERE authority = $1 AND sequence > $2 ORDER BY sequence",
            authority,
            (part.sealed or {}).get(authority, Sealed()).sequence,
        )


def open_work(state: State, acknowledged: Collection[str]) -> list[str]:
    """Return what is still under way; empty when all has settled."""
    work = [f"{count} wait at {node}" for node, count in state.waiting.items() if count]
    pending = [row for row in state.chains if row["pending_epoch"] is not None]
    work += [f"{row['ticket'][-6:]} is {row['holding']}" for row in pending[:5]]
    holders = _holders(state)
    missing = [number for number in acknowledged if len(holders[number]) != 1]
    work += [f"{number} is held by {sorted(holders[number])}" for number in missing[:5]]
    return work


def faults(
    state: State,
    acknowledged: Mapping[str, str],
    *,
    sealed: Mapping[str, Sealed] | None = None,
) -> list[str]:
    """Return everything that does not hold.

    Args:
        state: what was read.
        acknowledged: the external id by number, of the tickets that were read.
        sealed: where the entries that were read begin.
    """
    found = open_work(state, acknowledged)
    found += state.accused
    found += _doubled(state, acknowledged)
    found += _disagreeing(state)
    found += _broken_ledgers(state)
    found += wrong_entries(state.rows, state.entries, sealed or {})
    return found


def held_once(state: State, acknowledged: Collection[str]) -> int:
    """Return how many of the acknowledged tickets are held by exactly one authority."""
    holders = _holders(state)
    return sum(len(holders[number]) == 1 for number in acknowledged)


def _holders(state: State) -> dict[str, set[str]]:
    """Return who holds each ticket in an inner chain."""
    holders: dict[str, set[str]] = defaultdict(set)
    for row in state.chains:
        if row["scope"] != NATION and row["holding"] in CARING:
            holders[row["ticket"]].add(row["authority"])
    return holders


def _doubled(state: State, acknowledged: Mapping[str, str]) -> list[str]:
    numbers: dict[str, set[str]] = defaultdict(set)
    for row in state.copies:
        if row["external_id"]:
            numbers[row["external_id"]].add(row["number"])
    wrong = [
        f"{external} became {sorted(found)}"
        for external, found in numbers.items()
        if len(found) > 1
    ]
    lost = [
        f"{number} is lost"
        for number, external in acknowledged.items()
        if number not in numbers[external]
    ]
    return wrong + lost


def _disagreeing(state: State) -> list[str]:
    given = {
        (row["authority"], row["ticket"], row["scope"], row["number"], row["epoch"]): (
            row["verdict"],
            row["answer_digest"],
        )
        for row in state.answered
    }
    return [
        f"{row['ticket']}: {row['authority']} has {row['verdict']} of {row['target']}"
        for row in state.made
        if row["verdict"] != "PENDING"
        and given.get((row["target"], row["ticket"], row["scope"], row["number"], row["epoch"]))
        != (row["verdict"], row["answer_digest"])
    ]


def _broken_ledgers(state: State) -> list[str]:
    found: list[str] = []
    before: dict[tuple[str, ...], bytes] = {}
    for row in state.rows:
        key = (row["authority"], row["ticket"], row["scope"], str(row["number"]))
        content = RowContent(
            sequence=row["sequence"],
            previous=row["previous_digest"],
            kind=row["kind"],
            epoch=Epoch(*divmod(row["epoch"], EPOCH_BASE)),
            subject=row["subject_digest"],
            state=row["state_digest"],
            recorded=row["recorded"],
        )
        if row["row_digest"] != row_digest(content):
            found.append(f"{key}: row {row['sequence']} has another digest")
        if key in before and before[key] != row["previous_digest"]:
            found.append(f"{key}: row {row['sequence']} does not follow")
        before[key] = row["row_digest"]
    return found


def wrong_entries(
    rows: Iterable[asyncpg.Record],
    entries: Iterable[asyncpg.Record],
    sealed: Mapping[str, Sealed],
) -> list[str]:
    """Return the entries that do not follow, or do not cover exactly the rows since the last."""
    found: list[str] = []
    ordered: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in sorted(rows, key=_order):
        ordered[row["authority"]].append(row)
    marks = dict(sealed)
    for entry in entries:
        authority = entry["authority"]
        before, own = marks.get(authority, Sealed()), ordered[authority]
        first = bisect_right(own, before.up_to_txid, key=itemgetter("txid"))
        last = bisect_right(own, entry["up_to_txid"], key=itemgetter("txid"))
        if entry["root"] != merkle_root([row["row_digest"] for row in own[first:last]]):
            found.append(f"{authority}: entry {entry['sequence']} has another root")
        if before.sequence and before.digest != entry["previous_digest"]:
            found.append(f"{authority}: entry {entry['sequence']} does not follow")
        marks[authority] = mark_of(entry)
    return found


def mark_of(entry: asyncpg.Record) -> Sealed:
    """Return the mark behind an entry."""
    return Sealed(entry["sequence"], entry["up_to_txid"], entry["entry_digest"])


def _order(row: asyncpg.Record) -> tuple[int, str, str, int, int]:
    return row["txid"], row["ticket"], row["scope"], row["number"], row["sequence"]
