"""What a single rule says that cannot be, or cannot be carried out: dates, codes, units, guards.

A pack was right when it was parsed; reference data changes under it. So this looks at values, not
at text: a region that was merged, a unit that is gone, a kind of body that nobody has, a day that
the calendar does not know, and units that a guard will refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from gateway.checking.boxes import Box
from gateway.checking.concrete import picks
from gateway.checking.cover import No
from gateway.checking.model import Check, Finding, Known, Place, Witness
from gateway.checking.space import YES, Dim, Land, bits
from gateway.checking.within import Book, Clause, Question
from gateway.kernel.ids import NATION, UnitId
from gateway.kernel.values import replace
from gateway.reference.regions import Candidates, Resolved
from gateway.reference.units import Unit, UnitRef
from gateway.routing.guards import Watch
from gateway.routing.model import (
    Assign,
    Guard,
    Pack,
    Rule,
    Stage,
    Unless,
    is_effective,
)
from gateway.routing.moment import moment_of

HORIZON_YEARS = 1  # beside this year: the next calendar is published every November
EVER = "长期"  # how long a rule without an end holds
MATTERS_TRIED_MAX = 400  # as many as the catalogue has


@dataclass(slots=True)
class Outcomes:
    """Looks at the rules of one owner, one at a time."""

    book: Book
    land: Land
    known: Known
    guards: Sequence[tuple[Pack, Guard]]
    _of_kind: dict[object, bool] = field(default_factory=dict)
    _by_kind: dict[str, list[Unit]] = field(default_factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Yield what there is to say, question by question."""
        for question in self.book.questions:
            for number, clause in enumerate(question.clauses):
                yield from self._dates(question, number, clause)
                yield from self._codes(clause)
                if isinstance(clause.rule.action, Assign):
                    yield from self._units(question, number, clause, clause.rule.action)
                if question.stages == (Stage.LEAD,) and clause.pack.owner != NATION:
                    yield clause.finding(Check.LONE_LEAD, witness=_example(question, number))

    # --- dates and codes ---------------------------------------------------------------------

    def _dates(self, question: Question, number: int, clause: Clause) -> Iterator[Finding]:
        rule, today = clause.rule, self.book.today
        if rule.effective_to is not None and rule.effective_to <= today:
            yield clause.finding(
                Check.EXPIRED, str(rule.effective_to), no_witness="今后没有能命中的工单"
            )
            return
        if rule.effective_from > today:
            yield clause.finding(
                Check.NOT_YET_VALID,
                str(rule.effective_from),
                witness=_example(question, number),
            )
        if rule.selectors.day_kinds:
            yield from self._calendar(question, number, clause)

    def _calendar(self, question: Question, number: int, clause: Clause) -> Iterator[Finding]:
        rule, calendar = clause.rule, self.land.reference.calendar
        first = max(rule.effective_from, self.book.today)
        last_year = self.book.today.year + HORIZON_YEARS
        ends = rule.effective_to
        days = [first, *(date(year, 1, 1) for year in range(first.year + 1, last_year + 1))]
        unknown = [
            day for day in days if not calendar.is_known(day) and (ends is None or day < ends)
        ]
        if not unknown:
            return
        area = question.areas[number]
        full = self.book.space.full[Dim.DAY]
        masks = (*area.masks[: Dim.DAY], full, *area.masks[Dim.DAY + 1 :])
        witness = self.book.concrete.witness(Box(masks))
        local = moment_of(witness.now, self.land.reference)
        shifted = witness.now + (unknown[0] - local.day)
        yield clause.finding(
            Check.CALENDAR_UNKNOWN,
            "、".join(str(day.year) for day in unknown),
            witness=Witness(witness.facts, witness.authority, shifted),
        )

    def _codes(self, clause: Clause) -> Iterator[Finding]:
        reference, chosen = self.land.reference, clause.rule.selectors
        for code in chosen.regions:
            if code != NATION and code not in self.land.in_use:
                yield clause.finding(
                    Check.REGION_RETIRED,
                    code,
                    self._today(code),
                    is_error=True,
                    no_witness="工单只用现行区划，选不到",
                )
        for code in chosen.matters:
            if code not in reference.matters:
                yield clause.finding(
                    Check.MATTER_UNKNOWN, code, is_error=True, no_witness="目录外的编码没有例子"
                )
        for zone in sorted(chosen.zones):
            if zone not in reference.zones:
                yield clause.finding(
                    Check.ZONE_UNKNOWN, zone, is_error=True, no_witness="表外的功能区没有例子"
                )

    def _today(self, code: str) -> str:
        """Return what became of a region, in words."""
        found = self.land.regions.resolve(code, as_of_year=self.book.today.year)
        match found:
            case Resolved(today):
                return today
            case Candidates(codes):
                return "、".join(codes)
            case _:
                return "从未启用"

    # --- units -------------------------------------------------------------------------------

    def _units(
        self, question: Question, number: int, clause: Clause, action: Assign
    ) -> Iterator[Finding]:
        rule = clause.rule
        for ref in (action.lead, *action.assisting, *rule.notify):
            if ref.unit_id is not None:
                yield from self._named(question, number, clause, ref.unit_id)
        if action.lead.unit_id is None and not self._has_kind(rule, action.lead):
            yield clause.finding(
                Check.KIND_WITHOUT_UNIT,
                str(action.lead),
                witness=_example(question, number),
            )
            return
        yield from self._guarded(question, number, clause, action)

    def _named(
        self, question: Question, number: int, clause: Clause, unit_id: UnitId
    ) -> Iterator[Finding]:
        unit = self.land.reference.units.find(unit_id)
        if unit is None:
            yield clause.finding(
                Check.UNIT_UNKNOWN, unit_id, is_error=True, witness=_example(question, number)
            )
            return
        if self.land.regions.current(unit.region) is None:
            yield clause.finding(
                Check.UNIT_REGION_RETIRED,
                unit_id,
                unit.region,
                self._today(unit.region),
                witness=_example(question, number),
            )
        last = self.known.leaving.get(unit_id)
        ends = clause.rule.effective_to
        if last is not None and (ends is None or last < ends):
            witness = self._on(last, clause, _example(question, number))
            yield clause.finding(
                Check.UNIT_LEAVES, unit_id, str(last), str(ends or EVER), witness=witness
            )

    def _on(self, day: date, clause: Clause, witness: Witness | None) -> Witness | None:
        """Return a witness on a day, when the rule still selects it then."""
        if witness is None:
            return None
        before = moment_of(witness.now, self.land.reference).day
        if day <= before:
            return witness
        moved = Witness(witness.facts, witness.authority, witness.now + (day - before))
        return moved if picks(clause.rule.selectors, moved, self.land.reference) else None

    def _has_kind(self, rule: Rule, ref: UnitRef) -> bool:
        """Tell whether some unit of the kind could be found for some ticket of the rule."""
        areas = rule.selectors.regions
        key = (ref, areas)
        found = self._of_kind.get(key)
        if found is None:
            found = self._of_kind[key] = any(
                self._may_mean(unit, ref, areas) for unit in self._units_of(ref.kind)
            )
        return found

    def _units_of(self, kind: str) -> Sequence[Unit]:
        """Return the units of a kind to which the owner's rules may assign, for some authority."""
        if not self._by_kind:
            regions, owner = self.land.regions, self.book.owner
            for unit in self.land.reference.units:
                is_ours = owner == NATION or regions.is_within(unit.authority, owner)
                if is_ours and not unit.is_desk:
                    self._by_kind.setdefault(unit.kind, []).append(unit)
            self._by_kind.setdefault("", [])
        return self._by_kind.get(kind, ())

    def _may_mean(self, unit: Unit, ref: UnitRef, areas: Sequence[str]) -> bool:
        regions = self.land.regions
        if ref.number not in {None, unit.number}:
            return False
        return not areas or any(
            regions.is_within(unit.region, area) or regions.is_within(area, unit.region)
            for area in areas
        )

    # --- guards ------------------------------------------------------------------------------

    def _guarded(
        self, question: Question, number: int, clause: Clause, action: Assign
    ) -> Iterator[Finding]:
        kind = self._kind_of(action.lead)
        for pack, guard in self.guards:
            if not is_effective(guard, max(self.book.today, clause.rule.effective_from)):
                continue
            witness = self._refused(question, number, guard, kind=kind, action=action)
            if witness is None:
                continue
            yield clause.finding(
                Check.GUARD_REFUSES,
                str(action.lead),
                guard.id,
                pack.pack,
                guard.explanation,
                related=(Place(pack.pack, guard.line, guard.id),),
                witness=witness,
            )

    def _kind_of(self, ref: UnitRef) -> str:
        unit = self.land.reference.units.find(ref.unit_id) if ref.unit_id else None
        return unit.kind if unit else ref.kind

    def _refused(
        self, question: Question, number: int, guard: Guard, *, kind: str, action: Assign
    ) -> Witness | None:
        """Return a ticket whose unit the guard refuses.

        That is no error: the guard holds, and the ticket goes on to the next rule.
        """
        reported = question.clauses[number].rule.selectors.reported_kinds
        if guard.forbids_reported and kind in reported:
            found = self._reported(question, number, guard, action)
            if found is not None:
                return found
        known = self.land.reference.kinds.get(kind)
        is_listed = kind in guard.forbidden_kinds or (
            known is not None and known.management in guard.forbidden_managements
        )
        if not is_listed or (Unless.MANDATE in guard.unless and action.mandate):
            return None
        return self._by_matter(question, number, guard, kind)

    def _by_matter(
        self, question: Question, number: int, guard: Guard, kind: str
    ) -> Witness | None:
        witness = _example(question, number)
        if witness is None:
            return None
        matters, reference = self._matters(question, number), self.land.reference
        is_excepting = Unless.MATTER_OF_KIND in guard.unless
        refused = [
            code
            for code in matters
            if not is_excepting
            or (found := reference.matters.nearest(code)) is None
            or found.lead_kind != kind
        ]
        for code in refused:
            tried = Witness(replace(witness.facts, matter=code), witness.authority, witness.now)
            selected = picks(question.clauses[number].rule.selectors, tried, reference)
            if selected and picks(guard.selectors, tried, reference):
                return tried
        return None

    def _matters(self, question: Question, number: int) -> list[str]:
        tree = self.book.space.matters
        atoms = bits(question.areas[number].masks[Dim.MATTER])
        found = [code for atom in atoms for code in tree.members[atom] if code]
        return found[:MATTERS_TRIED_MAX]

    def _reported(
        self, question: Question, number: int, guard: Guard, action: Assign
    ) -> Witness | None:
        """Return a complaint about the very unit that the rule gives it to."""
        area, reference = question.areas[number], self.land.reference
        atoms = bits(area.masks[Dim.REGION])
        for unit in self._units_of(self._kind_of(action.lead)):
            if action.lead.unit_id not in {None, unit.unit_id}:
                continue
            if not any(unit.region in self.book.space.regions.members[atom] for atom in atoms):
                continue
            box = Box.of(area).limited(Dim.REPORTED, YES)
            result = self.book.concrete.settle(box)
            if isinstance(result, No):
                return None
            facts = replace(
                result.facts, region=unit.region, reported_units=(f"units/{unit.unit_id}",)
            )
            tried = Witness(facts, unit.authority, result.now)
            if (
                picks(question.clauses[number].rule.selectors, tried, reference)
                and picks(guard.selectors, tried, reference)
                and Watch((guard,), facts, reference).find_objection(unit, mandate="")
            ):
                return tried
        return None


def _example(question: Question, number: int) -> Witness | None:
    """Return some ticket that a rule selects, None when it can select none."""
    area = question.areas[number]
    if not all(area.masks):
        return None
    result = question.book.concrete.settle(Box.of(area))
    return None if isinstance(result, No) else result
