"""Service levels: which limit holds for a ticket and when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.time import SHANGHAI, Instant
from gateway.reference.calendar import Calendar
from gateway.reference.data import ReferenceData, published_days
from gateway.reference.service_levels import (
    FLOOR_STEPS,
    TICKET_TYPES,
    URGENCIES,
    Limit,
    LimitUnit,
    Profile,
    Scope,
    ServiceLevel,
    ServiceLevels,
    Step,
    due,
    is_floor,
    parse_limit,
    parse_service_levels,
    recompute,
)
from gateway.reference.tables import Findings

ON = date(2026, 3, 2)
CONSULTATION, HELP, COMPLAINT = 1, 2, 3
EMERGENCY, URGENT, GENERAL, SLOW = 1, 2, 3, 4


WRITTEN_FLOOR = {
    "id": "floor",
    "region": "100000",
    "scope": "both",
    "limits": {step.value: "2 working_hours" for step in Step},
    "source": "x",
}


def read(findings: Findings, data: ReferenceData, text: object) -> tuple[Profile, ...]:
    """Read the nation's file, here `s`."""
    return parse_service_levels({"s": text}, regions=data.regions, findings=findings)


def at(text: str) -> Instant:
    """Read a Shanghai wall-clock time."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def limit(text: str) -> Limit:
    found = parse_limit(text)
    assert found is not None
    return found


def a_row(profile_id: str, region: str, resolve: str, **changes: object) -> Profile:
    values: dict[str, object] = {
        "profile_id": profile_id,
        "region": region,
        "source": "test",
        "limits": {Step.RESOLVE: limit(resolve)},
    }
    return Profile(**(values | changes))  # type: ignore[arg-type] # a builder of a frozen value


FLOOR = Profile(
    profile_id="floor",
    region="100000",
    source="test",
    limits={step: limit("15 working_days") for step in Step},
    scope=Scope.BOTH,
)


def level_for(
    levels: ServiceLevels,
    *,
    region: str = "131000",
    ticket_type: int = COMPLAINT,
    urgency: int = GENERAL,
    matter: str = "041200",
    on: date = ON,
    cross_region: bool = False,
) -> ServiceLevel:
    return levels.profile_for(
        region=region,
        ticket_type=ticket_type,
        urgency=urgency,
        matter=matter,
        on=on,
        cross_region=cross_region,
    )


def resolve_of(data: ReferenceData, *rows: Profile, **facts: object) -> str:
    levels = ServiceLevels((FLOOR, *rows), regions=data.regions)
    return str(level_for(levels, **facts).resolve)  # type: ignore[arg-type] # facts by name


# --- the shipped profiles ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticket_type", "urgency", "dispatch", "resolve"),
    [
        (CONSULTATION, GENERAL, "24 natural_hours", "3 working_days"),
        (HELP, GENERAL, "24 natural_hours", "7 working_days"),
        (COMPLAINT, GENERAL, "24 natural_hours", "15 working_days"),
        (COMPLAINT, SLOW, "24 natural_hours", "15 working_days"),
        (COMPLAINT, EMERGENCY, "1 natural_hours", "24 natural_hours"),
        (CONSULTATION, URGENT, "2 natural_hours", "24 natural_hours"),
        (7, GENERAL, "24 natural_hours", "15 working_days"),
    ],
)
def test_the_national_default_limits(
    data: ReferenceData, ticket_type: int, urgency: int, dispatch: str, resolve: str
) -> None:
    level = level_for(data.service_levels, ticket_type=ticket_type, urgency=urgency)
    assert (str(level.dispatch), str(level.resolve)) == (dispatch, resolve)


@pytest.mark.parametrize(
    ("urgency", "window", "review", "request_limit"),
    [
        (GENERAL, "4 working_hours", "1 working_days", "1 working_days"),
        (SLOW, "4 working_hours", "1 working_days", "1 working_days"),
        (URGENT, "2 natural_hours", "4 natural_hours", "2 natural_hours"),
        (EMERGENCY, "2 natural_hours", "4 natural_hours", "2 natural_hours"),
    ],
)
def test_what_no_row_states_about_returns_has_a_default(
    data: ReferenceData, urgency: int, window: str, review: str, request_limit: str
) -> None:
    level = level_for(data.service_levels, ticket_type=COMPLAINT, urgency=urgency)
    limits = (level.return_window, level.return_review, level.unit_request)
    assert tuple(map(str, limits)) == (window, review, request_limit)
    assert dict(level.origins)[Step.RETURN] == "default"


def test_an_authority_states_its_own_windows_for_returns(data: ReferenceData) -> None:
    row = replace(
        FLOOR,
        profile_id="city",
        region="320500",
        scope=Scope.LOCAL,
        limits={Step.RETURN: limit("2 working_hours"), Step.REQUEST: limit("3 working_days")},
    )
    levels = ServiceLevels((FLOOR, row), regions=data.regions)
    own = level_for(levels, region="320500")
    assert (str(own.return_window), str(own.unit_request)) == ("2 working_hours", "3 working_days")
    assert str(level_for(levels, region="310000").return_window) == str(
        FLOOR.limits.get(Step.RETURN, limit("4 working_hours"))
    )


def test_a_floor_need_not_state_what_has_a_default(data: ReferenceData) -> None:
    findings = Findings()
    limits = {step.value: "2 working_hours" for step in FLOOR_STEPS}
    rows = read(findings, data, {"profiles": [WRITTEN_FLOOR | {"limits": limits}]})
    assert [is_floor(row) for row in rows] == [True]


def test_a_ticket_that_leaves_its_province_has_the_cross_region_limits(
    data: ReferenceData,
) -> None:
    facts = {"ticket_type": CONSULTATION, "region": "510000"}
    here = level_for(data.service_levels, **facts)  # type: ignore[arg-type] # facts by name
    away = level_for(data.service_levels, **facts, cross_region=True)  # type: ignore[arg-type] # wrong on purpose
    assert dict(here.origins)[Step.RESOLVE] == "sichuan.consultation"
    assert dict(away.origins)[Step.RESOLVE] == "nation.cross-region.consultation"
    assert (str(here.contact), str(away.contact)) == ("1 working_days", "2 working_days")
    urgent = level_for(data.service_levels, urgency=URGENT, cross_region=True)
    assert (str(urgent.contact), str(urgent.answer)) == ("4 natural_hours", "2 natural_hours")


def test_urgent_limits_are_natural_time_for_every_region_and_type(data: ReferenceData) -> None:
    for region in ("100000", "110000", "131000", "510000"):
        for ticket_type in TICKET_TYPES:
            for urgency in (EMERGENCY, URGENT):
                level = level_for(
                    data.service_levels, region=region, ticket_type=ticket_type, urgency=urgency
                )
                limits = (level.dispatch, level.answer, level.sign, level.contact, level.resolve)
                assert all(each.is_natural for each in limits)


def test_every_row_names_its_source(data: ReferenceData) -> None:
    assert all(row.source for row in data.service_levels)


@given(
    place=st.integers(0, 10_000),
    ticket_type=st.integers(0, 9),
    urgency=st.integers(0, 9),
    matter=st.sampled_from(["041200", "999999", ""]),
    on=st.dates(),
    cross_region=st.booleans(),
)
def test_there_is_a_level_for_every_ticket_on_every_day(  # noqa: PLR0917 -- hypothesis gives six facts
    data: ReferenceData,
    place: int,
    ticket_type: int,
    urgency: int,
    matter: str,
    on: date,
    cross_region: bool,
) -> None:
    codes = data.regions.codes()
    level = level_for(
        data.service_levels,
        region=codes[place % len(codes)],
        ticket_type=ticket_type,
        urgency=urgency,
        matter=matter,
        on=on,
        cross_region=cross_region,
    )
    assert [step for step, _ in level.origins] == list(Step)


# --- which row wins ---------------------------------------------------------------------------


def test_a_city_states_only_what_differs_and_inherits_the_rest(data: ReferenceData) -> None:
    levels = ServiceLevels(
        (
            FLOOR,
            a_row("province", "130000", "10 working_days"),
            a_row("city", "131000", "9 working_days", limits={Step.SIGN: limit("1 working_hours")}),
        ),
        regions=data.regions,
    )
    level = level_for(levels)
    origins = dict(level.origins)
    assert str(level.resolve) == "10 working_days"
    assert str(level.sign) == "1 working_hours"
    assert (origins[Step.RESOLVE], origins[Step.SIGN]) == ("province", "city")
    assert origins[Step.EXTENSION] == "floor"


def test_the_smaller_region_wins_and_other_regions_do_not_count(data: ReferenceData) -> None:
    rows = (
        a_row("province", "130000", "10 working_days"),
        a_row("city", "131000", "9 working_days"),
        a_row("elsewhere", "120000", "1 working_days"),
    )
    assert resolve_of(data, *rows) == "9 working_days"
    assert resolve_of(data, *rows, region="130100") == "10 working_days"


def test_a_statutory_limit_overrides_a_smaller_region(data: ReferenceData) -> None:
    rows = (
        a_row("law", "100000", "45 working_days", matter="041200", is_statutory=True),
        a_row("city", "131000", "9 working_days"),
    )
    assert resolve_of(data, *rows) == "45 working_days"
    assert resolve_of(data, *rows, matter="041300") == "9 working_days"


def test_in_one_region_matter_then_scope_then_urgency_then_type_then_date_decide(
    data: ReferenceData,
) -> None:
    by_weight = [
        a_row("z", "131000", "1 working_days", scope=Scope.BOTH),
        a_row("y", "131000", "2 working_days", scope=Scope.BOTH, effective_from=date(2025, 1, 1)),
        a_row("x", "131000", "3 working_days", scope=Scope.BOTH, effective_from=date(2026, 1, 1)),
        a_row("w", "131000", "4 working_days", scope=Scope.BOTH, ticket_types=(COMPLAINT,)),
        a_row("v", "131000", "5 working_days", scope=Scope.BOTH, urgencies=(GENERAL,)),
        a_row("u", "131000", "6 working_days"),
        a_row("t", "131000", "7 working_days", matter="040000"),
        a_row("s", "131000", "8 working_days", matter="041200"),
    ]
    for count in range(1, len(by_weight) + 1):
        assert resolve_of(data, *by_weight[:count]) == f"{count} working_days"


def test_of_equal_rows_the_first_id_wins_whatever_the_order(data: ReferenceData) -> None:
    one, two = a_row("a", "131000", "1 working_days"), a_row("b", "131000", "2 working_days")
    assert resolve_of(data, one, two) == resolve_of(data, two, one) == "1 working_days"


def test_rows_for_other_tickets_or_later_days_do_not_count(data: ReferenceData) -> None:
    rows = (
        a_row("type", "131000", "1 working_days", ticket_types=(CONSULTATION,)),
        a_row("urgency", "131000", "2 working_days", urgencies=(SLOW,)),
        a_row("matter", "131000", "3 working_days", matter="050000"),
        a_row("later", "131000", "4 working_days", effective_from=date(2026, 3, 3)),
        a_row("away", "131000", "5 working_days", scope=Scope.CROSS_REGION),
    )
    assert resolve_of(data, *rows) == "15 working_days"
    assert resolve_of(data, *rows, cross_region=True) == "5 working_days"
    assert resolve_of(data, *rows, on=date(2026, 3, 3)) == "4 working_days"


# --- when it ends -----------------------------------------------------------------------------


def test_due_times_of_a_general_complaint(data: ReferenceData) -> None:
    times = due(level_for(data.service_levels), at("2026-03-02 10:00"), data.calendar)
    assert times.dispatch_due == at("2026-03-03 10:00")
    assert times.sign_due == times.contact_due == at("2026-03-03 17:30")
    assert times.resolve_due == at("2026-03-23 17:30")
    assert not times.provisional


def test_handling_starts_at_dispatch_or_when_the_dispatch_limit_ends(data: ReferenceData) -> None:
    level = level_for(data.service_levels, urgency=URGENT)
    start = at("2026-03-02 10:00")
    early = due(level, start, data.calendar, dispatched=start + timedelta(minutes=30))
    late = due(level, start, data.calendar, dispatched=start + timedelta(days=9))
    assert early.sign_due == at("2026-03-02 12:30")
    assert late.sign_due == at("2026-03-02 14:00")  # 2 h to dispatch, then 2 h to sign
    assert early.dispatch_due == late.dispatch_due == at("2026-03-02 12:00")


def test_case_23_the_last_working_day_of_2026_gives_a_provisional_due_time(
    data: ReferenceData,
) -> None:
    level = level_for(data.service_levels, ticket_type=5)
    assert due(level, at("2026-12-31 10:00"), data.calendar).provisional
    urgent = level_for(data.service_levels, ticket_type=5, urgency=URGENT)
    assert not due(urgent, at("2026-12-31 10:00"), data.calendar).provisional


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("30 natural_minutes", "2026-03-06 17:30"),
        ("48 natural_hours", "2026-03-08 17:00"),
        ("1 working_hours", "2026-03-09 09:30"),
        ("1 working_days", "2026-03-09 17:30"),
    ],
)
def test_each_unit_counts_in_its_own_way(text: str, end: str) -> None:
    calendar = Calendar(published_days())
    assert limit(text).end(at("2026-03-06 17:00"), calendar).instant == at(end)
    assert str(limit(text)) == text


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "15", "15 days", "0 working_days", "1001 working_days", "-1 working_days"]
)
def test_other_texts_are_no_limit(text: str) -> None:
    assert parse_limit(text) is None


def test_a_profile_is_read_as_written(data: ReferenceData) -> None:
    findings = Findings()
    rows = read(
        findings,
        data,
        {
            "profiles": [
                {
                    "id": "floor",
                    "region": "100000",
                    "scope": "both",
                    "limits": {step.value: "2 working_hours" for step in Step},
                    "source": "x",
                },
                {
                    "id": "law",
                    "region": "130000",
                    "ticket_types": [3, 4],
                    "urgencies": [3],
                    "matter": "060000",
                    "statutory": True,
                    "effective_from": date(2026, 1, 1),
                    "effective_to": date(2027, 1, 1),
                    "limits": {"resolve": "7 working_days"},
                    "source": "x",
                },
            ]
        },
    )
    assert not findings.items
    assert is_floor(rows[0])
    assert rows[1] == Profile(
        profile_id="law",
        region="130000",
        source="x",
        effective_from=date(2026, 1, 1),
        effective_to=date(2027, 1, 1),
        limits={Step.RESOLVE: Limit(7, LimitUnit.WORKING_DAYS)},
        ticket_types=(3, 4),
        urgencies=(3,),
        matter="060000",
        is_statutory=True,
    )


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"id": ""}, "s.profiles[0].id"),
        ({"source": None}, "s.profiles[0].source"),
        ({"region": 130000}, "s.profiles[0].region"),
        ({"scope": "abroad"}, "s.profiles[0].scope"),
        ({"ticket_types": [True]}, "s.profiles[0].ticket_types"),
        ({"statutory": "yes"}, "s.profiles[0].statutory"),
        ({"effective_from": "soon"}, "s.profiles[0].effective_from"),
        ({"effective_to": "never"}, "s.profiles[0].effective_to"),
        ({"effective_to": date(2027, 1, 1)}, "s"),  # a floor has no end
        ({"limits": {"resolve": "soon"}}, "s.profiles[0].limits.resolve"),
        ({"limits": {"reply": "1 working_days"}}, "s.profiles[0].limits"),
        ({"limits": None}, "s.profiles[0].limits"),
        ({"urgency": 1}, "s.profiles[0]"),
        ({"matter": "060000"}, "s"),  # then nothing is a floor any more
    ],
)
def test_a_mistake_in_a_profile_is_named(
    data: ReferenceData, changes: dict[str, object], location: str
) -> None:
    profile: dict[str, object] = {
        "id": "floor",
        "region": "100000",
        "scope": "both",
        "limits": {step.value: "2 working_hours" for step in Step},
        "source": "x",
    }
    findings = Findings()
    read(findings, data, {"profiles": [profile | changes]})
    assert location in [finding.location for finding in findings.items]


def test_an_id_that_is_there_twice_is_named(data: ReferenceData) -> None:
    findings = Findings()
    profile = {"id": "a", "region": "100000", "source": "x", "limits": {}}
    read(findings, data, {"profiles": [profile, profile]})
    assert [finding.location for finding in findings.items] == ["s.profiles[1]", "s"]


def test_an_authority_times_only_its_own_area(data: ReferenceData) -> None:
    profile = {
        "id": "a",
        "region": "131000",
        "source": "x",
        "limits": {"resolve": "1 working_days"},
    }
    for owner, problems in (("130000", []), ("131000", []), ("320000", ["outside 320000"])):
        findings = Findings()
        rows = parse_service_levels(
            {
                "service_levels.yaml": {"profiles": [WRITTEN_FLOOR]},
                f"service_levels/{owner}.yaml": {"profiles": [profile]},
            },
            regions=data.regions,
            findings=findings,
        )
        assert [row.profile_id for row in rows] == ["floor", "a"]
        assert [finding.problem[-14:] for finding in findings.items] == problems


def test_the_projects_rows_of_authorities_are_loaded_beside_the_nations(
    data: ReferenceData,
) -> None:
    owners = {row.region for row in data.service_levels}
    assert {"100000", "110000", "310000", "320500", "510000"} <= owners
    city = level_for(data.service_levels, region="320506", ticket_type=HELP)
    assert (dict(city.origins)[Step.RESOLVE], str(city.resolve)) == (
        "suzhou.help",
        "5 working_days",
    )
    leaving = level_for(data.service_levels, region="320506", ticket_type=HELP, cross_region=True)
    assert dict(leaving.origins)[Step.RESOLVE] == "nation.help-and-advice"


@pytest.mark.parametrize(
    ("on", "resolve"),
    [
        (date(2026, 3, 1), "15 working_days"),
        (date(2026, 3, 2), "9 working_days"),
        (date(2026, 6, 30), "9 working_days"),
        (date(2026, 7, 1), "15 working_days"),
    ],
)
def test_a_row_holds_from_its_first_day_until_before_its_last(
    data: ReferenceData, on: date, resolve: str
) -> None:
    row = a_row(
        "city",
        "131000",
        "9 working_days",
        effective_from=date(2026, 3, 2),
        effective_to=date(2026, 7, 1),
    )
    assert resolve_of(data, row, on=on) == resolve


def test_a_provisional_due_time_is_computed_again_when_the_year_is_published(
    data: ReferenceData,
) -> None:
    level = level_for(data.service_levels, region="120000", ticket_type=5)
    start = at("2026-12-31T10:00")
    before = due(level, start, data.calendar, dispatched=start)
    assert before.provisional
    new_year = {date(2027, 1, day): False for day in (1, 2, 3, 4)}
    published = replace(data.calendar, overlay=new_year, overlay_years=frozenset({2027}))

    after = recompute(level, start, published, dispatched=start)

    assert not after.provisional
    assert after.resolve_due - before.resolve_due == timedelta(days=2)  # 1 and 4 January are off
    assert after == recompute(level, start, published, dispatched=start)


def test_what_nobody_dispatched_is_timed_from_the_end_of_the_dispatch_limit(
    data: ReferenceData,
) -> None:
    level = level_for(data.service_levels)
    start = at("2026-03-02T10:00")
    waiting = recompute(level, start, data.calendar, dispatched=None)
    end = level.dispatch.end(start, data.calendar).instant
    assert waiting == due(level, start, data.calendar, dispatched=end)


@pytest.mark.parametrize(("days", "kept"), [(30, True), (1, False)])
def test_a_granted_extension_is_never_shortened(data: ReferenceData, days: int, kept: bool) -> None:
    level = level_for(data.service_levels)
    start = at("2026-03-02T10:00")
    plain = due(level, start, data.calendar, dispatched=start)
    granted = start + timedelta(days=days)
    times = recompute(level, start, data.calendar, dispatched=start, extended_to=granted)
    assert times.resolve_due == (granted if kept else plain.resolve_due)


def test_the_ranges_are_those_of_the_standard() -> None:
    assert (list(TICKET_TYPES), list(URGENCIES)) == ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4])
