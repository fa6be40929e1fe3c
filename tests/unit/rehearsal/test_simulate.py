"""A draft over past decisions: who gains, who loses, which tickets, and what it never does."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.database.memory import MemoryDatabase
from gateway.kernel.codes import OfferReason, RouteDecisionAction
from gateway.kernel.errors import FieldInvalid, PeerNotAllowed, RulePackInvalid
from gateway.reference.data import ReferenceData
from gateway.rehearsal.comparing import Comparison, first_day, in_force
from gateway.rehearsal.model import SAMPLES_MAX, Destination
from gateway.rehearsal.scenes import at_that_hour, name_of
from gateway.rehearsal.service import Progress, Trial
from gateway.routing.model import Decision, RoutingFacts
from gateway.routing.packs import PackSet
from tests.unit.rehearsal.builders import (
    LANGFANG,
    NOW,
    a_rehearsal,
    an_editor,
    decided,
    report_of,
)
from tests.unit.routing.builders import a_pack, a_rule, a_ticket

DRAFT = """\
pack: 131000.langfang
owner: "131000"
title: 廊坊市派单规则
rules:
  - id: lf.parking
    owner: 廊坊市12345热线管理机构
    legal_basis: 测试依据（待核实）
    effective_from: {start}
    effective_to: null
    when: {{matters: ["041200"]}}
    then: {{assign: {{kind: {kind}}}}}
    explanation: 试运行用的规则
