"""decide() is total, is what the documentation says, and can be replayed byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.kernel.codes import (
    DestinationCondition,
    EmergencyLine,
    InadmissibleReason,
)
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.kernel.values import replace
from gateway.reference.data import ReferenceData
from gateway.reference.matters import Management
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    Assign,
    Decision,
    DestinationState,
    External,
    Fallback,
    Guard,
    Help,
    Lead,
    Legal,
    Merge,
    Offer,
    Pack,
    Refer,
    RegionFact,
    RoutingFacts,
    Rule,
    RuleAction,
    Selectors,
    Split,
    Told,
    Triage,
    Unless,
)
from gateway.routing.packs import PackSet
from tests.unit.routing.builders import FROM, NOW, a_condition, a_pack, a_rule
from tests.unit.routing.naive import Answer, Naive
from tests.unit.routing.strategies import FACTS, REGIONS, rules, some

PLACES = ("131082", "131003", "131000", "130000", "130102", "130100", "120101", "120000")
AUTHORITIES = ("120000", "130000", "130100", "131000")
REFS = tuple(
    [UnitRef(kind=kind) for kind in ("JT", "GA", "XF", "JJ", "SJ", "CG", "YJ")]
    + [UnitRef(kind="GY", number=2)]
    + [UnitRef(unit_id=UnitId(name)) for name in ("131000-JT-1", "130000-GA-1", "120000-CG-1")]
)
MANDATES = st.sampled_from(("", "测试授权"))
ASSIGNS = st.builds(
    Assign,
    lead=st.sampled_from(REFS),
    level=st.sampled_from((None, None, Level.PROVINCE)),
    assisting=st.lists(st.sampled_from(REFS), max_size=2, unique=True).map(tuple),
    mandate=MANDATES,
)
OFFERS = st.sampled_from(
    [
        Offer(None),
        Offer(None, RegionFact.REGISTRATION),
        Offer(None, RegionFact.INSURED),
        *(Offer(AuthorityCode(code)) for code in AUTHORITIES),
    ]
)
SENDING: st.SearchStrategy[RuleAction] = (
    ASSIGNS | OFFERS | st.sampled_from((Triage("何处"), External("某机构")))
)
DECIDING: st.SearchStrategy[RuleAction] = (
    SENDING
    | ASSIGNS
    | st.sampled_from(
        (
            Refer(EmergencyLine.FIRE_119),
            Merge(),
            Legal(InadmissibleReason.LITIGATION),
        )
    )
)
ASIDE: st.SearchStrategy[RuleAction] = st.sampled_from(
    (Lead(RegionFact.INSURED), Help(RegionFact.PASSING), Help(RegionFact.REGISTRATION), Split())
)
FALLBACKS = st.builds(
    Fallback,
    hours=st.integers(1, 3),
    is_working=st.booleans(),
    targets=st.lists(ASSIGNS.map(lambda each: replace(each, level=None)) | OFFERS, max_size=2).map(
        tuple
    ),
)
WORSE = tuple(
    frozenset(states)
    for states in (
        [DestinationCondition.CLOSED],
        [DestinationCondition.OVERLOADED],
        [DestinationCondition.CLOSED, DestinationCondition.OVERLOADED],
    )
)
DESTINATION_TEXTS = (
    "destination.open_load > 5",
    "destination.state == DestinationCondition.DESTINATION_CONDITION_CLOSED && facts.at_night",
    "1 / destination.open_load == 1",  # fails for a load of 0
)
CONDITIONS = st.sampled_from((frozenset[DestinationCondition](), *WORSE))


@st.composite
def any_rule(draw: st.DrawFn) -> Rule:
    """Draw a rule; most of them select by little, so that something happens."""
    if draw(st.integers(0, 3)):
        regions = draw(st.sampled_from(((), (), ("130000",), ("131000",))))
        rule = a_rule(selectors=Selectors(regions=regions))
    else:
        rule = draw(rules())
    match draw(st.sampled_from(("decide", "decide", "aside", "divert"))):
        case "aside":
            return replace(rule, action=draw(ASIDE))
        case "divert":
            selectors = replace(rule.selectors, destinations=draw(CONDITIONS))
            if not selectors.destinations:
                text = draw(st.sampled_from(DESTINATION_TEXTS))
                selectors = replace(selectors, condition=a_condition(text))
            rule = replace(rule, selectors=selectors, action=draw(SENDING))
        case _:
            rule = replace(rule, action=draw(DECIDING))
    notify = tuple(draw(st.lists(st.sampled_from(REFS), max_size=2, unique=True)))
    can_wait = isinstance(rule.action, Assign | Offer)
    return replace(rule, notify=notify, fallback=draw(st.none() | FALLBACKS) if can_wait else None)


@st.composite
def any_guard(draw: st.DrawFn) -> Guard:
    if draw(st.integers(0, 2)):
        selectors = Selectors(secrecy_required=draw(st.sampled_from((None, None, True))))
    else:
        selectors = replace(draw(rules()).selectors, condition=None)
    return Guard(
        id="",
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=selectors,
        explanation="测试护栏",
        forbids_reported=draw(st.booleans()),
        forbidden_kinds=draw(some(("JT", "GA", "JJ"))),
        forbidden_managements=draw(some((Management.VERTICAL, Management.UTILITY))),
        unless=draw(some(tuple(Unless))),
        withholds_identity=draw(some(tuple(Told))),
    )


@st.composite
def any_packs(draw: st.DrawFn) -> list[Pack]:
    """Draw packs of the nation, a province, its city: every id once."""
    packs = []
    for owner in ("100000", "130000", "131000", "120000"):
        drawn = draw(st.lists(any_rule(), max_size=4))
        guards = draw(st.lists(any_guard(), max_size=2)) if owner.endswith("0000") else []
        named = [replace(rule, id=f"r{owner}.{order}") for order, rule in enumerate(drawn)]
        watching = tuple(
            replace(guard, id=f"g{owner}.{order}") for order, guard in enumerate(guards)
        )
        packs.append(a_pack(*named, owner=owner, guards=watching))
    return packs


ANY_FACTS = st.builds(
    replace,
    FACTS,
    region=st.sampled_from(("131082", "131082", "131003", "130102", "120101", "130000", "")),
    matter=st.sampled_from(("041200", "041200", "050500", "990600", "x")),
    reported_units=st.sampled_from(
        ((), ("units/131082-JT-1",), ("units/131000-GA-1",), ("units/nonsense",))
    ),
    duplicate_of=st.sampled_from(("", "", "tickets/12000020261120000000001X")),
    other_matters=st.lists(st.sampled_from(("020401", "041200", "140300")), max_size=3).map(tuple),
    registration_region=st.sampled_from(("", "120101", "310000", "120107", "131000")),
    insured_region=st.sampled_from(("", "", "", "120101", "131082")),
    passing_regions=st.lists(st.sampled_from(REGIONS), max_size=2).map(tuple),
    parent=st.sampled_from((False, False, False, True)),
)
NOWS = st.builds(
    lambda days, minutes: datetime(2026, 1, 2, tzinfo=UTC) + timedelta(days=days, minutes=minutes),
    st.sampled_from((0, 1, 2, 9, 20, 40, 2000)),
    st.sampled_from((0, 90, 600, 840, 900, 1320)),
)
TARGETS = tuple(
    [f"units/{place}-{kind}-1" for place in PLACES for kind in ("JT", "GA", "SJ", "CG", "YJ")]
    + [f"authorities/{code}" for code in AUTHORITIES]
)
LEASES = (None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
STATES = [
    (state, load, lease)
    for state in list(DestinationCondition)[1:]
    for load in (0, 1, 9)
    for lease in LEASES
]


@st.composite
def any_states(draw: st.DrawFn) -> dict[str, DestinationState]:
    """Draw a state for every target that matters; two numbers, so that it shrinks and is fast."""
    start, step = draw(st.integers(0, len(STATES) - 1)), draw(st.integers(0, len(STATES) - 1))
    found = {}
    for order, target in enumerate(TARGETS):
        state, load, lease = STATES[(start + order * step) % len(STATES)]
        found[target] = DestinationState(
            target=target, state=state, open_load=load, overdue_share=load / 10, lease_until=lease
        )
    return found


HOSTED = {
    "120000": frozenset({"120000"}),
    "130000": frozenset({"130000", "131000"}),
    "130100": frozenset({"130100"}),
    "131000": frozenset({"130000", "131000"}),
}
SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def answer_of(decision: Decision) -> Answer:
    plan = decision.fallback
    return Answer(
        action=decision.action.name,
        target=decision.target,
        rule=decision.rule,
        assisting=decision.assisting,
        leading=decision.leading_region,
        lead_rule=decision.lead_rule,
        helping=decision.help_regions,
        split=decision.split_matters,
        notify=decision.notify,
        fallback=(plan.hours, plan.is_working, plan.targets) if plan else None,
        diverted_from=decision.diverted_from,
        withheld=decision.identity_withheld,
    )


def holds(
    facts: RoutingFacts,
    packs: list[Pack],
    reference: ReferenceData,
    *,
    authority: str = "131000",
    joined: frozenset[str] = frozenset(AUTHORITIES),
    now: datetime = NOW,
    states: dict[str, DestinationState],
) -> None:
    """Check that a decision is what the naive reading of the rules gives."""
    hosted = HOSTED[authority]
    decision = decide(
        facts,
        authority=authority,
        hosted=hosted,
        joined=joined,
        packs=PackSet(packs),
        reference=reference,
        now=now,
        states=states,
    )
    expected = Naive(facts, authority, hosted, joined, packs, reference, now, states).decide()
    expected.winner = None
    assert answer_of(decision) == expected


@SLOW
@given(
    facts=ANY_FACTS,
    packs=any_packs(),
    states=any_states(),
    authority=st.sampled_from((*AUTHORITIES, "131000", "131000")),
    joined=some((*AUTHORITIES, "310000")),
    now=NOWS,
)
def test_a_decision_is_always_made_and_is_what_the_naive_reading_of_the_rules_gives(
    *,
    facts: RoutingFacts,
    packs: list[Pack],
    states: dict[str, DestinationState],
    authority: str,
    joined: frozenset[str],
    now: datetime,
    reference: ReferenceData,
) -> None:
    holds(facts, packs, reference, authority=authority, joined=joined, now=now, states=states)


ELSEWHERE = (
    Assign(UnitRef(unit_id=UnitId("131000-JT-1"))),
    Assign(UnitRef(kind="GA")),
    Assign(UnitRef(kind="CG")),
)
JT_LEADS = Assign(UnitRef(kind="JT"), assisting=(UnitRef(kind="SJ"),))


@st.composite
def around_an_assignment(draw: st.DrawFn) -> list[Pack]:
    """Draw packs in which a rule assigns, and everything that can go with it or against it."""
    normal = replace(
        a_rule("lf.normal", action=JT_LEADS),
        notify=(UnitRef(kind="JT"), UnitRef(kind="GA"), draw(st.sampled_from(REFS))),
        fallback=draw(FALLBACKS),
    )
    diversions = [
        a_rule(
            f"lf.divert-{order}",
            selectors=Selectors(destinations=draw(st.sampled_from(WORSE))),
            action=draw(st.sampled_from(ELSEWHERE) | SENDING),
        )
        for order in range(draw(st.integers(1, 2)))
    ]
    aside = [
        a_rule("lf.help", action=Help(RegionFact.REGISTRATION)),
        a_rule("lf.split", action=Split()),
    ]
    guards = tuple(
        replace(draw(any_guard()), id=f"cn.guard-{order}", selectors=Selectors())
        for order in range(draw(st.integers(0, 2)))
    )
    return [
        a_pack(normal, *diversions, *aside, owner="131000"),
        a_pack(owner="100000", guards=guards),
    ]


@SLOW
@given(
    facts=ANY_FACTS,
    region=st.sampled_from(("131082", "131003", "131000")),
    packs=around_an_assignment(),
    states=any_states(),
)
def test_what_goes_with_an_assignment_or_against_it_is_what_the_naive_reading_gives(
    *,
    facts: RoutingFacts,
    region: str,
    packs: list[Pack],
    states: dict[str, DestinationState],
    reference: ReferenceData,
) -> None:
    told = replace(facts, region=region, duplicate_of="", zone="")
    holds(told, packs, reference, states=states)


@SLOW
@given(
    facts=ANY_FACTS,
    packs=any_packs(),
    states=any_states(),
    authority=st.sampled_from((*AUTHORITIES, "131000", "131000")),
    now=NOWS,
)
def test_a_decision_can_be_replayed_from_what_it_says_it_looked_at(
    *,
    facts: RoutingFacts,
    packs: list[Pack],
    states: dict[str, DestinationState],
    authority: str,
    now: datetime,
    reference: ReferenceData,
) -> None:
    def made(book: PackSet, seen: dict[str, DestinationState]) -> Decision:
        return decide(
            facts,
            authority=authority,
            hosted=HOSTED[authority],
            joined=frozenset(AUTHORITIES),
            packs=book,
            reference=reference,
            now=now,
            states=seen,
        )

    first = made(PackSet(packs), states)
    again = made(PackSet(reversed(packs)), {state.target: state for state in first.states})

    assert again == first
    assert again.trace_digest == first.trace_digest
