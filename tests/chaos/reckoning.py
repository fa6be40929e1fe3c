"""Reconciling a long run piece by piece, so that a wave costs what the wave did.

After each wave the tickets are read whose ledgers grew since the wave before, with their whole
ledgers, and what was sealed since. How far each authority was read is a `Mark`; marks are kept with
the run's own state, so that a run that was interrupted goes on where it was. At the end everything
is read once more from the beginning, in slices: nothing counts because it was looked at before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import asyncpg

from tests.chaos import reconcile
from tests.chaos.reconcile import Part, Sealed, State

TICKETS_A_SLICE = 2_000
ENTRIES_A_SLICE = 500
HOLDS_WITHIN_SECONDS = 10.0  # databases are read in turn: what crosses looks like a fault
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where an authority was read.

    `seen` is the newest transaction whose tickets were looked at, `counted` that of the newest
    hand-over that was counted. A row that is not sealed yet is seen again with its entry.
    """

    sealed: Sealed = field(default_factory=Sealed)
    seen: int = 0
    counted: int = 0

    def as_json(self) -> list[object]:
        """Return it for the state of a run."""
        sealed = self.sealed
        return [
            sealed.sequence,
            sealed.up_to_txid,
            sealed.digest.hex(),
            self.seen,
            self.counted,
        ]

    @classmethod
    def from_json(cls, given: list[object]) -> Mark:
        """Return what `as_json` returned."""
        sequence, up_to, digest, seen, counted = (str(item) for item in given)
        sealed = Sealed(int(sequence), int(up_to), bytes.fromhex(digest))
        return cls(sealed, int(seen), int(counted))


@dataclass(frozen=True, slots=True)
class Place:
    """A node's database and the authorities that live there."""

    dsn: str
    authorities: tuple[str, ...]


@dataclass(slots=True)
class Reckoning:
    """Reads and judges the databases of a long run."""

    places: Mapping[str, Place]
    marks: dict[str, Mark] = field(default_factory=dict)

    async def wave(self, acknowledged: Mapping[str, str]) -> int:
        """Judge what changed since the last wave; return how many hand-overs that were.

        Args:
            acknowledged: the external id by number of every ticket of the run.

        Raises:
            AssertionError: something does not hold.
        """
        end = time.monotonic() + HOLDS_WITHIN_SECONDS
        while True:
            state, found = await self._since(acknowledged)
            if not found:
                return self._move_on(state)
            assert time.monotonic() < end, found[:10]
            # A row may have come with a number below one that was seen: look at all unsealed ones.
            self.marks = {
                code: replace(mark, seen=mark.sealed.up_to_txid)
                for code, mark in self.marks.items()
            }
            await asyncio.sleep(POLL_SECONDS)

    async def whole(self, acknowledged: Mapping[str, str]) -> int:
        """Judge everything from the beginning; return how many tickets are held exactly once.

        Raises:
            AssertionError: something does not hold.
        """
        numbers, held = sorted(await self._tickets() | acknowledged.keys()), 0
        for at in range(0, len(numbers), TICKETS_A_SLICE):
            held += await self._slice(numbers[at : at + TICKETS_A_SLICE], acknowledged)
        for place in self.places.values():
            for authority in place.authorities:
                found = await _ledger(place.dsn, authority)
                assert not found, found[:10]
        return held

    async def _slice(self, tickets: list[str], acknowledged: Mapping[str, str]) -> int:
        end = time.monotonic() + HOLDS_WITHIN_SECONDS
        known = _among(tickets, acknowledged)
        while True:
            state = await reconcile.read(self._databases, Part(tickets, self._authorities))
            found = reconcile.faults(state, known)
            if not found:
                return reconcile.held_once(state, known)
            assert time.monotonic() < end, found[:10]
            await asyncio.sleep(POLL_SECONDS)

    async def _since(self, acknowledged: Mapping[str, str]) -> tuple[State, list[str]]:
        tickets = sorted(await self._touched())
        sealed = {code: mark.sealed for code, mark in self.marks.items()}
        part = Part(tickets, self._authorities, sealed)
        state = await reconcile.read(self._databases, part)
        return state, reconcile.faults(state, _among(tickets, acknowledged), sealed=sealed)

    async def _touched(self) -> set[str]:
        """Return the tickets whose ledgers grew since the last wave, at whichever authority."""
        found: set[str] = set()
        text = "SELECT DISTINCT ticket FROM custody_rows WHERE txid > $1 AND authority = $2"
        for place in self.places.values():
            connection = await asyncpg.connect(place.dsn)
            try:
                for code in place.authorities:
                    mark = self.marks.get(code, Mark())
                    rows = await connection.fetch(text, mark.seen, code)
                    found.update(row["ticket"] for row in rows)
            finally:
                await connection.close()
        return found

    async def _tickets(self) -> set[str]:
        found: set[str] = set()
        for place in self.places.values():
            connection = await asyncpg.connect(place.dsn)
            try:
                rows = await connection.fetch("SELECT DISTINCT ticket FROM chains")
                found.update(row["ticket"] for row in rows)
            finally:
                await connection.close()
        return found

    def _move_on(self, state: State) -> int:
        """Set the marks behind what was read; return how many hand-overs are new."""
        accepted = {
            (row["authority"], row["answer_digest"])
            for row in state.made
            if row["verdict"] == "ACCEPTED"
        }
        fresh = 0
        sealed = {code: mark.sealed for code, mark in self.marks.items()}
        sealed |= {row["authority"]: reconcile.mark_of(row) for row in state.entries}
        newest: dict[str, int] = {}
        for row in state.rows:
            code = row["authority"]
            newest[code] = max(newest.get(code, 0), row["txid"])
            is_accepted = (code, row["subject_digest"]) in accepted and row["kind"] == "Answer"
            fresh += is_accepted and row["txid"] > self.marks.get(code, Mark()).counted
        for place in self.places.values():
            last = max((newest.get(code, 0) for code in place.authorities), default=0)
            for code in place.authorities:
                before, end = self.marks.get(code, Mark()), sealed.get(code, Sealed())
                is_sealed = newest.get(code, 0) <= end.up_to_txid
                seen = max(before.seen, last) if is_sealed else end.up_to_txid
                counted = max(before.counted, newest.get(code, 0))
                self.marks[code] = Mark(end, seen, counted)
        return fresh

    @property
    def _databases(self) -> dict[str, str]:
        return {node: place.dsn for node, place in self.places.items()}

    @property
    def _authorities(self) -> list[str]:
        return [code for place in self.places.values() for code in place.authorities]


def _among(tickets: Iterable[str], acknowledged: Mapping[str, str]) -> dict[str, str]:
    return {number: acknowledged[number] for number in tickets if number in acknowledged}


async def _ledger(dsn: str, authority: str) -> list[str]:
    """Return what is wrong with the entries of an authority, from the first one on."""
    found: list[str] = []
    mark = Sealed()
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            entries = await connection.fetch(
                "SELECT * FROM ledger_entries WHERE authority = $1 AND sequence > $2"
                " ORDER BY sequence LIMIT $3",
                authority,
                mark.sequence,
                ENTRIES_A_SLICE,
            )
            if not entries:
                return found
            last = reconcile.mark_of(entries[-1])
            rows = await connection.fetch(
                "SELECT * FROM custody_rows WHERE txid > $1 AND txid <= $2 AND authority = $3",
                mark.up_to_txid,
                last.up_to_txid,
                authority,
            )
            found += reconcile.wrong_entries(rows, entries, {authority: mark})
            mark = last
    finally:
        await connection.close()
