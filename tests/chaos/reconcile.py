"""What must hold once everything has healed, read out of the databases and by no service of ours.

Every acknowledged ticket is there once, is held by exactly one authority, and nothing is pending;
both sides of every hand-over recorded the same answer; every ledger row names the one before and is
covered by a signed entry or young; nothing waits for a peer, nobody was refused or accused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

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


async def read(databases: Mapping[str, str]) -> State:
    """Read the databases, by node name."""
    state = State()
    for node, dsn in databases.items():
        connection = await asyncpg.connect(dsn)
        try:
            state.chains += await connection.fetch("SELECT * FROM chains")
            state.copies += await connection.fetch(
                "SELECT authority, number, origin, external_id, followed FROM ticket_copies"
            )
            state.made += await connection.fetch("SELECT * FROM offers_made")
            state.answered += await connection.fetch("SELECT * FROM offers_answered")
            state.rows += await connection.fetch(
                "SELECT * FROM custody_rows ORDER BY authority, ticket, scope, number, sequence"
            )
            state.entries += await connection.fetch(
                "SELECT * FROM ledger_entries ORDER BY authority, sequence"
            )
            state.waiting[node] = await connection.fetchval("SELECT count(*) FROM outbox")
            for table in ("refusals_received", "evidence"):
                state.accused += [
                    f"{node}: {row['kind']} {row['reason']}"
                    for row in await connection.fetch(f"SELECT kind, reason FROM {table}")
                ]
        finally:
            await connection.close()
    return state


def open_work(state: State, acknowledged: Collection[str]) -> list[str]:
    """Return what is still under way; empty when all has settled."""
    work = [f"{count} wait at {node}" for node, count in state.waiting.items() if count]
    pending = [row for row in state.chains if row["pending_epoch"] is not None]
    work += [f"{row['ticket'][-6:]} is {row['holding']}" for row in pending[:5]]
    holders = _holders(state)
    missing = [number for number in acknowledged if len(holders[number]) != 1]
    work += [f"{number} is held by {sorted(holders[number])}" for number in missing[:5]]
    return work


def faults(state: State, acknowledged: Mapping[str, str]) -> list[str]:
    """Return everything that does not hold; `acknowledged` gives the external id by number."""
    found = open_work(state, acknowledged)
    found += state.accused
    found += _doubled(state, acknowledged)
    found += _disagreeing(state)
    found += _broken_ledgers(state)
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
    by_authority: dict[str, list[asyncpg.Record]] = defaultdict(list)
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
        by_authority[row["authority"]].append(row)
    return found + _wrong_entries(state, by_authority)


def _wrong_entries(state: State, rows: Mapping[str, list[asyncpg.Record]]) -> list[str]:
    found: list[str] = []
    since: Counter[str] = Counter()
    previous: dict[str, bytes] = {}
    for entry in state.entries:
        authority = entry["authority"]
        covered = sorted(
            (
                row
                for row in rows[authority]
                if since[authority] < row["txid"] <= entry["up_to_txid"]
            ),
            key=lambda row: (
                row["txid"],
                row["ticket"],
                row["scope"],
                row["number"],
                row["sequence"],
            ),
        )
        if entry["root"] != merkle_root([row["row_digest"] for row in covered]):
            found.append(f"{authority}: entry {entry['sequence']} has another root")
        if authority in previous and previous[authority] != entry["previous_digest"]:
            found.append(f"{authority}: entry {entry['sequence']} does not follow")
        since[authority], previous[authority] = entry["up_to_txid"], entry["entry_digest"]
    return found
