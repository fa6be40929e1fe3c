"""Mutants of arbitration: deadlines, copies, words, objections, precedents, and who may rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from gateway.arbitration import copies as case_copies
from gateway.arbitration import exchange, exchange_codec, machine, procedure, service, watching
from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.custodians import CustodyRuler
from gateway.arbitration.deadlines import stage_due
from gateway.arbitration.exchange import Exchange
from gateway.arbitration.precedents import casebook
from gateway.arbitration.states import CASE, Step
from gateway.custody.filings import Filings
from gateway.database import timers
from gateway.kernel.codes import CaseEntryKind, CaseState
from gateway.kernel.errors import ResourceNotFound
from tests.simulation.mutants.base import Mutant, caught, nothing

STEPS = 1000  # a dispute takes days: its rules are missed later than those of one hand-over


def _no_default(patch: pytest.MonkeyPatch) -> None:
    """The alarm rings, and nobody rules."""
    patch.setattr(service.Arbitration, "rule_by_default", nothing)


def _stage_timer_dropped(patch: pytest.MonkeyPatch) -> None:
    """No clock rings at the end of a stage."""
    original = timers.schedule

    def schedule(uow: Any, *, kind: str, key: str, due: Any) -> None:
        if kind != watching.STAGE_TIMER:
            original(uow, kind=kind, key=key, due=due)

    patch.setattr(watching, "schedule", schedule)


def _a_late_clock_lengthens_a_stage(patch: pytest.MonkeyPatch) -> None:
    """A stage counts from when the clock of the one before could ring."""

    async def handle(self: Any, uow: Any, *, key: str, now: Any) -> None:
        case = await self.case_at(uow, key)
        if case is not None:
            stages = partial(stage_due, facts=case.facts, entered=now, calendar=self._calendar())
            changed = procedure.lapse(case, stage_due=stages, now=now)
            await self._cases.save(uow, changed)
            watching.watch(uow, changed)

    patch.setattr(watching.StageHandler, "handle", handle)


def _words_in_a_forgotten_case_wait(patch: pytest.MonkeyPatch) -> None:
    """Words wait for the filing of a case that a restored arbiter forgot."""

    async def wait(self: Any, uow: Any, delivered: Any, key: Any, **_given: Any) -> None:
        del self, uow, delivered
        raise ResourceNotFound(kind="case", name=key.name)

    patch.setattr(Exchange, "_forgotten", wait)


def _words_prolong_a_stage(patch: pytest.MonkeyPatch) -> None:
    """Whoever speaks gets the time of the stage once more."""
    original = procedure.say

    def say(case: Any, entry: Any, *, stage_due: Any) -> Any:
        said = original(case, entry, stage_due=stage_due)
        if said.state is case.state and said.stage_due is not None:
            return replace(said, stage_due=stage_due(said.state))
        return said

    patch.setattr(procedure, "say", say)


def _the_partys_clock_counts(patch: pytest.MonkeyPatch) -> None:
    """When a party says that it spoke, it spoke: an hour ago is in time."""
    original = exchange_codec.said_entry

    def said_entry(said: Any, party: Any, words: Any, *, now: Any) -> Any:
        return original(said, party, words, now=now - timedelta(hours=1))

    patch.setattr(exchange_codec, "said_entry", said_entry)


def _copy_keeps_the_older_revision(patch: pytest.MonkeyPatch) -> None:
    """A party keeps the first file that it got of a case."""
    original = Copies.keep

    async def keep(self: Copies, uow: Any, authority: Any, case: Any, **given: Any) -> None:
        if await self.find(uow, authority, case.key.case) is None:
            await original(self, uow, authority, case, **given)

    patch.setattr(Copies, "keep", keep)


def _any_revision_is_newer(patch: pytest.MonkeyPatch) -> None:
    """A file that comes late replaces the newer one."""
    original = Copies.keep

    async def keep(self: Copies, uow: Any, authority: Any, case: Any, **given: Any) -> None:
        uow.delete(case_copies.COPIES, authority, case.key.scope, case.key.case)
        await original(self, uow, authority, case, **given)

    patch.setattr(Copies, "keep", keep)


def _objection_suspends(patch: pytest.MonkeyPatch) -> None:
    """While an objection is open the ticket is taken for nobody's."""
    original = procedure.say

    def say(case: Any, entry: Any, *, stage_due: Any) -> Any:
        said = original(case, entry, stage_due=stage_due)
        if entry.kind is CaseEntryKind.OBJECTION:
            return replace(said, responsible=case.path[0] if case.path else entry.party)
        return said

    patch.setattr(procedure, "say", say)


