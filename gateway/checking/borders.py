"""What the packs of several authorities do together: each is right alone, and the ticket travels.

A ticket leaves the authority of its place only by a rule: one that offers it, keeps it at the
province, or lets another region lead. Each such rule is a *mover*, and its tickets are cut into
pieces by the rules that they meet on both sides, so that within a piece the first decision and the
answer to it are the same. Each piece gives one ticket, which is followed with `decide` itself from
authority to authority, as the nodes would do it:

* it comes back: *ping-pong*, of any length;
* a rule moved it, and in the end nobody decides: *both disclaim*;
* two authorities would keep it, whichever gets it first: *both claim*.

So a witness is right by construction, and what is bounded is how many pieces are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from gateway.checking.boxes import Box
from gateway.checking.concrete import Concrete, picks
from gateway.checking.cover import No
from gateway.checking.likeness import Likenesses
from gateway.checking.model import Check, Finding, Known, Place, Witness
from gateway.checking.solving import Solver
from gateway.checking.space import Area, Dim, Land, Space, numbers
from gateway.checking.within import MAIN, Book, Clause, conditions_of
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.kernel.values import replace
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    DESK,
    Action,
    Assign,
    Decision,
    Lead,
    Offer,
    RegionFact,
    Stage,
    province_of,
)
from gateway.routing.packs import PackSet

HOPS_MAX = 8  # more than any custody allows
PIECES_MAX = 256  # of one mover and start
STARTS_MAX = 8  # authorities at which a mover of the nation is tried
TICKETS_MAX = 5_000  # followed in one check: some seconds
CUTTERS_MAX = 40  # rules that cut one mover's tickets
VARIANTS_MAX = 100  # tickets of one piece
FOLLOWED_MAX = 1_000  # tickets of one mover and start
PLACES_MAX = 8  # other authorities whose places, or facts, are tried
PARTIES_MIN = 2
ASKED = frozenset({Stage.AT_ONCE, Stage.LEAD})  # the first stages of the questions that matter


@dataclass(frozen=True, slots=True)
class Way:
    """Where a ticket went: the authorities in order, and what each decided."""

    stops: tuple[str, ...]
    decisions: tuple[Decision, ...]
    is_circle: bool = False

    @property
    def circle(self) -> tuple[str, ...]:
        """The authorities that it goes round, first the smallest code."""
        first = self.stops.index(self.stops[-1])
        ring = self.stops[first:-1]
        start = ring.index(min(ring))
        return ring[start:] + ring[:start]


def follow(
    ticket: Witness, *, packs: PackSet, land: Land, joined: frozenset[str], hosted: frozenset[str]
) -> Way:
    """Return the way of a ticket from `ticket.authority` on, each node deciding for itself."""
    stops, decisions = [ticket.authority], []
    for _ in range(HOPS_MAX):
        at = stops[-1]
        decision = decide(
            ticket.facts,
            authority=at,
            hosted=_node(at, hosted),
            joined=joined,
            packs=packs,
            reference=land.reference,
            now=ticket.now,
        )
        decisions.append(decision)
        if decision.action is not Action.OFFER:
            break
        stops.append(decision.target.removeprefix("authorities/"))
        if stops[-1] in stops[:-1]:
            return Way(tuple(stops), tuple(decisions), is_circle=True)
    return Way(tuple(stops), tuple(decisions))


def _node(authority: str, hosted: frozenset[str]) -> frozenset[str]:
    """Return the authorities of the node that hosts one: `hosted` are together, others alone."""
    return hosted if authority in hosted else frozenset({authority})


@dataclass(slots=True)
class Borders:
    """Composes the packs of all authorities that a node knows."""

    packs: PackSet
    books: Mapping[str, Book]
    land: Land
    known: Known
    now: Instant
    solver: Solver
    lists: Likenesses = field(init=False)
    joined: frozenset[str] = field(init=False)
    _known: dict[tuple[str, str], Place] = field(init=False)
    _followed: int = 0

    def __post_init__(self) -> None:
        """Gather the packs by owner."""
        self.lists = Likenesses(self.land)
        owners = {pack.owner for pack in self.packs.packs if pack.owner != NATION}
        self.joined = frozenset({*owners, *self.known.joined})
        self._known = {
            (clause.pack.label, clause.rule.id): clause.place
            for book in self.books.values()
            for clause in book.clauses
        }

    def findings(self, owners: frozenset[str] | None = None) -> Iterator[Finding]:
        """Yield what the packs do together; with `owners` only what one of them takes part in."""
        if len(self.joined) < PARTIES_MIN:
            return
        movers = [clause for clause in self._standing() if _moves(clause)]
        seen: set[object] = set()
        for number, clause in enumerate(movers):
            if self._followed > TICKETS_MAX:
                yield clause.finding(
                    Check.UNDECIDED,
                    "机构间循环移交",
                    f"移出规则共 {len(movers)} 条，只看了前 {number} 条",
                    no_witness="未能判定",
                )
                return
            for start in self._starts(clause):
                if owners is not None and not self._may_concern(clause, start, owners):
                    continue
                for noted in self._of_mover(clause, start):
                    is_asked = owners is None or bool(owners & noted.parties)
                    if is_asked and noted.key not in seen:
                        seen.add(noted.key)
                        yield noted.finding

    def _standing(self) -> Iterator[Clause]:
        today = day_of(self.now)
        for book in self.books.values():
            for clause in book.clauses:
                ends = clause.rule.effective_to
                if ends is None or ends > today:
                    yield clause

    def _starts(self, clause: Clause) -> list[AuthorityCode]:
        """Return where a mover is tried: at its owner; one of the nation at some authorities."""
        if clause.pack.owner != NATION:
            return [clause.pack.owner]
        return [AuthorityCode(code) for code in sorted(self.joined)[:STARTS_MAX]]

    def _may_concern(self, clause: Clause, start: AuthorityCode, owners: frozenset[str]) -> bool:
        """Tell whether some of these authorities may take part in what a mover does."""
        if clause.pack.owner == NATION or isinstance(clause.rule.action, Lead):
            return True
        parties = {start, *self._aims(clause, start)}
        return bool(owners & parties) or NATION in owners

    def _of_mover(self, clause: Clause, start: AuthorityCode) -> Iterator[_Noted]:
        tickets, is_whole = self._tickets(clause, start)
        self._followed += len(tickets)
        for ticket in tickets:
            yield from self._looked_at(clause, ticket)
        if not is_whole:
            finding = clause.finding(
                Check.UNDECIDED,
                "机构间循环移交",
                f"只看了前 {PIECES_MAX} 种情形",
                no_witness="未能判定",
            )
            yield _Noted(finding, frozenset({clause.pack.owner}), (clause.rule.id, "bound"))

    # --- tickets -----------------------------------------------------------------------------

    def _tickets(self, clause: Clause, start: AuthorityCode) -> tuple[list[Witness], bool]:
        """Return a ticket of each piece of a mover's tickets, and whether these are all pieces."""
        cutters, is_whole = self._cutters(clause, start)
        rules = [clause.rule, *(each.rule for each in cutters)]
        places = self._places_near(clause, start)
        space = Space(rules, owner=start, land=self.land, today=day_of(self.now), places=places)
        conditions = conditions_of(rules)
        concrete = Concrete(space, conditions, start, self.now, self.solver)
        is_home = clause.rule.stage is Stage.HERE or clause.pack.owner == NATION
        area = space.area(clause.rule, is_home=is_home)
        if not all(area.masks):
            return [], True
        areas = [space.place(code) for code in places]
        areas += [space.area(rule, is_home=False) for rule in rules[1:]]
        boxes, is_cut = _pieces(Box.of(area), areas)
        found: list[Witness] = []
        for box in boxes:
            ticket = concrete.settle(box)
            if isinstance(ticket, No):
                is_whole = is_whole and ticket is No.NONE
                continue
            varied = self._varied(clause, space, box, ticket)
            is_whole = is_whole and len(varied) <= VARIANTS_MAX
            for each in varied[:VARIANTS_MAX]:
                found += self._with_facts(clause, each)
        is_whole = is_whole and len(found) <= FOLLOWED_MAX
        return found[:FOLLOWED_MAX], is_whole and is_cut

    def _varied(self, clause: Clause, space: Space, box: Box, ticket: Witness) -> list[Witness]:
        """Return a ticket's like for every answer that the responsibility list may give.

        Rules tell no two tickets of a piece apart, but units and the list may.
        """
        regions = self.lists.regions(space.regions.held(box.masks[Dim.REGION]))
        matters = self.lists.matters(space.matters.held(box.masks[Dim.MATTER]))
        found = []
        for region, matter in product(regions, matters):
            facts = replace(ticket.facts, region=region, matter=matter)
            tried = Witness(facts, ticket.authority, ticket.now)
            if picks(clause.rule.selectors, tried, self.land.reference):
                found.append(tried)
        return found or [ticket]

    def _places_near(self, clause: Clause, start: AuthorityCode) -> list[str]:
        """Return the authorities whose places a mover may be about, its own cities first."""
        others = sorted(self.joined - {start})
        regions = self.land.regions
        inner = [code for code in others if regions.is_within(code, start)]
        if clause.rule.selectors.regions or clause.rule.stage is Stage.HERE:
            return inner
        return [*inner, *(code for code in others if code not in inner)][:PLACES_MAX]

    def _cutters(self, clause: Clause, start: AuthorityCode) -> tuple[list[Clause], bool]:
        """Return the rules that the mover's tickets meet on both sides."""
        aims = {start, NATION, clause.pack.owner, *self._aims(clause, start)}
        found: list[Clause] = []
        for owner in sorted(aims):
            book = self.books.get(owner)
            if book is None:
                continue
            masks = book.space.reach(clause.rule.selectors)
            for question in book.questions:
                if question.stages[0] in ASKED:
                    met = numbers(question.bits.meeting(masks))
                    found += [question.clauses[number] for number in met]
        found = [each for each in found if each.rule is not clause.rule]
        return found[:CUTTERS_MAX], len(found) <= CUTTERS_MAX

    def _aims(self, clause: Clause, start: AuthorityCode) -> set[str]:
        """Return the authorities that a mover may send to."""
        match clause.rule.action:
            case Offer(authority=authority) if authority is not None:
                own, other = province_of(start), province_of(authority)
                return {authority, *(code for code in (own, other) if code)}
            case Assign():
                regions = self.land.regions
                own = province_of(start)
                inner = {code for code in self.joined if regions.is_within(code, start)}
                return {*inner, *({own} if own else ())}
            case _:
                return set()

    def _with_facts(self, clause: Clause, ticket: Witness) -> list[Witness]:
        """Return the ticket with the fact that a mover looks at, once for each authority."""
        match clause.rule.action:
            case Lead(region) | Offer(authority=None, fact=RegionFact() as region):
                pass
            case _:
                return [ticket]
        found = []
        for code in sorted(self.joined)[:PLACES_MAX]:
            value = (code,) if region is RegionFact.PASSING else code
            facts = replace(ticket.facts, **{region.word: value})  # type: ignore[arg-type] # by name
            tried = Witness(facts, ticket.authority, ticket.now)
            if picks(clause.rule.selectors, tried, self.land.reference):
                found.append(tried)
        return found

    # --- what becomes of them ----------------------------------------------------------------

    def _looked_at(self, clause: Clause, ticket: Witness) -> Iterator[_Noted]:
        way = self._follow(ticket)
        shown = " → ".join(way.stops)
        if way.is_circle:
            yield self._noted(
                Check.PING_PONG, clause, ticket, shown, way.decisions, frozenset(way.circle)
            )
            return
        last = way.decisions[-1]
        is_moved = any(self._is_by_rule(decision) for decision in way.decisions[:-1])
        if is_moved and last.rule == DESK and last.action is Action.TRIAGE:
            parties = frozenset(way.stops)
            yield self._noted(
                Check.BOTH_DISCLAIM, clause, ticket, f"{shown}（研判席）", way.decisions, parties
            )
        yield from self._claims(clause, ticket, way)

    def _claims(self, clause: Clause, ticket: Witness, way: Way) -> Iterator[_Noted]:
        """Yield a finding when several authorities would each keep the ticket."""
        keepers: dict[str, Decision] = {}
        for code in sorted({*way.stops, *self._homes(ticket, way)}):
            decision = way.decisions[0] if code == way.stops[0] else self._decided(ticket, code)
            if decision.action is Action.ASSIGN:
                keepers[code] = decision
        rule = clause.rule.id
        if len(keepers) > 1 and any(rule in {d.rule, d.lead_rule} for d in keepers.values()):
            yield self._noted(
                Check.BOTH_CLAIM,
                clause,
                ticket,
                "、".join(keepers),
                tuple(keepers.values()),
                frozenset(keepers),
            )

    def _homes(self, ticket: Witness, way: Way) -> set[str]:
        """Return the authorities of the place and of the region that leads."""
        regions = self.land.regions
        found: set[str] = set()
        for code in (ticket.facts.region, *(each.leading_region for each in way.decisions)):
            if code and regions.current(code) is not None:
                found |= {above for above in regions.path(code) if above in self.joined}
        return found

    def _is_by_rule(self, decision: Decision) -> bool:
        return (decision.pack, decision.rule) in self._known or bool(decision.lead_rule)

    def _noted(  # noqa: PLR0917 - one line of a table: what, about which rule and ticket, by whom
        self,
        code: Check,
        clause: Clause,
        ticket: Witness,
        text: str,
        decisions: Sequence[Decision],
        parties: frozenset[str],
    ) -> _Noted:
        related = dict.fromkeys(
            place
            for each in decisions
            if (place := self._known.get((each.pack, each.rule))) is not None
            and place != clause.place
        )
        finding = clause.finding(code, text, related=tuple(related), witness=ticket)
        if code is Check.BOTH_CLAIM:
            return _Noted(finding, parties, (code, parties, clause.rule.id))
        rules = frozenset(each.rule for each in decisions)
        return _Noted(finding, parties, (code, parties, rules))

    def _follow(self, ticket: Witness) -> Way:
        return follow(
            ticket, packs=self.packs, land=self.land, joined=self.joined, hosted=self.known.hosted
        )

    def _decided(self, ticket: Witness, authority: str) -> Decision:
        return decide(
            ticket.facts,
            authority=authority,
            hosted=_node(authority, self.known.hosted),
            joined=self.joined,
            packs=self.packs,
            reference=self.land.reference,
            now=ticket.now,
        )


@dataclass(frozen=True, slots=True)
class _Noted:
    """A finding, the authorities in it, and what makes it the same as another."""

    finding: Finding
    parties: frozenset[str]
    key: object


def _moves(clause: Clause) -> bool:
    """Tell whether a rule may take a ticket away from the authority of its place."""
    match clause.rule.action:
        case Offer() as offer:
            return not offer.is_to_place and clause.rule.stage in MAIN
        case Assign(level=level):
            return level is not None and clause.rule.stage in MAIN
        case Lead():
            return clause.pack.owner != NATION
        case _:
            return False


def _pieces(box: Box, areas: Sequence[Area]) -> tuple[list[Box], bool]:
    """Cut a box by each area in turn; tell whether the bound let it be done wholly."""
    boxes, is_whole = [box], True
    for area in areas:
        cut: list[Box] = []
        for number, each in enumerate(boxes):
            if len(cut) + len(boxes) - number > PIECES_MAX:
                is_whole = False
                cut += boxes[number:]
                break
            inside = each.within(area)
            if inside is None:
                cut.append(each)
                continue
            cut.append(inside)
            cut += each.without(area)
        boxes = cut
    return boxes[: 2 * PIECES_MAX], is_whole
