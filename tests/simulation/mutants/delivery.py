"""Mutants of delivery, storage and ledgers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.custody import ledger, machine, store, writer
from gateway.database.memory import MemoryDatabase, _MemoryUnit
from gateway.database.timers import TIMERS
from gateway.delivery import inbox, pump
from gateway.delivery.codec import instant_to_pb
from gateway.delivery.store import INBOX, OUTBOX
from gateway.trust import statements
from hotline.custody.v1 import custody_pb2
from tests.simulation.mutants.base import Mutant, caught, every


def _receipt_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The peer is told `received` although the transaction never committed."""
    original = inbox.Inbox._in_one_unit
    is_due = every(5)

    async def in_one_unit(self: inbox.Inbox, items: Any) -> None:
        if not is_due():
            await original(self, items)
            return
        for item in items:
            if item.place is not None and item.error is None:
                place = item.place
                item.receipt = self._receipt(place.target, place.digest, None, deferred=False)
                item.outcome = "received"

    patch.setattr(inbox.Inbox, "_in_one_unit", in_one_unit)


def _failed_delivery_is_receipted(patch: pytest.MonkeyPatch) -> None:
    """What could not be handled yet is receipted as received."""
    original = inbox.Inbox._answer_unstored

    def answer_unstored(
        self: inbox.Inbox, item: Any, place: Any, *given: Any, **named: Any
    ) -> None:
        original(self, item, place, *given, **named)
        if named.get("deferred"):
            item.receipt = self._receipt(place.target, place.digest, None, deferred=False)

    patch.setattr(inbox.Inbox, "_answer_unstored", answer_unstored)


def _early_statements_are_refused(patch: pytest.MonkeyPatch) -> None:
    """What overtook another statement is refused for ever instead of deferred."""
    patch.setattr(inbox, "_is_for_ever", lambda _error: True)


def _digests_expire(patch: pytest.MonkeyPatch) -> None:
    """Dedup expiry: what was received is forgotten after half an hour."""
    original = inbox.Inbox._in_one_unit

    async def in_one_unit(self: inbox.Inbox, items: Any) -> None:
        oldest = self._business.now() - timedelta(minutes=30)
        async with self._database.unit() as uow:
            for row in self._database.rows(INBOX):  # type: ignore[attr-defined] # in memory
                if row.recorded < oldest:
                    uow.delete(INBOX, row.target, row.statement_digest)
        await original(self, items)

    patch.setattr(inbox.Inbox, "_in_one_unit", in_one_unit)


def _repeat_is_answered_anew(patch: pytest.MonkeyPatch) -> None:
    """A repeat gets a fresh receipt instead of the stored one."""
    original = inbox.Inbox._answer

    async def answer(self: inbox.Inbox, uow: Any, item: Any, place: Any, now: Any) -> None:
        await original(self, uow, item, place, now)
        if item.outcome == "repeated":
            later = replace(place, digest=place.digest)
            fresh = self._receipt(later.target, later.digest, None, deferred=False)
            item.receipt = fresh + b"\x1a\x00" if fresh == item.receipt else fresh

    patch.setattr(inbox.Inbox, "_answer", answer)


def _outbox_emptied_by_sending(patch: pytest.MonkeyPatch) -> None:
    """A row is removed when it is sent, not when it is receipted."""
    original = pump.Pump._next_batch

    async def next_batch(self: pump.Pump, node: Any) -> Any:
        batch = await original(self, node)
        async with self._database.unit() as uow:
            for row in batch:
                uow.delete(OUTBOX, row.position)
        return batch

    patch.setattr(pump.Pump, "_next_batch", next_batch)


def _reader_skips_gaps(patch: pytest.MonkeyPatch) -> None:
    """The reader goes on after the greatest position it saw, over what is still behind it."""
    original = pump.Pump._next_batch
    seen: dict[tuple[int, Any], int] = {}

    async def next_batch(self: pump.Pump, node: Any) -> Any:
        batch = await original(self, node)
        place = (id(self._database), node)
        last = seen.get(place, 0)
        ahead = [row for row in batch if row.position > last]
        if ahead:
            seen[place] = max(row.position for row in ahead)
        return ahead

    patch.setattr(pump.Pump, "_next_batch", next_batch)


def _commit_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    """Every now and then the storage says that it committed, and did not."""
    original = _MemoryUnit._apply
    is_due = every(40)

    def apply(self: Any) -> None:
        if is_due():
            return
        original(self)

    patch.setattr(_MemoryUnit, "_apply", apply)


