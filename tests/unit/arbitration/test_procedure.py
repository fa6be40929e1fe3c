"""The procedure: stages that end by themselves, words on record, and the ruling by default."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration import machine, procedure
from gateway.arbitration.deadlines import first_due, objection_end, ruling_due, stage_due
from gateway.arbitration.model import (
    ENTRIES_PER_PARTY_MAX,
    OPEN,
    Case,
    CaseKey,
    Entry,
    RulingDue,
    TicketFacts,
)
from gateway.arbitration.procedure import StageDue
from gateway.arbitration.states import CASE, Step
from gateway.arbitration.watching import stages_of
from gateway.kernel.codes import CaseEntryKind, CaseState, RulingKind, Urgency
from gateway.kernel.errors import FieldInvalid, QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
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

CALENDAR = Calendar()
SOON = RulingDue(NOW + timedelta(hours=1))
STATES = [state for state in CaseState if state]


def later(_state: CaseState) -> RulingDue:
    return SOON


def filed(urgency: Urgency = Urgency.NORMAL, *, at: Instant = NOW) -> Case:
    facts = TicketFacts(urgency=urgency)
    return machine.file(
        a_filing(facts=facts),
        now=at,
        due=first_due(facts, filed=at, calendar=CALENDAR),
        stage_due=stage_due(CaseState.FILED, facts, entered=at, calendar=CALENDAR),
    )


def an_entry(kind: CaseEntryKind = CaseEntryKind.POSITION, party: str = BAODING) -> Entry:
    return Entry(
        number=0,
        kind=kind,
        party=AuthorityCode(party),
        author="lubiao://130600/staff/s1",
        said=NOW,
        proposed=LANGFANG,
        legal_basis="属地管理原则（测试）",
        words="测试陈述",
    )


def ruled(case: Case, **changes: object) -> Case:
    order = an_order(RulingKind.REASSIGN, LANGFANG)
    after = machine.require(case, order, custodian=SHIJIAZHUANG)
    ruling = a_ruling(len(case.rulings) + 1, order, **changes)
    return machine.rule(case, ruling, after=after, due=None)


def may_take(_party: str) -> bool:
    return True


# --- the table --------------------------------------------------------------------------------


def test_every_cell_is_a_transition_or_a_refusal() -> None:
    known = {state for state, _ in CASE} | set(CASE.values())
    assert known == set(STATES)
    for state, step in product(STATES, Step):
        assert CASE.get((state, step)) in {*STATES, None}
    assert all((state, Step.JOIN) in CASE for state in STATES)


def test_every_open_state_leads_on_when_its_time_is_over() -> None:
    for state in OPEN:
        assert (state, Step.LAPSE) in CASE
        assert CASE[state, Step.RULE] is CaseState.RULED


@pytest.mark.parametrize(("state", "step"), list(product(STATES, [Step.TAKE_UP, Step.CONVENE])))
def test_the_panel_moves_a_case_as_the_table_says(state: CaseState, step: Step) -> None:
    act = procedure.take_up if step is Step.TAKE_UP else procedure.convene
    case = a_case(state=state)
    if (state, step) in CASE:
        moved = act(case, stage_due=later)
        assert (moved.state, moved.stage_due) == (CASE[state, step], SOON)
        assert moved.revision > case.revision
        return
    with pytest.raises(TransitionNotAllowed):
        act(case, stage_due=later)


@pytest.mark.parametrize(("state", "kind"), list(product(STATES, [k for k in CaseEntryKind if k])))
def test_words_are_taken_as_the_table_says(state: CaseState, kind: CaseEntryKind) -> None:
    case, step = a_case(state=state), procedure._STEPS[kind]
    if (state, step) in CASE:
        said = procedure.say(case, an_entry(kind), stage_due=later)
        assert said.entries[-1].number == 1
        assert said.state is CASE[state, step]
        return
    with pytest.raises(TransitionNotAllowed):
        procedure.say(case, an_entry(kind), stage_due=later)


# --- stages -----------------------------------------------------------------------------------


def test_stages_follow_each_other_by_themselves() -> None:
    case, now, seen = filed(), NOW, []
    while case.stage_due is not None:
        now = case.stage_due.instant
        seen.append(case.state)
        stages = stages_of(case, entered=now, calendar=CALENDAR)
        case = procedure.lapse(case, stage_due=stages, now=now)
    assert seen == [CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE]
    assert case.state is CaseState.CONFERENCE  # heard; the ruling is due
    assert case.due is not None
    assert now < case.due.instant


def test_a_stage_ends_after_its_time_only() -> None:
    case = filed()
    early = NOW + timedelta(minutes=1)
    assert procedure.lapse(case, stage_due=later, now=early) is case


@given(
    at=st.integers(0, 330 * 24 * 60).map(
        lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    urgency=st.sampled_from([u for u in Urgency if u]),
)
def test_all_stages_end_before_the_ruling_is_due_whenever_it_is_filed(
    at: Instant, urgency: Urgency
) -> None:
    case, now = filed(urgency, at=at), at
    final = ruling_due(filed=at, calendar=CALENDAR).instant
    while case.stage_due is not None:
        assert case.stage_due.instant > now
        now = case.stage_due.instant
        stages = stages_of(case, entered=now, calendar=CALENDAR)
        case = procedure.lapse(case, stage_due=stages, now=now)
    assert now <= final


# --- the ruling by default --------------------------------------------------------------------


def test_the_first_receiver_has_it_when_nobody_ruled() -> None:
    order = procedure.default_order(a_case(), custodian=SHIJIAZHUANG, may_take=may_take)
    assert (order.kind, order.target) == (RulingKind.DEFAULT, BAODING)


def test_who_cannot_take_it_is_passed_over_and_the_desk_of_the_arbiter_is_last() -> None:
    case = a_case()
    gone = procedure.default_order(
        case, custodian=SHIJIAZHUANG, may_take=lambda code: code != BAODING
    )
    assert gone.target == SHIJIAZHUANG
    all_gone = procedure.default_order(
        case, custodian=SHIJIAZHUANG, may_take=lambda code: code == HEBEI
    )
    assert all_gone.target == HEBEI


def test_between_provinces_the_nation_never_holds() -> None:
    case = machine.file(
        a_filing(key=CaseKey(NATION, "c"), filer=TIANJIN, path=(TIANJIN, HEBEI)),
        now=NOW,
        due=RulingDue(NOW),
    )
    order = procedure.default_order(
        case, custodian=HEBEI, may_take=lambda code: code in {NATION, HEBEI}
    )
    assert order.target == HEBEI


def test_an_urgent_case_gets_somebody_for_the_time_being_first() -> None:
    case = filed(Urgency.EMERGENCY)
    order = procedure.default_order(case, custodian=SHIJIAZHUANG, may_take=may_take)
    assert (order.kind, order.target) == (RulingKind.INTERIM, SHIJIAZHUANG)
    after = machine.require(case, order, custodian=SHIJIAZHUANG, by_default=True)
    named = machine.rule(case, a_ruling(1, order), after=after, due=RulingDue(NOW))
    assert named.state is CaseState.FILED
    then = procedure.default_order(named, custodian=SHIJIAZHUANG, may_take=may_take)
    assert then.kind is RulingKind.DEFAULT


def test_no_panel_rules_by_default() -> None:
    with pytest.raises(FieldInvalid):
        machine.require(a_case(), an_order(RulingKind.DEFAULT), custodian=SHIJIAZHUANG)


# --- objections -------------------------------------------------------------------------------


def objecting(case: Case, party: AuthorityCode = BAODING, *, now: Instant = NOW) -> Case:
    proper = case.ruling_proper
    end = objection_end(issued=proper.issued, calendar=CALENDAR) if proper else now
    procedure.check_objection(case, party, end=end, now=now)
    return procedure.say(case, an_entry(CaseEntryKind.OBJECTION, party), stage_due=later)


def heard() -> Case:
    return procedure.say(a_case(), an_entry(), stage_due=later)


def test_an_objection_suspends_nothing_and_its_answer_ends_the_case() -> None:
    case = objecting(ruled(heard()))
    assert case.state is CaseState.OBJECTED
    taken = machine.take(case, number=1, now=NOW)
    assert (taken.state, taken.responsible) == (CaseState.OBJECTED, LANGFANG)
    answered = procedure.say(taken, an_entry(CaseEntryKind.ANSWER, HEBEI), stage_due=later)
    assert (answered.state, answered.closed) == (CaseState.CLOSED, NOW)


def test_an_answer_before_the_target_took_it_leaves_the_ruling_standing() -> None:
    answered = procedure.say(
        objecting(ruled(heard())), an_entry(CaseEntryKind.ANSWER, HEBEI), stage_due=later
    )
    assert answered.state is CaseState.RULED
    assert machine.take(answered, number=1, now=NOW).state is CaseState.CLOSED


def test_an_unanswered_objection_falls() -> None:
    case = objecting(ruled(heard()))
    end = SOON.instant
    assert procedure.lapse(case, stage_due=later, now=end).state is CaseState.RULED
    taken = machine.take(case, number=1, now=NOW)
    assert procedure.lapse(taken, stage_due=later, now=end).state is CaseState.CLOSED


def test_a_closed_case_is_objected_to_within_its_time() -> None:
    closed = machine.take(ruled(heard()), number=1, now=NOW)
    assert closed.state is CaseState.CLOSED
    case = objecting(closed)
    assert (case.state, case.closed) == (CaseState.OBJECTED, None)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(heard(), id="without a ruling"),
        pytest.param(ruled(a_case()), id="by who said nothing"),
        pytest.param(ruled(heard(), issued=NOW - timedelta(days=9)), id="too late"),
        pytest.param(objecting(ruled(heard())), id="a second time"),
    ],
)
def test_an_objection_out_of_turn_is_refused(case: Case) -> None:
    with pytest.raises(TransitionNotAllowed):
        objecting(case)


def test_who_filed_has_spoken() -> None:
    assert objecting(ruled(a_case()), SHIJIAZHUANG).state is CaseState.OBJECTED


def test_strangers_are_no_party() -> None:
    with pytest.raises(FieldInvalid):
        procedure.check_party(a_case(), TIANJIN)


def test_words_are_bounded() -> None:
    case = a_case()
    for _ in range(ENTRIES_PER_PARTY_MAX):
        case = procedure.say(case, an_entry(), stage_due=later)
    with pytest.raises(QuotaExceeded):
        procedure.say(case, an_entry(), stage_due=later)
    assert procedure.say(case, an_entry(party=LANGFANG), stage_due=later).entries[-1].number == 6


# --- all together -----------------------------------------------------------------------------


@given(
    urgency=st.sampled_from([u for u in Urgency if u]),
    acts=st.lists(
        st.tuples(
            st.sampled_from(["take up", "convene", "say", "object", "answer", "rule", "take"]),
            st.timedeltas(timedelta(minutes=5), timedelta(hours=30)),
        ),
        max_size=10,
    ),
)
def test_whatever_the_parties_do_a_ruling_proper_comes_within_three_working_days(
    urgency: Urgency, acts: list[tuple[str, timedelta]]
) -> None:
    world = _World(filed(urgency))
    for act, pause in acts:
        world.until(world.now + pause)
        world.attempt(act)
    world.until(NOW + timedelta(days=30))
    case = world.case
    assert case.state in {CaseState.RULED, CaseState.CLOSED}
    proper = next(item for item in case.rulings if item.kind is not RulingKind.INTERIM)
    assert proper.issued <= ruling_due(filed=NOW, calendar=CALENDAR).instant
    if urgency in {Urgency.EMERGENCY, Urgency.URGENT}:
        assert case.rulings[0].issued <= NOW + timedelta(hours=2)


class _World:
    """A case under the clocks that `watching.py` sets."""

    def __init__(self, case: Case) -> None:
        self.case, self.now = case, NOW

    @property
    def stages(self) -> StageDue:
        return stages_of(self.case, entered=self.now, calendar=CALENDAR)

    def until(self, end: Instant) -> None:
        while True:
            waits = [due.instant for due in (self.case.stage_due, self.case.due) if due]
            if not waits or min(waits) > end:
                self.now = end
                return
            self.now = max(self.now, min(waits))
            if self.case.due is not None and self.case.due.instant <= self.now:
                self._rule(
                    procedure.default_order(self.case, custodian=SHIJIAZHUANG, may_take=may_take)
                )
                continue
            self.case = procedure.lapse(self.case, stage_due=self.stages, now=self.now)

    def attempt(self, act: str) -> None:
        before = self.case
        try:
            self._do(act)
        except (TransitionNotAllowed, QuotaExceeded):
            assert self.case is before

    def _do(self, act: str) -> None:
        match act:
            case "take up":
                self.case = procedure.take_up(self.case, stage_due=self.stages)
            case "convene":
                self.case = procedure.convene(self.case, stage_due=self.stages)
            case "say":
                self._say(CaseEntryKind.POSITION)
            case "object":
                self.case = objecting(self.case, now=self.now)
            case "answer":
                self._say(CaseEntryKind.ANSWER)
            case "rule":
                self._rule(an_order())
            case _:
                self.case = machine.take(self.case, number=len(self.case.rulings), now=self.now)

    def _say(self, kind: CaseEntryKind) -> None:
        entry = replace(an_entry(kind), said=self.now)
        self.case = procedure.say(self.case, entry, stage_due=self.stages)

    def _rule(self, order: object) -> None:
        after = machine.require(self.case, order, custodian=SHIJIAZHUANG, by_default=True)  # type: ignore[arg-type] # an order
        ruling = a_ruling(len(self.case.rulings) + 1, order, issued=self.now)  # type: ignore[arg-type] # an order
        due = ruling_due(filed=NOW, calendar=CALENDAR) if after in OPEN else None
        self.case = machine.rule(self.case, ruling, after=after, due=due)


def test_a_case_that_lost_its_object_is_not_objected_to() -> None:
    case = machine.void(ruled(a_case()), now=NOW)
    assert case.state is CaseState.CLOSED
    with pytest.raises(TransitionNotAllowed):
        objecting(case, SHIJIAZHUANG)  # nobody will take it, so it would never be closed again


def test_who_had_it_before_gets_it_by_default_rather_than_nobody() -> None:
    case = a_case(path=("130100", "131000", "130600"))
    left = {"130100", "130600", case.key.scope}  # not in the roster any more
    order = procedure.default_order(
        case, custodian="130600", may_take=lambda code: code not in left, had_it={"131000"}
    )
    assert order.target == "131000"
