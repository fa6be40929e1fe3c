"""What reaches the desk: the analysis against deciding every ticket of a small world."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.checking.check import check_all
from gateway.checking.model import Check, Finding, History
from gateway.kernel.codes import TicketType
from gateway.kernel.time import SHANGHAI
from gateway.reference.data import ReferenceData
from gateway.routing.evaluate import decide
from gateway.routing.model import DESK, Decision, Guard, Pack, Selectors, Unless, Witness
from gateway.routing.packs import PackSet
from tests.unit.checking.worlds import (
    CODES,
    NORTH,
    NORTH_CITY,
    NOW,
    TODAY,
    TYPES,
    a_small_pack,
    rules,
    tickets,
)

Key = tuple[str, str, int]
NO_JJ = Guard(
    id="small.guard",
    owner="测试",
    legal_basis="测试",
    effective_from=TODAY,
    effective_to=None,
    selectors=Selectors(),
    explanation="不派街道",
    forbidden_kinds=frozenset({"JJ"}),
    unless=frozenset({Unless.MATTER_OF_KIND}),
)


def decided(witness: Witness, packs: PackSet, world: ReferenceData) -> Decision:
    return decide(
        witness.facts,
        authority=witness.authority,
        hosted=frozenset({witness.authority}),
        joined=frozenset(pack.owner for pack in packs.packs),
        packs=packs,
        reference=world,
        now=witness.now,
    )


def gaps_of(authority: str, packs: PackSet, world: ReferenceData) -> set[Key]:
    """Return the cells of which some ticket of the present reaches the desk undecided."""
    days = {d for p in packs.packs for r in p.rules for d in (r.effective_from, r.effective_to)}
    later = min((day for day in days if day and day > TODAY), default=None)
    found: set[Key] = set()
    north = tuple(code for code in CODES if code.startswith("13"))
    for ticket in tickets(authority, codes=north):
        facts, day = ticket.facts, ticket.now.astimezone(SHANGHAI).date()
        key = (facts.region, facts.matter, facts.type)
        if key in found or not facts.matter or (later is not None and day >= later):
            continue
        if decided(ticket, packs, world).rule == DESK and facts.region:
            found.add(key)
    return found


def cells_of(findings: list[Finding], world: ReferenceData) -> set[Key]:
    found: set[Key] = set()
    for finding in findings:
        for cell in finding.cells:
            inside = [
                code
                for code in world.regions.codes()
                if code == cell.area
                or (not cell.excepted and world.regions.is_within(code, cell.area))
            ]
            found |= {(code, cell.matter, kind) for code in inside for kind in cell.types}
    return {key for key in found if key[2] in TYPES}


PACKS = st.lists(rules(owner=NORTH), max_size=3).flatmap(
    lambda north: st.lists(rules(owner="100000"), max_size=2).map(
        lambda nation: (
            a_small_pack(north, owner=NORTH),
            replace(a_small_pack(nation, owner="100000"), guards=(NO_JJ,)),
        )
    )
)


@settings(
    max_examples=12, phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False
)  # each decides thousands of tickets
@given(packs=PACKS)
def test_gaps_are_exactly_what_reaches_the_desk(
    world: ReferenceData, packs: tuple[Pack, Pack]
) -> None:
    loaded = PackSet(packs)
    findings = check_all(loaded, reference=world, now=NOW).of(Check.GAP)

    assert cells_of(list(findings), world) == gaps_of(NORTH, loaded, world)


@given(packs=PACKS)
def test_the_witness_of_a_gap_reaches_the_desk(
    world: ReferenceData, packs: tuple[Pack, Pack]
) -> None:
    loaded = PackSet(packs)
    for finding in check_all(loaded, reference=world, now=NOW).of(Check.GAP):
        assert finding.witness is not None
        assert decided(finding.witness, loaded, world).rule == DESK


def test_the_place_of_another_that_takes_part_is_no_gap_of_its_province(
    world: ReferenceData,
) -> None:
    loaded = PackSet([a_small_pack([], owner=NORTH), a_small_pack([], owner=NORTH_CITY)])
    findings = check_all(loaded, reference=world, now=NOW).of(Check.GAP)
    own = [finding for finding in findings if finding.pack == f"{NORTH}.small"]

    regions = {key[0] for key in cells_of(own, world)}
    assert NORTH in regions
    assert not any(code.startswith("1310") for code in regions)


def test_tickets_of_a_month_weigh_a_gap(world: ReferenceData) -> None:
    loaded = PackSet([a_small_pack([], owner=NORTH)])
    complaint = int(TicketType.COMPLAINT)
    history = History(
        days=30, cells={("130102", "040100", complaint): 7, ("130102", "040101", complaint): 1}
    )
    findings = check_all(loaded, reference=world, now=NOW, history=history).of(Check.GAP)
    heaviest = max(findings, key=lambda finding: finding.tickets)

    assert heaviest.tickets == 7
    assert heaviest.cells[0].matter == "040100"
    assert "30 天内 7 件" in heaviest.zh
