"""Conditions of rules: what they can see, what an error does, what the trace says."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buf.validate import validate_pb2
from gateway.kernel.expressions import ITEMS_MAX
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.routing.codec import facts_to_pb
from gateway.routing.conditions import CelConditions, cel_conditions
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    ConditionFault,
    Decision,
    DestinationState,
    Outcome,
    RoutingFacts,
    Selectors,
    Triage,
    Verdict,
)
from gateway.routing.packs import PackSet
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import ticket_pb2
from hotline.type.v1 import data_class_pb2
from tests.unit.routing.builders import NOW, a_condition, a_pack, a_rule, a_ticket
from tests.unit.routing.strategies import FACTS

MESSAGE = routing_pb.RoutingFacts.DESCRIPTOR


def decided(
    facts: RoutingFacts, reference: ReferenceData, *texts: str, now: Instant = NOW
) -> Decision:
    rules = [
        a_rule(f"lf.{order}", selectors=Selectors(condition=a_condition(text)))
        for order, text in enumerate(texts)
    ]
    return decide(
        facts,
        authority="131000",
        hosted=frozenset({"131000"}),
        joined=frozenset({"130000"}),
        packs=PackSet([a_pack(*rules)]),
        reference=reference,
        now=now,
    )


# --- what a condition can see --------------------------------------------------------------------


def test_no_field_that_a_condition_can_see_is_personal() -> None:
    """Every field is public, and none is a message that could hide another one."""
    for field in MESSAGE.fields:
        assert field.message_type is None, field.name
        if field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
            given_class = field.GetOptions().Extensions[data_class_pb2.data_class]
            assert given_class == data_class_pb2.DATA_CLASS_PUBLIC, field.name


def test_the_message_and_the_value_have_the_same_fields() -> None:
    assert {field.name for field in MESSAGE.fields} == {each.name for each in fields(RoutingFacts)}


def test_the_lists_are_as_short_as_the_costs_assume() -> None:
    for field in MESSAGE.fields:
        if field.is_repeated:
            limits = field.GetOptions().Extensions[validate_pb2.field].repeated
            assert 0 < limits.max_items <= ITEMS_MAX, field.name


PERSONAL = sorted(
    {field.name for field in ticket_pb2.Citizen.DESCRIPTOR.fields}
    | {"citizen", "content", "title", "address", "place", "name", "phone", "certificate_number"}
)


@pytest.mark.parametrize("name", PERSONAL)
@pytest.mark.parametrize(
    "form",
    ["facts.{} != ''", "{} != ''", "has(facts.{})", "facts['{}'] != ''", "dyn(facts).{} != ''"],
)
def test_a_personal_field_does_not_compile(name: str, form: str) -> None:
    assert isinstance(cel_conditions().compile(form.format(name)), ConditionFault)


@given(facts=FACTS)
def test_a_condition_sees_the_facts_as_they_are(facts: RoutingFacts) -> None:
    conditions = CelConditions()
    for text, expected in (
        ("facts.region != ''", bool(facts.region)),
        ("facts.reported_units.size() == 0", not facts.reported_units),
        ("facts.type == TicketType.TICKET_TYPE_COMPLAINT", facts.type == 3),
        ("facts.insured_region.startsWith('13')", facts.insured_region.startswith("13")),
    ):
        condition = conditions.compile(text)
        assert not isinstance(condition, ConditionFault)
        assert condition.test(facts) == Verdict(expected)
        assert condition.test(replace(facts, region="")) == Verdict(
            expected if "facts.region" not in text else False
        )


@given(facts=FACTS)
def test_the_message_of_facts_says_all_of_them(facts: RoutingFacts) -> None:
    message = facts_to_pb(facts)
    for each in fields(RoutingFacts):
        value, told = getattr(facts, each.name), getattr(message, each.name)
        assert value == (tuple(told) if isinstance(value, tuple) else told)


# --- what it does in a decision ------------------------------------------------------------------


def test_the_trace_says_what_became_of_each_condition(reference: ReferenceData) -> None:
    decision = decided(
        a_ticket(zone="高新区"),
        reference,
        "facts.zone == '经开区'",
        "1 / facts.risk_tags.size() == 1",
        "facts.zone == '高新区'",
        "facts.region == '131082'",
        "facts.at_night",
    )

    assert decision.rule == "lf.2"
    told = [(step.rule, step.outcome, step.reason) for step in decision.trace]
    assert told == [
        ("lf.0", Outcome.FAILED, "条件不符：条件式"),
        ("lf.1", Outcome.FAILED, "条件不符：条件式（除数为零）"),
        ("lf.2", Outcome.WON, "派给承办单位：units/131082-JT-1（条件式成立）"),
        ("lf.3", Outcome.LOST, "在规则 lf.2 之后（条件式成立）"),
        ("lf.4", Outcome.FAILED, "条件不符：条件式"),
    ]


def test_a_rule_whose_condition_fails_to_evaluate_does_not_apply(reference: ReferenceData) -> None:
    rule = a_rule(
        "lf.asks",
        action=Triage("谁的"),
        selectors=Selectors(condition=a_condition("facts.reported_units[3] == 'x'")),
    )
    decision = decide(
        a_ticket(),
        authority="131000",
        hosted=frozenset({"131000"}),
        joined=frozenset(),
        packs=PackSet([a_pack(rule, a_rule("lf.next"))]),
        reference=reference,
        now=NOW,
    )

    assert decision.rule == "lf.next"
    assert decision.trace[0].reason == "条件不符：条件式（下标或键不存在）"


def test_a_condition_is_asked_only_about_tickets_that_the_rest_selects(
    reference: ReferenceData,
) -> None:
    class Never:
        text = "never"

        names_destination = False

        def test(self, facts: RoutingFacts, destination: DestinationState | None = None) -> Verdict:
            raise AssertionError(facts)

    selectors = Selectors(zones=frozenset({"elsewhere"}), condition=Never())
    packs = PackSet([a_pack(a_rule("lf.zone", selectors=selectors))])

    decision = decide(
        a_ticket(),
        authority="131000",
        hosted=frozenset({"131000"}),
        joined=frozenset(),
        packs=packs,
        reference=reference,
        now=NOW,
    )

    assert "lf.zone" not in {step.rule for step in decision.trace}


@given(facts=FACTS, texts=st.lists(st.sampled_from(("facts.at_night", "1 / 0 == 1")), max_size=3))
def test_equal_inputs_give_equal_bytes_whatever_was_asked_before(
    reference: ReferenceData, facts: RoutingFacts, texts: list[str]
) -> None:
    first = decided(facts, reference, *texts)
    decided(a_ticket(region="131003"), reference, *texts)
    again = decided(replace(facts), reference, *texts)

    assert first == again
    assert first.trace_digest == again.trace_digest
