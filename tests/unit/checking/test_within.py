"""What rules do to each other: the analysis against looking at every ticket of a small world."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.checking.concrete import shows
from gateway.checking.model import Check, Finding, Witness
from gateway.checking.solving import NoSolver
from gateway.checking.space import Land
from gateway.checking.within import Book
from gateway.reference.data import ReferenceData
from gateway.routing.model import Pack, Rule, Stage, is_effective
from gateway.routing.moment import moment_of
from gateway.routing.selecting import selects
from tests.unit.checking.worlds import (
    NORTH,
    NORTH_CITY,
    NOW,
    a_small_pack,
    in_order,
    is_leaf,
    rules,
    tickets,
)

HIDING = {Check.SHADOWED, Check.DUPLICATE}
Seen = dict[str, frozenset[int]]


def found_in(pack: Pack, world: ReferenceData) -> list[Finding]:
    book = Book([pack], land=Land(world), now=NOW, solver=NoSolver())
    return list(book.findings())


def seen_by(pack: Pack, world: ReferenceData) -> tuple[list[Witness], Seen]:
    """Return all tickets, and by rule which of them it selects where it is asked."""
    every = list(tickets(pack.owner))
    moments = {now: moment_of(now, world) for now in {ticket.now for ticket in every}}
    regions = world.regions
    seen: Seen = {}
    for rule in pack.rules:
        is_here = rule.stage is Stage.HERE
        seen[rule.id] = frozenset(
            number
            for number, ticket in enumerate(every)
            if is_effective(rule, moments[ticket.now].day)
            and (not is_here or regions.is_within(ticket.facts.region, pack.owner))
            and selects(rule.selectors, ticket.facts, regions, moments[ticket.now])
        )
    return every, seen


def expected(pack: Pack, world: ReferenceData) -> set[tuple[str, str]]:
    """Return what a person with time would find: (rule, what)."""
    every, seen = seen_by(pack, world)
    found: set[tuple[str, str]] = set()
    asked = in_order(pack)
    for number, rule in enumerate(asked):
        own, before = seen[rule.id], asked[:number]
        if not own:
            found.add((rule.id, "dead"))
            continue
        if any(own <= seen[other.id] for other in before):
            found.add((rule.id, "shadowed"))
            continue
        taken = frozenset[int]().union(*(seen[other.id] for other in before))
        if own <= taken:
            found.add((rule.id, "shadowed-by-union"))
            continue
        leaves = {each for each in own if is_leaf(every[each])}
        if leaves and leaves <= taken:
            found.add((rule.id, "only-unspecific"))
        earlier = frozenset[int]()
        for other in before:
            shared = (own & seen[other.id]) - earlier
            earlier |= seen[other.id]
            if shared and other.action != rule.action and not seen[other.id] <= own:
                found.add((rule.id, f"overlap:{other.id}"))
    return found


def words(findings: list[Finding]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for finding in findings:
        if finding.code in HIDING:
            found.add((finding.rule, "shadowed"))
        elif finding.code is Check.OVERLAP:
            found |= {(finding.rule, f"overlap:{place.rule}") for place in finding.related}
        else:
            found.add((finding.rule, finding.code.value))
    return found


SETS = st.sampled_from((NORTH_CITY, NORTH, "100000")).flatmap(
    lambda owner: st.lists(rules(owner=owner), min_size=2, max_size=5).map(
        lambda found: a_small_pack(found, owner=owner)
    )
)


@settings(
    max_examples=40, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)  # each looks at thousands of tickets
@given(pack=SETS)
def test_the_analysis_finds_exactly_what_looking_at_every_ticket_finds(
    world: ReferenceData, pack: Pack
) -> None:
    assert words(found_in(pack, world)) == expected(pack, world)


@given(pack=SETS)
def test_every_witness_shows_its_finding(world: ReferenceData, pack: Pack) -> None:
    by_id = {rule.id: rule for rule in pack.rules}
    for finding in found_in(pack, world):
        if finding.code is Check.DEAD:
            assert finding.witness is None
            assert finding.no_witness
            continue
        assert finding.witness is not None
        later, witness = by_id[finding.rule], finding.witness
        assert shows(later, witness, world)
        takers = [rule for rule in before(later, pack) if shows(rule, witness, world)]
        match finding.code:
            case Check.SHADOWED | Check.DUPLICATE | Check.SHADOWED_BY_UNION:
                assert takers
            case Check.ONLY_UNSPECIFIC:
                assert not takers
                assert not is_leaf(witness)
            case Check.OVERLAP:
                assert takers[0].id == finding.related[0].rule
                assert takers[0].action != later.action
            case _:
                pass


def before(rule: Rule, pack: Pack) -> list[Rule]:
    asked = in_order(pack)
    return asked[: asked.index(rule)]