def _half_a_commit(patch: pytest.MonkeyPatch) -> None:
    """The statement is kept but not what it did: some commits lose the rows of chains."""
    original = _MemoryUnit._apply
    is_due = every(9)

    def apply(self: Any) -> None:
        touches = {store.CHAINS.name, store.STATEMENTS.name} <= self._overlays.keys()
        if touches and is_due():
            self._overlays.pop(store.CHAINS.name)
        original(self)

    patch.setattr(_MemoryUnit, "_apply", apply)


def _timers_die_with_the_process(patch: pytest.MonkeyPatch) -> None:
    """Timers are kept in memory: a restart forgets them."""
    original = MemoryDatabase.abandon

    def abandon(self: Any) -> None:
        original(self)
        if TIMERS.name in self._stored:
            self._stored[TIMERS.name].rows.clear()

    patch.setattr(MemoryDatabase, "abandon", abandon)


def _ledger_row_skipped(patch: pytest.MonkeyPatch) -> None:
    """A row of the ledger is counted but not written."""
    original = writer.StepWriter._append
    is_due = every(11)

    def append(self: Any, uow: Any, chain: Any, **given: Any) -> Any:
        if not is_due():
            return original(self, uow, chain, **given)
        return replace(chain, rows=chain.rows + 1, chain_head=given["subject"])

    patch.setattr(writer.StepWriter, "_append", append)


def _row_forgets_the_one_before(patch: pytest.MonkeyPatch) -> None:
    """The digest of a row does not cover the row before it."""
    original = ledger.row_digest
    patch.setattr(ledger, "row_digest", lambda row: original(replace(row, previous=b"")))


def _entry_misses_a_row(patch: pytest.MonkeyPatch) -> None:
    """An entry of the authority's ledger leaves out the newest row that it claims."""
    original = ledger.merkle_root
    patch.setattr(ledger, "merkle_root", lambda leaves: original(leaves[:-1]))


def _records_do_not_chain(patch: pytest.MonkeyPatch) -> None:
    """Both sides compute the record of a term without the record before it."""
    original = statements.record

    def record(*, previous_record: Any, first_digest: bytes, second_digest: Any) -> bytes:
        is_first = previous_record is None
        before = None if is_first else bytes(32)
        return original(
            previous_record=before, first_digest=first_digest, second_digest=second_digest
        )

    patch.setattr(writer, "record", record)


def _clock_reset_by_a_hand_over(patch: pytest.MonkeyPatch) -> None:
    """Each offer gives the citizen's clock another hour."""
    original = machine.offer

    def offer(chain: Any, terms: Any, **given: Any) -> machine.Step:
        header = custody_pb2.TicketHeader.FromString(terms.header)
        later = header.due_time.ToDatetime() + timedelta(hours=1)
        header.due_time.CopyFrom(instant_to_pb(later.replace(tzinfo=terms.window_end.tzinfo)))
        moved = header.SerializeToString(deterministic=True)
        return original(chain, replace(terms, header=moved), **given)

    patch.setattr(machine, "offer", offer)


def _text_in_a_statement(patch: pytest.MonkeyPatch) -> None:
    """An offer says in its body what only its block may hold."""
    original = machine.offer

    def offer(chain: Any, terms: Any, **given: Any) -> machine.Step:
        return original(chain, replace(terms, rule="a synthetic case"), **given)

    patch.setattr(machine, "offer", offer)


MUTANTS = (
    Mutant("receipt before commit", _receipt_before_commit, caught("I1")),
    Mutant("failed is receipted", _failed_delivery_is_receipted, caught("I1"), seed=2),
    Mutant("early is refused", _early_statements_are_refused, caught("S13"), seed=3),
    Mutant("digests expire", _digests_expire, caught("I1", "I3")),
    Mutant("repeat answered anew", _repeat_is_answered_anew, caught("I3")),
    Mutant(
        "outbox emptied early", _outbox_emptied_by_sending, caught("L0", "L1", "L2", "L3"), seed=1
    ),
    Mutant("reader skips gaps", _reader_skips_gaps, caught("L0")),
    Mutant("commit not durable", _commit_is_not_durable, caught("I1", "I4", "S6", "S13")),
    Mutant(
        "half a commit", _half_a_commit, caught("I4", "S4", "S13", "ASSERTION", "L0", "L2"), seed=6
    ),
    Mutant("timers die", _timers_die_with_the_process, caught("I6"), seed=6),
    Mutant("ledger row skipped", _ledger_row_skipped, caught("I4")),
    Mutant("row stands alone", _row_forgets_the_one_before, caught("I4")),
    Mutant("entry misses a row", _entry_misses_a_row, caught("I4")),
    Mutant("records do not chain", _records_do_not_chain, caught("S13", "L4", "ASSERTION")),
    Mutant("clock reset", _clock_reset_by_a_hand_over, caught("I9")),
    Mutant("text in a statement", _text_in_a_statement, caught("I10")),
)
