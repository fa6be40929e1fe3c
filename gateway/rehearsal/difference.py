"""Two versions of a pack compared by meaning: which tickets another rule would decide.

A ticket moves when the first rule that selects it is another one than before. For a rule that both
versions have unchanged to win in place of another such rule, their order or something between them
must have changed; so only pairs with a rule that is new, gone, changed or moved are looked at. For
each such pair the tickets that both select, less those that earlier rules take in either version,
are searched by the boxes of `checking`; what is left is shown by a ticket in it. What rests on a
condition that nobody can decide is said to be unknown. What becomes of the ticket after its rule
(no such unit, a guard) shows in the two decisions about that ticket.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gateway.checking.boxes import Box
from gateway.checking.concrete import Concrete
from gateway.checking.cover import leftover
from gateway.checking.solving import NoSolver, Solver
from gateway.checking.space import Area, Land, Space
from gateway.checking.within import COMPETING, QUESTIONS
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.kernel.values import replace
from gateway.reference.regions import Level
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    Condition,
    Decision,
    Guard,
    Pack,
    Reference,
    Rule,
    Stage,
    Witness,
)
from gateway.routing.packs import PackSet

MOVES_MAX = 500  # what a person can review
PAIRS_MAX = 200_000  # of rules that are looked at; some seconds


class Change(Enum):
    """What happens to the tickets of a move."""

    MOVED = "moved"  # another outcome
    REASONED = "reasoned"  # the same outcome, by another rule, basis or explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Tickets that another rule decides; a side without a rule leaves them to what comes after.

    `witness` is one of them; None: nobody can tell whether there is one. The decisions are those
    about it.
    """

    before: Rule | None
    after: Rule | None
    change: Change
    witness: Witness | None
    decided_before: Decision | None = None
    decided_after: Decision | None = None


@dataclass(frozen=True, slots=True)
class GuardChange:
    """A guard that is new, gone or changed."""

    before: Guard | None
    after: Guard | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How two versions of a pack differ in meaning."""

    moves: tuple[Move, ...]
    guards: tuple[GuardChange, ...]
    is_cut: bool = False  # there was more than the bound

    @property
    def is_same(self) -> bool:
        """Whether nothing moves."""
        return not self.moves and not self.guards and not self.is_cut


def differ(
    old: Pack,
    new: Pack,
    *,
    reference: Reference,
    now: Instant,
    others: Sequence[Pack] = (),
    solver: Solver | None = None,
    land: Land | None = None,
) -> Difference:
    """Return how two versions differ; `others` are the packs that count beside them.

    `land` spares walking the regions again.
    """
    differing = _Differing(
        old=old,
        new=new,
        reference=reference,
        land=land or Land(reference),
        now=now,
        others=tuple(others),
        solver=solver or NoSolver(),
    )
    return differing.result()


def unchanged(old: Sequence[Rule], new: Sequence[Rule]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the positions of rules that are the same in both, in the same order."""
    places = {rule.id: number for number, rule in enumerate(old)}
    pairs = [
        (places[rule.id], number)
        for number, rule in enumerate(new)
        if rule.id in places and _plain(old[places[rule.id]]) == _plain(rule)
    ]
    chain = _longest_rising([first for first, _ in pairs])
    kept = [pairs[position] for position in chain]
    return frozenset(first for first, _ in kept), frozenset(second for _, second in kept)


def _longest_rising(numbers: Sequence[int]) -> list[int]:
    """Return the positions of a longest rising selection."""
    tails: list[int] = []
    heads: list[int] = []
    before: list[int] = []
    for position, number in enumerate(numbers):
        place = bisect_left(tails, number)
        before.append(heads[place - 1] if place else -1)
        if place == len(tails):
            tails.append(number)
            heads.append(position)
        else:
            tails[place], heads[place] = number, position
    chain: list[int] = []
    position = heads[-1] if heads else -1
    while position >= 0:
        chain.append(position)
        position = before[position]
    return chain[::-1]


def _plain(rule: Rule) -> Rule:
    """Return a rule without what says nothing about tickets: its line."""
    return replace(rule, line=0)


@dataclass(slots=True)
class _Side:
    """The rules of one question in one version."""

    rules: list[Rule]
    areas: list[Area]
    changed: list[int]


