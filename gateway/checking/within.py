"""What rules of one owner do to each other: shadowed, duplicate, overlapping, dead.

Rules compete in three questions (`routing.model.Stage`): which region leads, where the ticket goes
(emergency lines first, then what holds wherever the place is, then the owner's own place), and the
diversions. In each the first that can be carried out wins, so a later rule is

* *shadowed* when one earlier rule has every ticket that it has, an error when the earlier one
  always decides; a *duplicate* when the two also do the same;
* *shadowed by a union* when earlier rules have every ticket together (see `cover`), and left with
  *only unspecific* tickets when they have all that name a smallest region and matter;
* *overlapping* when it shares some tickets, and neither has all of the other's, with an earlier
  rule that does something else; unless rules before both take what they share. A narrow rule before
  a wide one is how exceptions are written, and no finding;
* *dead* when it can have no ticket at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.checking.bits import Bits
from gateway.checking.boxes import Box
from gateway.checking.concrete import Concrete
from gateway.checking.cover import No, leftover
from gateway.checking.implied import condition_of
from gateway.checking.model import RELATED_MAX, Check, Finding, Place, Witness
from gateway.checking.solving import Solver
from gateway.checking.space import Area, Dim, Land, Space, bits, numbers
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.routing.model import (
    Condition,
    External,
    Lead,
    Legal,
    Offer,
    Pack,
    Refer,
    Rule,
    Stage,
    Triage,
)

MAIN = (Stage.AT_ONCE, Stage.ANYWHERE, Stage.HERE)
QUESTIONS = (MAIN, (Stage.LEAD,), (Stage.DIVERT,), (Stage.HELP,), (Stage.SPLIT,))
COMPETING = 3  # the first of these questions; help and splitting have no loser
QUICK_DIMS = (Dim.REGION, Dim.MATTER, Dim.TYPE, Dim.URGENCY, Dim.CHANNEL)
QUICK_ATOMS_MAX = 8
NO_TICKET = "没有能命中的工单"
NAMED_MAX = 5  # rules named in a text; the others are in `related`
DIM_NAMES = {
    Dim.REGION: "区划均已撤销或在本机构辖区之外",
    Dim.MATTER: "事项不存在",
    Dim.DAY: "有效期内没有这样的日子",
    Dim.MINUTE: "时段为空",
    Dim.REPORTED: "既要求无被反映单位，又限定其类别",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule in its pack."""

    pack: Pack
    rule: Rule

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.pack.pack, self.rule.line, self.rule.id)

    def finding(
        self,
        code: Check,
        *values: str,
        is_error: bool = False,
        related: tuple[Place, ...] = (),
        witness: Witness | None = None,
        no_witness: str = "",
        tickets: int = 0,
    ) -> Finding:
        """Return a finding about this rule."""
        return Finding(
            code=code,
            pack=self.pack.pack,
            line=self.rule.line,
            rule=self.rule.id,
            is_error=is_error,
            values=values,
            related=related,
            witness=witness,
            no_witness=no_witness or ("" if witness else NO_TICKET),
            tickets=tickets,
        )


def conditions_of(rules: Iterable[Rule]) -> dict[str, Condition]:
    """Return the conditions of rules by their texts."""
    found = (condition_of(rule) for rule in rules)
    return {condition.text: condition for condition in found if condition is not None}