"""
KEPT = a_ticket(matter="050502")
MOVED = a_ticket(matter="041200")


def a_draft(*, kind: str = "YB", start: str = "2026-01-01") -> bytes:
    return DRAFT.format(kind=kind, start=start).encode()


async def test_a_draft_tells_who_gains_and_who_loses(
    packs: PackSet, reference: ReferenceData
) -> None:
    database = MemoryDatabase()
    numbers = await decided(database, [MOVED] * 7 + [KEPT] * 3, packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    report, progress = await report_of(rehearsal, Trial(authority=LANGFANG, sources=(a_draft(),)))
    assert (report.examined, report.moved) == (10, 7)
    (flow,) = report.flows
    assert flow.before != flow.after
    assert flow.after == Destination(RouteDecisionAction.ASSIGN, "units/131082-YB-1")
    assert flow.samples == numbers[:SAMPLES_MAX]
    assert {rules[1] for rules in flow.rules} == {"lf.parking"}
    gained = {each.target: (each.gained, each.lost) for each in report.balances}
    assert gained == {flow.after.target: (7, 0), flow.before.target: (0, 7)}
    assert report.names[flow.after.target]
    assert report.authorities == ()  # it stays with the same authority
    assert progress[0] == Progress(0, 10)
    assert progress[-1] == Progress(10, 10)


async def test_what_is_in_force_moves_nothing(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    await decided(database, [MOVED, KEPT], packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    report, _ = await report_of(rehearsal, Trial(authority=LANGFANG))
    assert (report.examined, report.moved, report.beside, report.by_another_rule) == (2, 0, 0, 0)


async def test_a_draft_that_begins_later_is_tried_as_if_it_held(
    packs: PackSet, reference: ReferenceData
) -> None:
    database = MemoryDatabase()
    await decided(database, [MOVED], packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    draft = a_draft(start="2027-03-01")
    report, _ = await report_of(rehearsal, Trial(authority=LANGFANG, sources=(draft,)))
    assert (report.on, report.moved) == (date(2027, 3, 1), 1)
    before = Trial(authority=LANGFANG, sources=(draft,), on=date(2026, 12, 1))
    report, _ = await report_of(rehearsal, before)
    assert {flow.after.target for flow in report.flows} != {"units/131082-YB-1"}


async def test_two_drafts_can_be_compared(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    await decided(database, [MOVED], packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    trial = Trial(authority=LANGFANG, sources=(a_draft(),), baseline_sources=(a_draft(kind="GA"),))
    report, _ = await report_of(rehearsal, trial)
    assert report.flows[0].before.target == "units/131082-GA-1"
    assert report.baseline.startswith("131000.langfang@")


async def test_a_draft_with_errors_is_refused_whole(
    packs: PackSet, reference: ReferenceData
) -> None:
    rehearsal = a_rehearsal(MemoryDatabase(), packs=packs, reference=reference)
    trial = Trial(authority=LANGFANG, sources=(a_draft(kind="XX"),))
    with pytest.raises(RulePackInvalid, match="XX"):
        await report_of(rehearsal, trial)


async def test_a_pack_that_does_not_count_here_is_refused(
    packs: PackSet, reference: ReferenceData
) -> None:
    rehearsal = a_rehearsal(MemoryDatabase(), packs=packs, reference=reference)
    draft = a_draft().replace(b"131000", b"120000").replace(b"langfang", b"other")
    with pytest.raises(FieldInvalid, match="120000"):
        await report_of(rehearsal, Trial(authority=LANGFANG, sources=(draft,)))


async def test_nobody_looks_at_tickets_beside_or_above(
    packs: PackSet, reference: ReferenceData
) -> None:
    rehearsal = a_rehearsal(MemoryDatabase(), packs=packs, reference=reference)
    with pytest.raises(PeerNotAllowed):
        await report_of(rehearsal, Trial(authority="130000"), principal=an_editor(LANGFANG))
    report, _ = await report_of(rehearsal, Trial(authority=LANGFANG), principal=an_editor("130000"))
    assert report.examined == 0


async def test_a_range_is_bounded(packs: PackSet, reference: ReferenceData) -> None:
    rehearsal = a_rehearsal(MemoryDatabase(), packs=packs, reference=reference)
    for start in (NOW, NOW - timedelta(days=401)):
        with pytest.raises(FieldInvalid, match="400 days"):
            await report_of(rehearsal, Trial(authority=LANGFANG, start=start, end=NOW))


async def test_who_stops_listening_stops_the_trial_and_the_next_one_runs(
    packs: PackSet, reference: ReferenceData
) -> None:
    database = MemoryDatabase()
    await decided(database, [MOVED] * 3, packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    steps = rehearsal.simulate(an_editor(), Trial(authority=LANGFANG))
    assert await anext(steps) == Progress(0, 3)
    await steps.aclose()
    report, _ = await report_of(rehearsal, Trial(authority=LANGFANG))
    assert report.examined == 3


# --- counting ---------------------------------------------------------------------------------

TARGETS = st.sampled_from(("units/a", "units/b", "authorities/120000"))


def a_decision(target: str, *, rule: str = "r", assisting: tuple[str, ...] = ()) -> Decision:
    is_offer = target.startswith("authorities/")
    return Decision(
        action=RouteDecisionAction.OFFER if is_offer else RouteDecisionAction.ASSIGN,
        target=target,
        rule=rule,
        pack="p@1",
        legal_basis="",
        explanation="",
        offer_reason=OfferReason.UNSPECIFIED,
        assisting=assisting,
        objections=(),
        trace=(),
        trace_digest=b"",
        reference_version="",
        decide_time_microseconds=0,
    )


@given(st.lists(st.tuples(TARGETS, TARGETS), max_size=30))
def test_what_is_lost_is_gained_and_flows_say_all_of_it(pairs: list[tuple[str, str]]) -> None:
    comparison = Comparison("131000")
    for number, (before, after) in enumerate(pairs):
        comparison.add(str(number), NOW, before=a_decision(before), after=a_decision(after))
    moved = Counter(pair for pair in pairs if pair[0] != pair[1])
    assert comparison.moved == moved.total()
    flows = {(flow.before.target, flow.after.target): flow.count for flow in comparison.flows()}
    assert flows == dict(moved)
    for balance in comparison.balances():
        assert balance.after - balance.before == balance.gained - balance.lost
        assert balance.before == sum(before == balance.target for before, _ in pairs)
    assert sum(each.gained for each in comparison.balances()) == moved.total()
    abroad = {each.target for each in comparison.authorities()}
    assert abroad <= {"131000", "120000"}


def test_a_change_beside_and_a_change_of_the_rule_are_counted_apart() -> None:
    comparison = Comparison("131000")
    plain = a_decision("units/a")
    comparison.add("1", NOW, before=plain, after=a_decision("units/a", assisting=("units/b",)))
    comparison.add("2", NOW, before=plain, after=a_decision("units/a", rule="other"))
    comparison.add("3", NOW, before=plain, after=plain)
    assert (comparison.moved, comparison.beside, comparison.by_another_rule) == (0, 1, 1)


def test_flows_beyond_the_bound_are_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rehearsal.comparing.FLOWS_MAX", 2)
    comparison = Comparison("131000")
    for number in range(5):
        comparison.add(
            str(number), NOW, before=a_decision("units/x"), after=a_decision(f"units/{number}")
        )
    assert [flow.count for flow in comparison.flows()] == [3, 1, 1]
    assert comparison.moved == 5


def test_the_first_day_is_the_one_on_which_all_has_begun() -> None:
    today = date(2026, 11, 20)
    later, past = date(2027, 1, 1), date(2026, 1, 1)
    pack = a_pack(a_rule("a.one", effective_from=later), a_rule("a.two", effective_from=past))
    assert first_day([pack], today=today) == later
    assert first_day([a_pack(a_rule("a.two", effective_from=past))], today=today) == today
    (held,) = in_force([pack], on=today)
    assert [rule.id for rule in held.rules] == ["a.two"]


def test_the_hour_stays_when_the_day_changes() -> None:
    evening = datetime(2026, 10, 1, 15, 59, tzinfo=UTC)  # 23:59 in China
    assert at_that_hour(evening, on=date(2027, 1, 1)) == datetime(2027, 1, 1, 15, 59, tzinfo=UTC)
    night = datetime(2026, 10, 1, 16, 1, tzinfo=UTC)  # 00:01 of the next day
    assert at_that_hour(night, on=date(2027, 1, 1)) == datetime(2026, 12, 31, 16, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "source",
    ["pack: 131000.langfang\n", '规则包: "131000.langfang" # x\n', "# c\npack:   131000.langfang"],
)
def test_a_pack_says_its_name(source: str) -> None:
    assert name_of(source.encode()) == "131000.langfang"
    assert name_of(b"rules: []") == "draft"


def test_facts_of_the_tests_are_of_langfang(reference: ReferenceData) -> None:
    facts: RoutingFacts = MOVED
    assert reference.regions.is_within(facts.region, LANGFANG)
