"""A diversion is an exception by the state of the destination, and ends by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.kernel.codes import DestinationCondition, EmergencyLine
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.reference.units import UnitRef
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    Action,
    Assign,
    Decision,
    DestinationState,
    Guard,
    Offer,
    Refer,
    Rule,
    RuleAction,
    Selectors,
    Triage,
)
from gateway.routing.packs import PackSet
from tests.unit.routing.builders import FROM, NOW, a_condition, a_pack, a_rule, a_ticket

HEBEI = frozenset({"130000", "131000"})
JT, CITY_JT = "units/131082-JT-1", "units/131000-JT-1"
TO_CITY = Assign(UnitRef(unit_id=UnitId("131000-JT-1")))
CLOSED, OVERLOADED = DestinationCondition.CLOSED, DestinationCondition.OVERLOADED
ENOUGH = frozenset({CLOSED, OVERLOADED})


def a_diversion(
    rule_id: str = "lf.divert",
    *,
    action: RuleAction = TO_CITY,
    states: frozenset[DestinationCondition] = ENOUGH,
    text: str = "",
) -> Rule:
    condition = a_condition(text) if text else None
    selectors = Selectors(destinations=frozenset() if text else states, condition=condition)
    return a_rule(rule_id, selectors=selectors, action=action)


def a_state(
    target: str = JT,
    state: DestinationCondition = CLOSED,
    *,
    load: int = 0,
    share: float = 0.0,
    until: Instant | None = None,
) -> DestinationState:
    return DestinationState(
        target=target, state=state, open_load=load, overdue_share=share, lease_until=until
    )


def decided(
    reference: ReferenceData,
    *rules: Rule,
    states: tuple[DestinationState, ...] = (a_state(),),
    authority: str = "131000",
    region: str = "131082",
    guards: tuple[Guard, ...] = (),
    now: Instant = NOW,
) -> Decision:
    nation = a_pack(owner="100000", guards=guards)
    return decide(
        a_ticket(region=region),
        authority=authority,
        hosted=HEBEI,
        joined=frozenset({"120000"}),
        packs=PackSet([a_pack(a_rule("lf.normal"), *rules), nation]),
        reference=reference,
        now=now,
        states={state.target: state for state in states},
    )


def test_a_closed_units_ticket_goes_elsewhere_and_says_from_where(
    reference: ReferenceData,
) -> None:
    decision = decided(reference, a_diversion())

    assert (decision.target, decision.diverted_from, decision.rule) == (CITY_JT, JT, "lf.divert")
    assert [step.outcome.value for step in decision.trace] == ["won", "won"]
    assert "关闭" in decision.trace[-1].reason
    assert [state.target for state in decision.states] == [JT]


def test_without_a_declared_state_nothing_is_diverted(reference: ReferenceData) -> None:
    decision = decided(reference, a_diversion(), states=())

    assert (decision.target, decision.diverted_from, decision.states) == (JT, "", ())


@pytest.mark.parametrize(("left", "target"), [(timedelta(seconds=1), CITY_JT), (timedelta(0), JT)])
def test_a_diversion_ends_with_the_lease(
    left: timedelta, target: str, reference: ReferenceData
) -> None:
    states = (a_state(until=NOW + left),)

    assert decided(reference, a_diversion(), states=states).target == target


@pytest.mark.parametrize(
    ("there", "here", "target"),
    [
        (CLOSED, CLOSED, JT),
        (OVERLOADED, OVERLOADED, JT),
        (CLOSED, OVERLOADED, JT),
        (OVERLOADED, CLOSED, CITY_JT),
    ],
)
def test_it_never_goes_where_it_stands_no_better(
    there: DestinationCondition,
    here: DestinationCondition,
    target: str,
    reference: ReferenceData,
) -> None:
    states = (a_state(CITY_JT, there), a_state(JT, here))

    assert decided(reference, a_diversion(), states=states).target == target


def test_the_next_diversion_is_asked_when_one_cannot_be_carried_out(
    reference: ReferenceData,
) -> None:
    nobody = a_diversion("lf.nobody", action=Assign(UnitRef(kind="GGZY", number=9)))
    same = a_diversion("lf.same", action=Assign(UnitRef(kind="JT")))
    person = a_diversion("lf.person", action=Triage("谁来接办"))
    late = a_diversion("lf.late")
    decision = decided(reference, nobody, same, person, late)

    assert (decision.action, decision.rule, decision.diverted_from) == (
        Action.TRIAGE,
        "lf.person",
        JT,
    )
    assert {step.rule: step.outcome.value for step in decision.trace} == {
        "lf.normal": "won",
        "lf.nobody": "failed",
        "lf.same": "failed",
        "lf.person": "won",
        "lf.late": "lost",
    }


def test_a_guard_watches_over_diversions_too(reference: ReferenceData) -> None:
    guard = Guard(
        id="cn.guard.test",
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=Selectors(),
        explanation="测试护栏",
        forbids_reported=True,
    )
    ticket_of_the_city = decide(
        a_ticket(reported_units=("units/131000-XF-1",)),
        authority="131000",
        hosted=HEBEI,
        joined=frozenset(),
        packs=PackSet(
            [
                a_pack(
                    a_rule("lf.normal"),
                    a_diversion(action=Assign(UnitRef(unit_id=UnitId("131000-XF-1")))),
                ),
                a_pack(owner="100000", guards=(guard,)),
            ]
        ),
        reference=reference,
        now=NOW,
        states={JT: a_state()},
    )

    assert ticket_of_the_city.target == JT
    assert ticket_of_the_city.objections == ("cn.guard.test",)


def test_an_offer_is_diverted_like_an_assignment(reference: ReferenceData) -> None:
    keep = Assign(UnitRef(unit_id=UnitId("130000-JT-1")))
    decision = decide(
        a_ticket(),
        authority="130000",
        hosted=frozenset({"130000"}),
        joined=frozenset({"131000"}),
        packs=PackSet([a_pack(a_diversion(action=keep), owner="130000")]),
        reference=reference,
        now=NOW,
        states={"authorities/131000": a_state("authorities/131000")},
    )

    assert (decision.target, decision.diverted_from) == (
        "units/130000-JT-1",
        "authorities/131000",
    )


def test_an_emergency_is_never_diverted(reference: ReferenceData) -> None:
    refer = a_rule("lf.refer", action=Refer(EmergencyLine.FIRE_119))
    decision = decided(reference, refer, a_diversion(text="destination.open_load >= 0"))

    assert (decision.action, decision.rule) == (Action.REFER, "lf.refer")


def test_a_diversion_may_look_at_the_load(reference: ReferenceData) -> None:
    rule = a_diversion(text="destination.open_load > 500 && destination.overdue_share > 0.3")
    many = (a_state(state=DestinationCondition.NORMAL, load=501, share=0.5),)
    few = (a_state(state=DestinationCondition.NORMAL, load=500, share=0.5),)

    assert decided(reference, rule, states=many).target == CITY_JT
    assert decided(reference, rule, states=few).target == JT


def test_a_diversion_that_sends_to_an_authority_goes_along_the_usual_ways(
    reference: ReferenceData,
) -> None:
    decision = decided(reference, a_diversion(action=Offer(AuthorityCode("120000"))))

    assert (decision.target, decision.offer_reason.name) == ("authorities/130000", "OUTBOUND")


def test_the_state_that_was_looked_at_is_part_of_the_digest(reference: ReferenceData) -> None:
    first = decided(reference, a_diversion(), states=(a_state(load=1),))
    second = decided(reference, a_diversion(), states=(a_state(load=2),))

    assert first.trace == second.trace
    assert first.trace_digest != second.trace_digest