class Book:
    """All packs of one owner, in one space, ready to be looked at."""

    def __init__(
        self,
        packs: Sequence[Pack],
        *,
        land: Land,
        now: Instant,
        solver: Solver,
        above: Sequence[Pack] = (),
    ) -> None:
        """Put the rules into their questions and order, and index each question.

        `above` are the packs that are asked after the owner's: they cut the space too.
        """
        self.packs = tuple(sorted(packs, key=lambda pack: pack.pack))
        self.owner: AuthorityCode = self.packs[0].owner
        self.today: date = day_of(now)
        clauses = [Clause(pack, rule) for pack in self.packs for rule in pack.rules]
        self.clauses = clauses
        self.above = [Clause(pack, rule) for pack in above for rule in pack.rules]
        every = [*clauses, *self.above]
        self.space = Space(
            [clause.rule for clause in every], owner=self.owner, land=land, today=self.today
        )
        conditions = conditions_of(clause.rule for clause in every)
        self.concrete = Concrete(self.space, conditions, self.owner, now, solver)
        staged: dict[Stage, list[Clause]] = {}
        for clause in clauses:
            staged.setdefault(clause.rule.stage, []).append(clause)
        self.questions = tuple(
            question
            for number, stages in enumerate(QUESTIONS)
            if (question := self._question(stages, staged, is_competing=number < COMPETING)).clauses
        )

    def _question(
        self,
        stages: tuple[Stage, ...],
        staged: Mapping[Stage, Sequence[Clause]],
        *,
        is_competing: bool,
    ) -> Question:
        ranked = [
            (number, clause)
            for number, stage in enumerate(stages)
            for clause in staged.get(stage, ())
        ]
        clauses = [clause for _, clause in ranked]
        areas = [
            self.space.area(clause.rule, is_home=stages[number] is Stage.HERE)
            for number, clause in ranked
        ]
        return Question(self, clauses, areas, stages, is_competing=is_competing)

    def findings(self) -> Iterator[Finding]:
        """Yield what the owner's rules do to each other."""
        for question in self.questions:
            yield from question.findings()


