"""Any rule and any ticket, from few enough values that they often meet."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from hypothesis import strategies as st

from gateway.kernel.codes import Channel, RiskTag, SubjectKind, TicketType, Urgency
from gateway.routing.model import DayKind, Hours, Moment, RoutingFacts, Rule, Selectors
from tests.unit.routing.builders import FROM, a_condition, a_rule

REGIONS = ("100000", "120000", "120101", "130000", "130100", "130102", "131000", "131082", "131003")
MATTERS = ("040000", "041200", "041300", "050000", "050500", "050502", "051200")
KINDS = ("GA", "JT")
UNITS = ("units/131082-GA-1", "units/131000-JT-1", "units/nonsense")
DAYS = st.integers(0, 40).map(lambda days: FROM + timedelta(days=days))
FLAGS = st.sampled_from((None, True, False))
HOURS = (Hours(22 * 60, 6 * 60), Hours(9 * 60, 17 * 60), Hours(0, 24 * 60))
MOMENTS = st.builds(
    Moment,
    DAYS,
    st.sampled_from((0, 359, 360, 539, 540, 1019, 1020, 1319, 1320, 1439)),
    st.sampled_from((None, *DayKind)),
)
NEWER = 99  # a number that no code table has yet
CONDITION_TEXTS = (
    "facts.zone == ''",
    "facts.region.startsWith('13')",
    "facts.insured_region != '' || facts.at_night",
    "1 / facts.risk_tags.size() == 1",  # fails for a ticket without any
)


Item = TypeVar("Item")


def some(items: tuple[Item, ...]) -> st.SearchStrategy[frozenset[Item]]:
    return st.frozensets(st.sampled_from(items), max_size=2)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    starts = draw(DAYS)
    ends = draw(st.none() | st.integers(1, 20).map(lambda days: starts + timedelta(days=days)))
    selectors = Selectors(
        regions=tuple(sorted(draw(some(REGIONS)))),
        matters=tuple(sorted(draw(some(MATTERS)))),
        types=draw(some(tuple(TicketType))),
        channels=draw(some((Channel.PHONE, Channel.APP))),
        urgencies=draw(some(tuple(Urgency))),
        subject_kinds=draw(some(tuple(SubjectKind))),
        risk_tags=draw(some((RiskTag(1), RiskTag(2)))),
        zones=draw(some(("zone-1",))),
        hours=tuple(draw(some(HOURS))),
        day_kinds=draw(some(tuple(DayKind))),
        reported_kinds=draw(some(KINDS)),
        reported_unit=draw(FLAGS),
        secrecy_required=draw(FLAGS),
        on_boundary=draw(FLAGS),
        condition=draw(st.none() | st.sampled_from(CONDITION_TEXTS).map(a_condition)),
    )
    return a_rule(selectors=selectors, effective_from=starts, effective_to=ends)


FACTS = st.builds(
    RoutingFacts,
    region=st.sampled_from(("", *REGIONS)),
    matter=st.sampled_from((*MATTERS, "041299", "990600", "x")),
    type=st.sampled_from((*TicketType, NEWER)),
    urgency=st.sampled_from(Urgency),
    channel=st.sampled_from((Channel.PHONE, Channel.APP, Channel.MAIL, NEWER)),
    subject_kind=st.sampled_from(SubjectKind),
    reported_units=st.lists(st.sampled_from(UNITS), max_size=2).map(tuple),
    zone=st.sampled_from(("", "zone-1")),
    on_boundary=st.booleans(),
    secrecy_required=st.booleans(),
    insured_region=st.sampled_from(("", *REGIONS)),
    at_night=st.booleans(),
    risk_tags=st.sampled_from(((), (1,), (1, 2))),
)