@dataclass(slots=True, kw_only=True)
class _Differing:
    old: Pack
    new: Pack
    reference: Reference
    land: Land
    now: Instant
    others: tuple[Pack, ...]
    solver: Solver
    pairs: int = 0
    is_cut: bool = False
    moves: list[Move] = field(default_factory=list)
    _sets: dict[bool, PackSet] = field(default_factory=dict)

    def result(self) -> Difference:
        every = [*self.old.rules, *self.new.rules]
        space = Space(
            every,
            owner=self.new.owner,
            land=self.land,
            today=day_of(self.now),
        )
        conditions: dict[str, Condition] = {
            rule.selectors.condition.text: rule.selectors.condition
            for rule in every
            if rule.selectors.condition is not None
        }
        concrete = Concrete(space, conditions, self.new.owner, self.now, self.solver)
        for number, stages in enumerate(QUESTIONS):
            before, after = self._sides(stages, space)
            if number < COMPETING:
                self._compete(before, after, concrete)
            else:
                self._alone(before, after, concrete)
        return Difference(tuple(self.moves), tuple(self._guards()), self.is_cut)

    def _sides(self, stages: Sequence[Stage], space: Space) -> tuple[_Side, _Side]:
        rules = [
            [rule for stage in stages for rule in pack.rules if rule.stage is stage]
            for pack in (self.old, self.new)
        ]
        kept = unchanged(rules[0], rules[1])
        sides = [
            _Side(
                chosen,
                [space.area(rule, is_home=rule.stage is Stage.HERE) for rule in chosen],
                [number for number in range(len(chosen)) if number not in same],
            )
            for chosen, same in zip(rules, kept, strict=True)
        ]
        return sides[0], sides[1]

    def _compete(self, before: _Side, after: _Side, concrete: Concrete) -> None:
        """Look at every pair of winners that a change can have brought about."""
        seen: set[tuple[int | None, int | None]] = set()
        for pair in _pairs(before, after):
            self.pairs += 1
            if self.pairs > PAIRS_MAX or len(self.moves) >= MOVES_MAX:
                self.is_cut = True
                return
            if pair not in seen:
                seen.add(pair)
                self._look(pair, before, after, concrete)

    def _look(
        self,
        pair: tuple[int | None, int | None],
        before: _Side,
        after: _Side,
        concrete: Concrete,
    ) -> None:
        first, second = pair
        one = before.rules[first] if first is not None else None
        other = after.rules[second] if second is not None else None
        change = _change(one, other)
        if change is None:
            return
        area = before.areas[first] if first is not None else after.areas[second or 0]
        box: Box | None = Box.of(area)
        if first is not None and second is not None and box is not None:
            box = box.within(after.areas[second])
        if box is None:
            return
        earlier = [*before.areas[:first], *after.areas[:second]]
        left = leftover(box, earlier, concrete.settle)
        if left.found is not None or left.is_unknown:
            self._note(one, other, change, left.found)

    def _alone(self, before: _Side, after: _Side, concrete: Concrete) -> None:
        """Look at rules that do not compete: each one that is new, gone or changed counts."""
        for number in before.changed:
            self._one(before, number, concrete, is_gone=True)
        for number in after.changed:
            self._one(after, number, concrete, is_gone=False)

    def _one(self, side: _Side, number: int, concrete: Concrete, *, is_gone: bool) -> None:
        left = leftover(Box.of(side.areas[number]), (), concrete.settle)
        rule = side.rules[number]
        if left.found is not None or left.is_unknown:
            one, other = (rule, None) if is_gone else (None, rule)
            self._note(one, other, Change.MOVED, left.found)

    def _note(
        self, before: Rule | None, after: Rule | None, change: Change, witness: Witness | None
    ) -> None:
        decided: tuple[Decision | None, Decision | None] = (None, None)
        if witness is not None:
            witness = replace(witness, authority=self._authority(witness))
            decided = (
                self._decided(witness, is_new=False),
                self._decided(witness, is_new=True),
            )
        self.moves.append(
            Move(
                before=before,
                after=after,
                change=change,
                witness=witness,
                decided_before=decided[0],
                decided_after=decided[1],
            )
        )

    def _authority(self, witness: Witness) -> AuthorityCode:
        """Return who decides about a witness: the owner, or for the nation the place's province."""
        if self.new.owner != NATION:
            return self.new.owner
        regions, region = self.reference.regions, witness.facts.region
        province = regions.province_of(region) if region in regions else None
        first = next(code for code in regions.codes() if regions.level(code) is Level.PROVINCE)
        return AuthorityCode(province or first)

    def _decided(self, witness: Witness, *, is_new: bool) -> Decision:
        pack = self.new if is_new else self.old
        if is_new not in self._sets:
            others = (each for each in self.others if each.pack != pack.pack)
            self._sets[is_new] = PackSet((*others, pack))
        return decide(
            witness.facts,
            authority=witness.authority,
            hosted=frozenset({witness.authority, pack.owner}),
            joined=frozenset({witness.authority}),
            packs=self._sets[is_new],
            reference=self.reference,
            now=witness.now,
        )

    def _guards(self) -> Iterator[GuardChange]:
        before = {guard.id: replace(guard, line=0) for guard in self.old.guards}
        after = {guard.id: replace(guard, line=0) for guard in self.new.guards}
        for guard_id in (*before, *(each for each in after if each not in before)):
            one, other = before.get(guard_id), after.get(guard_id)
            if one != other:
                yield GuardChange(one, other)


def _pairs(before: _Side, after: _Side) -> Iterator[tuple[int | None, int | None]]:
    """Yield the pairs of winners of which one at least is new, gone, changed or moved."""
    for first in before.changed:
        yield from ((first, second) for second in _with_none(after.rules))
    for second in after.changed:
        yield from ((first, second) for first in _with_none(before.rules))


def _with_none(rules: Sequence[Rule]) -> Iterable[int | None]:
    return (*range(len(rules)), None)


def _change(before: Rule | None, after: Rule | None) -> Change | None:
    """Return what a change of winners means; None when it means nothing."""
    if before is None or after is None:
        return Change.MOVED
    if _outcome(before) != _outcome(after):
        return Change.MOVED
    is_same = (before.id, before.legal_basis, before.explanation) == (
        after.id,
        after.legal_basis,
        after.explanation,
    )
    return None if is_same else Change.REASONED


def _outcome(rule: Rule) -> tuple[object, ...]:
    return (rule.action, rule.notify, rule.fallback)