class Question:
    """The rules of one owner that compete, in the order in which they are asked."""

    def __init__(
        self,
        book: Book,
        clauses: Sequence[Clause],
        areas: Sequence[Area],
        stages: tuple[Stage, ...],
        *,
        is_competing: bool,
    ) -> None:
        """Index the areas."""
        self.book, self.clauses, self.areas = book, clauses, areas
        self.stages, self._is_competing = stages, is_competing
        self.bits = Bits(areas, book.space.full)
        self._leaf = book.space.leaf()
        self._outcomes: dict[object, list[int]] = {}
        for number, clause in enumerate(clauses):
            action = clause.rule.action
            self._outcomes.setdefault(action, []).append(number)
        self._same = self._same_outcomes()

    def _same_outcomes(self) -> list[int]:
        """Return for each rule which rules do the same."""
        found = [0] * len(self.clauses)
        for numbers_of in self._outcomes.values():
            rules = sum(1 << number for number in numbers_of)
            for number in numbers_of:
                found[number] = rules
        return found

    def findings(self) -> Iterator[Finding]:
        """Yield what there is to say about each rule, in their order."""
        for number, clause in enumerate(self.clauses):
            ends = clause.rule.effective_to
            if ends is not None and ends <= self.book.today:
                continue  # that it is over is said elsewhere
            dead = self._dead(clause, self.areas[number])
            if dead is not None:
                yield dead
            elif self._is_competing:
                yield from self._competing(number, clause)

    # --- dead --------------------------------------------------------------------------------

    def _dead(self, clause: Clause, area: Area) -> Finding | None:
        for dim, name in DIM_NAMES.items():
            if not area.masks[dim]:
                return clause.finding(Check.DEAD, name, is_error=True)
        if area.condition is None:
            return None
        result = self.book.concrete.settle(Box.of(area))
        if result is No.NONE:
            text = f"条件式 {area.condition} 在此范围内永不成立"
            return clause.finding(Check.DEAD, text, is_error=True)
        if result is No.UNKNOWN:
            return self._undecided(clause, "条件式能成立")
        return None

    def _undecided(self, clause: Clause, what: str) -> Finding:
        reason = self.book.concrete.reason or "超出分析上限"
        return clause.finding(Check.UNDECIDED, what, reason, no_witness="未能判定")

    # --- with the rules before it ------------------------------------------------------------

    def _competing(self, number: int, clause: Clause) -> Iterator[Finding]:
        area = self.areas[number]
        before = self.bits.meeting(area.masks) & ((1 << number) - 1)
        if not before:
            return
        whole = self.bits.containing(area) & before
        if self.stages == (Stage.LEAD,):
            # The first whose fact is given wins, so only the same fact hides.
            before &= self._same[number]
            whole &= before
        if whole:
            yield self._shadowed(clause, area, numbers(whole & -whole)[0])
            return
        if not before:
            return
        hidden = self._hidden(clause, area, before)
        if hidden is not None:
            yield hidden
            if hidden.code is Check.SHADOWED_BY_UNION:
                return
        if self.stages is MAIN:
            yield from self._overlapping(number, clause, before)

    def _shadowed(self, clause: Clause, area: Area, earlier: int) -> Finding:
        first = self.clauses[earlier]
        is_same = first.rule.action == clause.rule.action
        is_equal = is_same and self.areas[earlier] == area
        return clause.finding(
            Check.DUPLICATE if is_equal else Check.SHADOWED,
            first.rule.id,
            str(first.rule.line),
            is_error=_always_decides(first, clause),
            related=(first.place,),
            witness=self._any_of(Box.of(area)),
        )

    def _any_of(self, box: Box) -> Witness:
        result = self.book.concrete.settle(box)
        return self.book.concrete.witness(box) if isinstance(result, No) else result

    def _hidden(self, clause: Clause, area: Area, before: int) -> Finding | None:
        """Return the finding that rules before it take all tickets together, or nearly."""
        box = Box.of(area)
        region, matter = self._leaf
        leaf = box.limited(Dim.REGION, region).limited(Dim.MATTER, matter)
        if area.condition is None and leaf.is_possible and self._is_open(leaf, before):
            return None
        others = numbers(before)
        areas = [self.areas[each] for each in others]
        concrete = self.book.concrete
        is_covered = False
        if leaf.is_possible:
            concrete.is_leaf = True
            left = leftover(leaf, areas, concrete.possible)
            concrete.is_leaf = False
            if left.found is not None:
                return None
            is_covered = left.is_covered
        rest = leftover(box, areas, concrete.settle)
        related = tuple(self.clauses[each].place for each in others[:RELATED_MAX])
        named = "、".join(place.rule for place in related[:NAMED_MAX])
        if rest.is_covered:
            is_error = all(_always_decides(self.clauses[each], clause) for each in others)
            return clause.finding(
                Check.SHADOWED_BY_UNION,
                str(len(others)),
                named,
                is_error=is_error,
                related=related,
                witness=self._any_of(box),
            )
        if rest.found is not None and is_covered:
            return clause.finding(
                Check.ONLY_UNSPECIFIC,
                str(len(others)),
                named,
                related=related,
                witness=rest.found,
            )
        return self._undecided(clause, "被前面的规则合起来遮蔽") if rest.is_unknown else None

    def _is_open(self, box: Box, before: int) -> bool:
        """Tell quickly that some atom of the box is in none of the rules before."""
        for dim in QUICK_DIMS:
            for atom in bits(box.masks[dim])[:QUICK_ATOMS_MAX]:
                if not before & self.bits.at(dim, atom):
                    return True
        return False

    def _overlapping(self, number: int, clause: Clause, before: int) -> Iterator[Finding]:
        area = self.areas[number]
        others = before & ~self._same[number]
        others &= ~self.bits.inside(area, others)
        candidates = numbers(others)
        shared = {
            each: box
            for each in candidates[:RELATED_MAX]
            if (box := self._shared(each, area, before)) is not None
        }
        if not shared:
            return
        found = list(shared)
        witness = self._any_of(shared[found[0]])
        related = tuple(self.clauses[each].place for each in found)
        named = "、".join(place.rule for place in related[:NAMED_MAX])
        more = "起" if len(candidates) > RELATED_MAX else ""
        yield clause.finding(
            Check.OVERLAP, f"{len(found)}{more}", named, related=related, witness=witness
        )

    def _shared(self, earlier: int, area: Area, before: int) -> Box | None:
        """Return tickets that both have and no rule before both, if there are some."""
        box = Box.of(area).within(self.areas[earlier])
        if box is None:
            return None
        first = before & ((1 << earlier) - 1)
        if first:
            first &= self.bits.meeting(box.masks)
        if not first and not box.conditions:
            return box
        areas = [self.areas[number] for number in numbers(first)]
        return leftover(box, areas, self.book.concrete.possible).box


def _always_decides(first: Clause, later: Clause) -> bool:
    """Tell whether a rule that selects a ticket also decides it, whatever units there are."""
    match first.rule.action:
        case Refer() | External() | Triage() | Legal():
            return True
        case Lead() as lead:
            return lead == later.rule.action
        case Offer(authority=authority):
            return authority is not None and first.pack.owner not in {authority, NATION}
        case _:
            return False
