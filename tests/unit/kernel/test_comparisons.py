"""Conditions that only compare mean the same without the CEL library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import NoiseSource, TicketType
from gateway.kernel.expressions import Language, Outcome, Program
from gateway.routing.codec import facts_to_pb
from gateway.routing.model import RoutingFacts
from hotline.routing.v1 import routing_service_pb2 as routing_pb

LANGUAGE = Language(routing_pb.RoutingFacts, variable="facts", container="hotline.ticket.v1")
ATOMS = (
    "facts.at_night",
    "has(facts.owner_unknown)",
    "facts.zone == ''",
    "facts.zone != '园区'",
    "facts.zone in ['园区', 'zone-1']",
    "facts.type == TicketType.TICKET_TYPE_HELP",
    "facts.noise_source != NoiseSource.NOISE_SOURCE_TRAFFIC",
    "facts.type in [TicketType.TICKET_TYPE_HELP, TicketType.TICKET_TYPE_REPORT]",
)
TEXTS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, st.sampled_from(("&&", "||")), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=5,
)
FACTS = st.builds(
    RoutingFacts,
    region=st.just("131082"),
    matter=st.just("041200"),
    urgency=st.just(1),
    type=st.sampled_from((*TicketType, 99)).map(int),
    zone=st.sampled_from(("", "园区", "zone-1", "zone-2")),
    noise_source=st.sampled_from(NoiseSource),
    at_night=st.booleans(),
    owner_unknown=st.booleans(),
)


def compiled(text: str) -> Program:
    program = LANGUAGE.compile(text)
    assert isinstance(program, Program), program
    return program


@given(text=TEXTS, tickets=st.lists(FACTS, min_size=1, max_size=8))
def test_a_comparison_gives_what_the_library_gives(text: str, tickets: list[RoutingFacts]) -> None:
    program = compiled(text)
    assert program.plain is not None
    for facts in tickets:
        slow = program.evaluate(LANGUAGE.bind(facts_to_pb(facts)))
        assert program.plain(facts) is (slow is Outcome.TRUE)


@pytest.mark.parametrize(
    "text",
    [
        "facts.region.startsWith('13')",
        "facts.risk_tags.size() > 1",
        "1 / facts.risk_tags.size() == 1",
        "facts.risk_tags == []",
        "facts.zone == facts.region",
        "facts.zone in [facts.region]",
        "facts.at_night == true",
        "facts.at_night ? facts.zone == '' : facts.owner_unknown",
        "'x' in facts.passing_regions",
        "facts.at_night && facts.risk_tags[0] == RiskTag.RISK_TAG_MINOR",
        "!(facts.region > '13')",
        "true",
    ],
)
def test_what_does_more_than_compare_stays_with_the_library(text: str) -> None:
    assert compiled(text).plain is None