def _second_objection_counts(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether there was an objection before, or whether it is in time."""
    patch.setattr(procedure, "check_objection", lambda *given, **named: None)


def _late_position_counts(patch: pytest.MonkeyPatch) -> None:
    """A position is put on record whatever state the case is in."""
    original = procedure.say

    def say(case: Any, entry: Any, *, stage_due: Any) -> Any:
        if entry.kind is CaseEntryKind.POSITION:
            number = len(case.entries) + 1
            said = (*case.entries, replace(entry, number=number))
            return replace(case, entries=said, revision=case.revision + 1)
        return original(case, entry, stage_due=stage_due)

    patch.setattr(procedure, "say", say)


def _anybody_speaks_for_anybody(patch: pytest.MonkeyPatch) -> None:
    """Whose person an author is is not asked."""
    patch.setattr(exchange, "_check_author", lambda author, issuer: None)


def _anybody_is_a_party(patch: pytest.MonkeyPatch) -> None:
    """Whoever speaks is heard, also when the case is none of its business."""
    patch.setattr(procedure, "check_party", lambda case, party: None)


def _each_filer_has_a_case_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """The number of a case names its filer, and a chain may have several."""
    original = Filings.file_case

    async def file_case(self: Filings, uow: Any, chain: Any, **given: Any) -> Any:
        said = self._after_consent

        async def after_consent(_uow: Any, _chain: Any) -> str:
            return f".{chain.key.authority}"

        self._after_consent = after_consent  # type: ignore[method-assign,assignment] # for one call
        try:
            return await original(self, uow, chain, **given)
        finally:
            self._after_consent = said  # type: ignore[method-assign] # as it was

    patch.setattr(Filings, "file_case", file_case)
    patch.setattr(Cases, "open_on", nothing_known)


async def nothing_known(*_given: Any, **_named: Any) -> None:
    """Know nothing."""


def _foreign_file_is_kept(patch: pytest.MonkeyPatch) -> None:
    """A party believes a case file of anybody who may sign statements."""

    async def take_file(self: Exchange, uow: Any, delivered: Any, now: Any) -> None:
        del now
        content, commitment = exchange_codec.case_file_of(delivered.statement.body)
        words = self._opened(delivered, commitment).block
        await self._copies.keep(
            uow,
            delivered.target,
            exchange_codec.case_of_file(content),
            signed=delivered.signed,
            words=words,
        )

    patch.setattr(Exchange, "_take_file", take_file)


def _ruling_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """The parties are told everything but the ruling."""
    original = Exchange.tell

    def tell(self: Exchange, uow: Any, case: Any) -> None:
        if not case.rulings:
            original(self, uow, case)

    patch.setattr(Exchange, "tell", tell)


def _precedent_of_another_key(patch: pytest.MonkeyPatch) -> None:
    """The most alike of the precedents decides, also when something differs."""
    original = casebook.Casebook._compared

    async def compared(self: Any, *given: Any, **named: Any) -> Any:
        found = await original(self, *given, **named)
        return [replace(item, differs=()) for item in found]

    patch.setattr(casebook.Casebook, "_compared", compared)


def _clock_rules_as_it_likes(patch: pytest.MonkeyPatch) -> None:
    """A ruling gets into the case that custody never numbered."""

    async def carry_out(self: Any, uow: Any, case: Any, order: Any, *, now: Any) -> int:
        del self, uow, order, now
        return len(case.rulings) + 1

    patch.setattr(CustodyRuler, "carry_out", carry_out)


def _review_never_ends(patch: pytest.MonkeyPatch) -> None:
    """A review is over when the panel says so."""
    original = procedure.lapse

    def lapse(case: Any, **given: Any) -> Any:
        return case if case.state is CaseState.REVIEW else original(case, **given)

    patch.setattr(procedure, "lapse", lapse)


def _ruled_is_ruled_by_objecting(patch: pytest.MonkeyPatch) -> None:
    """An objection takes the case back to where the panel began."""
    table = {**CASE, (CaseState.RULED, Step.OBJECT): CaseState.REVIEW}
    table |= {(CaseState.CLOSED, Step.OBJECT): CaseState.REVIEW}
    patch.setattr(procedure, "CASE", table)


def _arbiter_is_responsible(patch: pytest.MonkeyPatch) -> None:
    """While a dispute lasts its arbiter is named as who is responsible."""
    patch.setattr(machine, "_custodian", lambda filing: filing.key.scope)


MUTANTS = (
    Mutant("arbiter responsible", _arbiter_is_responsible, caught("D3")),
    Mutant("default never given", _no_default, caught("D2"), steps=STEPS),
    Mutant("stage timer dropped", _stage_timer_dropped, caught("D1")),
    Mutant("forgotten case", _words_in_a_forgotten_case_wait, caught("L0"), seed=97, steps=2000),
    Mutant("words prolong a stage", _words_prolong_a_stage, caught("D9"), steps=STEPS),
    Mutant("the party's clock counts", _the_partys_clock_counts, caught("D9"), steps=STEPS),
    Mutant("older file kept", _copy_keeps_the_older_revision, caught("D4")),
    Mutant("late file kept", _any_revision_is_newer, caught("D4")),
    Mutant("ruling not told", _ruling_is_not_told, caught("D4")),
    Mutant("objection suspends", _objection_suspends, caught("D8"), steps=STEPS),
    Mutant("objection starts again", _ruled_is_ruled_by_objecting, caught("D5"), steps=STEPS),
    Mutant("second objection", _second_objection_counts, caught("D5", "D9"), steps=STEPS),
    Mutant("late position", _late_position_counts, caught("D5"), steps=STEPS),
    Mutant("anybody speaks", _anybody_speaks_for_anybody, caught("D5"), steps=STEPS),
    Mutant("anybody is a party", _anybody_is_a_party, caught("D5"), steps=STEPS),
    Mutant("second open case", _each_filer_has_a_case_of_its_own, caught("D6"), steps=STEPS),
    Mutant("foreign file kept", _foreign_file_is_kept, caught("D5", "D7"), steps=STEPS),
    Mutant("ruling without number", _clock_rules_as_it_likes, caught("D7")),
    Mutant("precedent of another key", _precedent_of_another_key, caught("D10"), steps=2 * STEPS),
    Mutant("review never ends", _review_never_ends, caught("D2"), steps=STEPS),
)
LATE_CLOCK = Mutant("late clock", _a_late_clock_lengthens_a_stage, caught("D9"))
"""Met in no seed of some hundred: a test of tests/contract/arbitration must notice it."""
