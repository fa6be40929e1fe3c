"""From a box to a ticket in it: the witness, or that there is none.

Without conditions every box has a ticket and it is written down at once. With conditions values are
tried that the conditions themselves mention, a few hundred at most, and the CEL library is asked
about each: what it says is what routing will say. When nothing fits, the solver is asked whether
anything could; what it finds is again put before the CEL library. So a ticket that comes from here
really has the conditions that it is said to have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from itertools import islice, product
from typing import Any

from gateway.checking.boxes import Box
from gateway.checking.cover import No
from gateway.checking.expression import mentioned
from gateway.checking.solving import Impossible, NoSolver, Possible, Question, Solver
from gateway.checking.space import NO, YES, Dim, Space, bits, members_of
from gateway.kernel.codes import Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import SHANGHAI, Instant
from gateway.kernel.values import replace
from gateway.routing.facts import MINUTES_OF_DAY
from gateway.routing.model import Condition, Reference, RoutingFacts, Rule, Selectors, Witness
from gateway.routing.moment import moment_of
from gateway.routing.selecting import selects

TRIES_MAX = 400  # tickets tried for one box: some 4 ms
VALUES_MAX = 24  # of one fact: all values of a code table
LIST_FACTS = frozenset({"passing_regions", "other_matters"})
CODE_LENGTH = 6
REGION_FACTS = (
    "registration_region",
    "seller_region",
    "insured_region",
    "receiving_region",
    "agency_region",
)
_DIM_OF = {
    "type": Dim.TYPE,
    "channel": Dim.CHANNEL,
    "urgency": Dim.URGENCY,
    "subject_kind": Dim.SUBJECT,
}
_FLAG_OF = {"secrecy_required": Dim.SECRECY, "on_boundary": Dim.BOUNDARY}
_DEFAULTS = RoutingFacts(region="", matter="", type=0, urgency=0)


@dataclass(slots=True)
class Concrete:
    """Writes tickets for the boxes of one space."""

    space: Space
    conditions: Mapping[str, Condition]
    authority: AuthorityCode
    now: Instant
    solver: Solver = field(default_factory=NoSolver)
    reason: str = ""  # why the last box could not be settled
    is_leaf: bool = False
    _instants: dict[tuple[int, int], Instant] = field(default_factory=dict)

    def settle(self, box: Box) -> Witness | No:
        """Return a ticket of a box, that there is none, or that nobody knows."""
        if not box.is_possible:
            return No.NONE
        conditions = self._askable(box)
        if not conditions:
            return self.witness(box)
        tried = 0
        for facts in islice(self._tries(box, conditions), TRIES_MAX):
            tried += 1
            if self._holds(facts, conditions):
                return self._at(box, facts)
        if tried < TRIES_MAX and _is_countable(conditions):
            return No.NONE
        return self._solved(box, conditions)

    def possible(self, box: Box) -> Box | No:
        """Return a box that has a ticket, as `settle` does, without writing the ticket down."""
        if box.is_possible and not self._askable(box):
            return box
        result = self.settle(box)
        return result if isinstance(result, No) else box

    def witness(self, box: Box) -> Witness:
        """Return the plainest ticket of a box, whatever its conditions."""
        return self._at(box, self._plain(box))

    def _askable(self, box: Box) -> tuple[tuple[str, bool], ...]:
        """Return the conditions that facts decide; a destination's state is not among them."""
        return tuple(
            (text, wanted)
            for text, wanted in box.conditions
            if not self.conditions[text].names_destination
        )

    def _holds(self, facts: RoutingFacts, conditions: Sequence[tuple[str, bool]]) -> bool:
        return all(self.conditions[text].test(facts).holds is wanted for text, wanted in conditions)

    def _at(self, box: Box, facts: RoutingFacts) -> Witness:
        return Witness(facts, self.authority, self._instant(box))

    # --- the plainest ticket -----------------------------------------------------------------

    def _plain(self, box: Box) -> RoutingFacts:
        space, masks = self.space, box.masks
        tags = tuple(sorted(int(tag) for tag in box.tags.chosen()))  # type: ignore[call-overload] # tags are codes
        region = self._member(Dim.REGION, masks)
        return RoutingFacts(
            region=region,
            matter=self._member(Dim.MATTER, masks),
            type=_first_of(Dim.TYPE, masks[Dim.TYPE]),
            channel=_first_of(Dim.CHANNEL, masks[Dim.CHANNEL]),
            urgency=_first_of(Dim.URGENCY, masks[Dim.URGENCY]),
            subject_kind=_first_of(Dim.SUBJECT, masks[Dim.SUBJECT]),
            zone=space.zones[bits(masks[Dim.ZONE])[0]],
            secrecy_required=not masks[Dim.SECRECY] & NO,
            on_boundary=not masks[Dim.BOUNDARY] & NO,
            reported_units=self._reported(box, region),
            risk_tags=tags,
        )

    def _member(self, dim: Dim, masks: Sequence[int]) -> str:
        tree = self.space.regions if dim is Dim.REGION else self.space.matters
        leaves = self.space.land.leaves if dim is Dim.REGION else self.space.land.matter_leaves
        for atom in bits(masks[dim]):
            for member in tree.members[atom]:
                if not self.is_leaf or member in leaves:
                    return member
        return tree.members[bits(masks[dim])[0]][0]

    def _reported(self, box: Box, region: str) -> tuple[str, ...]:
        kinds = sorted(str(kind) for kind in box.kinds.chosen())
        if box.masks[Dim.REPORTED] & NO and not kinds:
            return ()
        if not kinds:
            known = self.space.land.reference.kinds
            kinds = [next(kind for kind in known if kind not in box.kinds.bans)]
        return tuple(f"units/{region or self.authority}-{kind}-99" for kind in kinds)

    def _instant(self, box: Box) -> Instant:
        key = box.masks[Dim.DAY], box.masks[Dim.MINUTE]
        found = self._instants.get(key)
        if found is None:
            found = self._instants[key] = self._instant_of(box)
        return found

    def _instant_of(self, box: Box) -> Instant:
        space = self.space
        atom = space.days[bits(box.masks[Dim.DAY])[0]]
        allowed = bits(box.masks[Dim.MINUTE])
        local = self.now.astimezone(SHANGHAI)
        present = local.hour * 60 + local.minute
        minute = next(
            (
                present
                for number in allowed
                if space.minutes[number] <= present < self._minute_after(number)
            ),
            space.minutes[allowed[0]],
        )
        if atom.day == local.date() and minute == present:
            return self.now
        clock = time(minute // 60, minute % 60)
        return datetime.combine(atom.day, clock, SHANGHAI).astimezone(UTC)

    def _minute_after(self, number: int) -> int:
        minutes = self.space.minutes
        return minutes[number + 1] if number + 1 < len(minutes) else MINUTES_OF_DAY

    # --- with conditions ---------------------------------------------------------------------

    def _tries(self, box: Box, conditions: Sequence[tuple[str, bool]]) -> Iterator[RoutingFacts]:
        plain = self._plain(box)
        found = [mentioned(text) for text, _ in conditions]
        names = list(dict.fromkeys(name for facts, _ in found for name in facts))
        written = list(dict.fromkeys(value for _, values in found for value in values))
        values = [self._values(name, box, written, plain) for name in names]
        for chosen in product(*values):
            yield replace(plain, **dict(zip(names, chosen, strict=True)))

    def _values(
        self, name: str, box: Box, written: Sequence[bool | int | str], plain: RoutingFacts
    ) -> list[Any]:
        """Return what is tried for a fact: what the box allows, else what conditions mention."""
        texts = [each for each in written if isinstance(each, str)]
        numbers = [each for each in written if isinstance(each, int) and each is not True]
        if name in _DIM_OF:
            dim = _DIM_OF[name]
            allowed = [int(members_of(dim)[n]) for n in bits(box.masks[dim])]
            return sorted(allowed, key=lambda code: code not in numbers)[:VALUES_MAX]
        if name in {"region", "matter"}:
            return self._places(name, box, texts)
        if name == "zone":
            return self._zones(box, texts)
        if name in {"risk_tags", "reported_units"}:
            return self._sets(name, box, texts, numbers, plain)
        empty = getattr(_DEFAULTS, name, None)
        match empty:
            case bool():
                mask = box.masks[_FLAG_OF[name]] if name in _FLAG_OF else NO | YES
                return [flag for flag in (False, True) if mask & (YES if flag else NO)]
            case int():
                return list(dict.fromkeys((0, *numbers, *(n + 1 for n in numbers))))[:VALUES_MAX]
            case str():
                return list(dict.fromkeys(("", *self._finished(name, texts), "x")))[:VALUES_MAX]
            case tuple():
                some = [(text,) for text in self._finished(name, texts)]
                return [(), *some, ("x", "y", "z")][:VALUES_MAX]
            case _:
                return [empty]

    def _finished(self, name: str, texts: Sequence[str]) -> list[str]:
        """Return the texts as values of a fact: the beginning of a code becomes a code."""
        if not name.endswith(("region", "regions")):
            return list(texts)
        found: list[str] = []
        for text in texts:
            if text.isdigit() and len(text) < CODE_LENGTH:
                found.append(text.ljust(CODE_LENGTH, "0"))
            found.append(text)
        return found

    def _places(self, name: str, box: Box, texts: Sequence[str]) -> list[str]:
        dim = Dim.REGION if name == "region" else Dim.MATTER
        tree = self.space.regions if dim is Dim.REGION else self.space.matters
        members = [each for atom in bits(box.masks[dim]) for each in tree.members[atom]]
        said = [each for each in members if any(t and each.startswith(t) for t in texts)]
        firsts = [tree.members[atom][0] for atom in bits(box.masks[dim])]
        return list(dict.fromkeys((*said[: VALUES_MAX // 2], *firsts, *members)))[:VALUES_MAX]

    def _zones(self, box: Box, texts: Sequence[str]) -> list[str]:
        named = [self.space.zones[number] for number in bits(box.masks[Dim.ZONE])]
        others = [text for text in texts if text not in self.space.zones] if "" in named else []
        return list(dict.fromkeys((*named, *others, *(["x"] if "" in named else []))))[:VALUES_MAX]

    def _sets(
        self,
        name: str,
        box: Box,
        texts: Sequence[str],
        numbers: Sequence[int],
        plain: RoutingFacts,
    ) -> list[Any]:
        if name == "risk_tags":
            base = plain.risk_tags
            more = [tag for tag in numbers if tag and tag not in box.tags.bans]
            return [base, *(tuple(sorted({*base, tag})) for tag in more)][:VALUES_MAX]
        units = plain.reported_units
        if not box.masks[Dim.REPORTED] & YES:
            return [units]
        return [units, *((*units, text) for text in texts)][:VALUES_MAX]

    # --- with a solver -----------------------------------------------------------------------

    def _solved(self, box: Box, conditions: tuple[tuple[str, bool], ...]) -> Witness | No:
        answer = self.solver.ask(self._question(box, conditions))
        match answer:
            case Impossible():
                return No.NONE
            case Possible(values):
                facts = replace(self._plain(box), **values)  # type: ignore[arg-type] # by name
                if self._holds(facts, conditions) and self._lies_in(facts, box):
                    return self._at(box, facts)
                self.reason = "求解器给出的工单不符"
            case _:
                self.reason = answer.reason
        return No.UNKNOWN

    def _question(self, box: Box, conditions: tuple[tuple[str, bool], ...]) -> Question:
        masks = box.masks
        allowed: dict[str, tuple[str | int | bool, ...]] = {
            name: tuple(int(members_of(dim)[n]) for n in bits(masks[dim]))
            for name, dim in _DIM_OF.items()
        }
        for name, dim in _FLAG_OF.items():
            allowed[name] = tuple(f for f in (False, True) if masks[dim] & (YES if f else NO))
        for name, dim, tree in (
            ("region", Dim.REGION, self.space.regions),
            ("matter", Dim.MATTER, self.space.matters),
        ):
            last = len(tree.codes) - 1
            if not masks[dim] >> last & 1:  # else anything outside the named codes
                allowed[name] = tuple(c for atom in bits(masks[dim]) for c in tree.members[atom])
        zones = tuple(self.space.zones[number] for number in bits(masks[Dim.ZONE]))
        if "" not in zones:
            allowed["zone"] = zones
        return Question(conditions, allowed)

    def _lies_in(self, facts: RoutingFacts, box: Box) -> bool:
        """Tell whether a solver's ticket is still one of the box, fact by fact."""
        plain, masks = self._plain(box), box.masks
        tags = set(facts.risk_tags)
        if tags & set(box.tags.bans) or any(not tags & set(need) for need in box.tags.needs):
            return False
        return (
            facts.reported_units == plain.reported_units
            and self._is_member(Dim.REGION, facts.region, masks)
            and self._is_member(Dim.MATTER, facts.matter, masks)
            and (facts.zone in {self.space.zones[n] for n in bits(masks[Dim.ZONE])})
        )

    def _is_member(self, dim: Dim, code: str, masks: Sequence[int]) -> bool:
        tree = self.space.regions if dim is Dim.REGION else self.space.matters
        return any(code in tree.members[atom] for atom in bits(masks[dim]))


def shows(rule: Rule, witness: Witness, reference: Reference) -> bool:
    """Tell by the slow definition whether a rule holds then and selects a witness."""
    moment = moment_of(witness.now, reference)
    ends = rule.effective_to
    holds = rule.effective_from <= moment.day and (ends is None or moment.day < ends)
    return holds and picks(rule.selectors, witness, reference)


def picks(selectors: Selectors, witness: Witness, reference: Reference) -> bool:
    """Tell by the slow definition whether selectors select a witness."""
    moment = moment_of(witness.now, reference)
    return selects(selectors, witness.facts, reference.regions, moment)


COUNTABLE = frozenset({*_DIM_OF, *_FLAG_OF, "at_night", "owner_unknown", "parent"})


def _is_countable(conditions: Sequence[tuple[str, bool]]) -> bool:
    """Tell whether trying all values of what conditions name is a proof."""
    return all(COUNTABLE.issuperset(mentioned(text)[0]) for text, _ in conditions)


@cache
def _first_of(dim: Dim, mask: int) -> int:
    """Return a value that the mask allows: an ordinary one if there is one."""
    values = [members_of(dim)[number] for number in bits(mask)]
    if dim is Dim.URGENCY and Urgency.NORMAL in values:
        return int(Urgency.NORMAL)
    return int(next((value for value in values if value), values[0]))
