"""A case from its filing to TAKEN, step by step."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration import machine
from gateway.arbitration.deadlines import first_due, ruling_due
from gateway.arbitration.model import (
    FILINGS_PER_CASE_MAX,
    RULINGS_PER_CASE_MAX,
    Case,
    CaseKey,
    TicketFacts,
)
from gateway.arbitration.states import CASE, Step, allowed_steps
from gateway.kernel.codes import CaseGround, CaseLevel, CaseState, RulingKind, Urgency
from gateway.kernel.errors import FieldInvalid, QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.reference.calendar import Calendar
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    NATION,
    NOW,
    SHIJIAZHUANG,
    TIANJIN,
    a_case,
    a_filing,
    a_ruling,
    an_order,
)

LATER = NOW + timedelta(hours=1)
CALENDAR = Calendar()


def ruled(case: Case, kind: RulingKind = RulingKind.REASSIGN, target: str = LANGFANG) -> Case:
    order = an_order(kind, target)
    after = machine.require(case, order, custodian=SHIJIAZHUANG)
    number = len(case.rulings) + 1
    due = case.due if after is CaseState.FILED else None
    return machine.rule(case, a_ruling(number, order), after=after, due=due)


def test_a_filed_case_leaves_the_custodian_responsible() -> None:
    case = a_case()
    assert case.state is CaseState.FILED
    assert case.responsible == SHIJIAZHUANG
    assert case.parties == (SHIJIAZHUANG, BAODING)
    assert case.ground is CaseGround.PLACE


def test_a_party_that_does_not_hold_the_ticket_makes_nobody_else_responsible() -> None:
    filing = a_filing(filer=LANGFANG)
    case = machine.file(filing, now=NOW, due=a_case().due)  # type: ignore[arg-type] # is set
    assert case.responsible == SHIJIAZHUANG


def test_a_dispute_of_provinces_crosses_regions() -> None:
    key = CaseKey(NATION, "c")
    filing = a_filing(key=key, filer=TIANJIN, path=(TIANJIN,), level=CaseLevel.PROVINCES)
    case = machine.file(filing, now=NOW, due=a_case().due)  # type: ignore[arg-type] # is set
    assert case.ground is CaseGround.CROSS_REGION


def test_the_same_filing_again_changes_nothing() -> None:
    case = a_case()
    assert machine.join(case, a_filing()) is case


def test_another_party_joins_in_any_state() -> None:
    for state in CaseState:
        case = a_case(state=state)
        joined = machine.join(case, a_filing(filer=LANGFANG, proposed_target=None))
        assert joined.filers == (SHIJIAZHUANG, LANGFANG)
        assert joined.state is state
        assert joined.etag != case.etag


def test_parties_are_bounded() -> None:
    case = a_case()
    for number in range(FILINGS_PER_CASE_MAX + 5):
        case = machine.join(case, a_filing(filer=AuthorityCode(f"13{number:02d}00")))
    assert len(case.filers) == FILINGS_PER_CASE_MAX


def test_a_ruling_waits_for_its_target_and_closes_with_it() -> None:
    case = ruled(a_case())
    assert (case.state, case.due, case.responsible) == (CaseState.RULED, None, SHIJIAZHUANG)
    closed = machine.take(case, number=1, now=LATER)
    assert (closed.state, closed.closed) == (CaseState.CLOSED, LATER)
    assert closed.responsible == LANGFANG


def test_an_interim_order_keeps_the_case_open_even_when_it_is_taken() -> None:
    case = ruled(a_case(), RulingKind.INTERIM)
    assert case.state is CaseState.FILED
    taken = machine.take(case, number=1, now=LATER)
    assert (taken.state, taken.closed) == (CaseState.FILED, None)
    assert taken.responsible == LANGFANG


def test_a_target_that_is_down_is_overruled_by_the_next_ruling() -> None:
    case = ruled(ruled(a_case()), target=BAODING)
    assert [ruling.number for ruling in case.rulings] == [1, 2]
    late = machine.take(case, number=1, now=LATER)
    assert (late.state, late.responsible) == (CaseState.RULED, SHIJIAZHUANG)
    assert machine.take(late, number=2, now=LATER).state is CaseState.CLOSED


def test_what_is_taken_already_or_unknown_changes_nothing() -> None:
    case = ruled(a_case())
    taken = machine.take(case, number=1, now=LATER)
    assert machine.take(taken, number=1, now=LATER + timedelta(days=1)) is taken
    assert machine.take(case, number=9, now=LATER) is case


@pytest.mark.parametrize("state", [state for state in CaseState if state])
@pytest.mark.parametrize("kind", [RulingKind.INTERIM, RulingKind.REASSIGN])
def test_the_panel_can_do_what_the_table_says_and_nothing_else(
    state: CaseState, kind: RulingKind
) -> None:
    step = Step.INTERIM if kind is RulingKind.INTERIM else Step.RULE
    case, order = a_case(state=state), an_order(kind)
    if (state, step) in CASE:
        assert machine.require(case, order, custodian=SHIJIAZHUANG) is CASE[state, step]
        return
    with pytest.raises(TransitionNotAllowed) as refused:
        machine.require(case, order, custodian=SHIJIAZHUANG)
    assert refused.value.metadata["allowed"] == (", ".join(allowed_steps(state)) or "none")


def test_upholding_names_the_present_custodian_and_reassigning_another() -> None:
    with pytest.raises(FieldInvalid, match=SHIJIAZHUANG):
        machine.require(a_case(), an_order(RulingKind.UPHOLD, BAODING), custodian=SHIJIAZHUANG)
    with pytest.raises(FieldInvalid, match="UPHOLD"):
        machine.require(
            a_case(), an_order(RulingKind.REASSIGN, SHIJIAZHUANG), custodian=SHIJIAZHUANG
        )
    upheld = an_order(RulingKind.UPHOLD, SHIJIAZHUANG)
    assert machine.require(a_case(), upheld, custodian=SHIJIAZHUANG) is CaseState.RULED


@pytest.mark.parametrize("kind", [RulingKind.HOME, RulingKind.DEFAULT, RulingKind.UNSPECIFIED])
def test_other_kinds_are_no_panel_s(kind: RulingKind) -> None:
    with pytest.raises(FieldInvalid, match="kind"):
        machine.require(a_case(), an_order(kind), custodian=SHIJIAZHUANG)


def test_rulings_of_a_case_are_bounded() -> None:
    rulings = tuple(a_ruling(number + 1) for number in range(RULINGS_PER_CASE_MAX))
    with pytest.raises(QuotaExceeded):
        machine.require(a_case(rulings=rulings), an_order(), custodian=SHIJIAZHUANG)


def test_an_ordinary_case_is_due_in_three_working_days() -> None:
    due = first_due(TicketFacts(urgency=Urgency.NORMAL), filed=NOW, calendar=CALENDAR)
    assert due.instant.isoformat() == "2026-03-05T09:30:00+00:00"  # Thursday, closing time
    assert due.provisional  # a calendar without published years


@pytest.mark.parametrize("urgency", [Urgency.EMERGENCY, Urgency.URGENT])
def test_an_urgent_case_names_somebody_within_two_hours(urgency: Urgency) -> None:
    facts = TicketFacts(urgency=urgency)
    due = first_due(facts, filed=NOW, calendar=CALENDAR)
    assert due.instant == NOW + timedelta(hours=2)
    assert ruling_due(filed=NOW, calendar=CALENDAR).instant > due.instant


def test_a_case_is_late_after_its_time_only() -> None:
    case = a_case()
    assert not case.is_overdue(NOW)
    assert case.is_overdue(LATER)
    assert not ruled(case).is_overdue(LATER)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("rule"), st.sampled_from([BAODING, LANGFANG, HEBEI])),
            st.tuples(st.just("interim"), st.sampled_from([BAODING, LANGFANG, HEBEI])),
            st.tuples(st.just("take"), st.integers(1, 6)),
            st.tuples(st.just("join"), st.sampled_from([BAODING, LANGFANG])),
        ),
        max_size=12,
    )
)
def test_a_case_is_closed_exactly_when_its_newest_ruling_proper_is_taken(
    steps: list[tuple[str, object]],
) -> None:
    case = a_case()
    for step, value in steps:
        before = case
        match step:
            case "rule" | "interim" if len(case.rulings) < RULINGS_PER_CASE_MAX:
                kind = RulingKind.REASSIGN if step == "rule" else RulingKind.INTERIM
                try:
                    case = ruled(case, kind, str(value))
                except TransitionNotAllowed:
                    assert case is before
            case "take":
                case = machine.take(case, number=int(str(value)), now=LATER)
            case "join":
                case = machine.join(case, a_filing(filer=AuthorityCode(str(value))))
            case _:
                pass  # the bound of rulings is reached
        is_done = (
            bool(case.rulings)
            and case.rulings[-1].taken is not None
            and case.rulings[-1].kind is not RulingKind.INTERIM
        )
        assert (case.state is CaseState.CLOSED) == is_done
        assert case.revision >= before.revision
