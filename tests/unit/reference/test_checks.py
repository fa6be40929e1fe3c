"""What does not fit together: one test per kind of mistake."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.reference.checks import (
    Parts,
    check_entry,
    check_matters,
    check_overlaps,
    check_parts,
    check_profile,
    check_regions,
)
from gateway.reference.data import ReferenceData
from gateway.reference.matters import Matter, Matters
from gateway.reference.regions import Level, Region, Regions
from gateway.reference.responsibility import Entry
from gateway.reference.service_levels import Limit, LimitUnit, Profile, Scope, Step
from gateway.reference.tables import Findings
from gateway.reference.units import UnitRef, Units, parse_unit_ref


def the_parts(data: ReferenceData, *, units: Units | None = None) -> Parts:
    return Parts(data.regions, data.matters, units or data.units, (), (), data.zones)


def an_entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "entry_id": "e",
        "matter": "041200",
        "region": "131000",
        "lead": UnitRef(kind="JT"),
        "effective_from": date(2026, 1, 1),
        "source": "test",
    }
    return Entry(**(values | changes))  # type: ignore[arg-type] # a builder of a frozen value


def a_profile(**changes: object) -> Profile:
    values: dict[str, object] = {
        "profile_id": "p",
        "region": "131000",
        "source": "test",
        "limits": {Step.RESOLVE: Limit(7, LimitUnit.WORKING_DAYS)},
    }
    return Profile(**(values | changes))  # type: ignore[arg-type] # a builder of a frozen value


def problems(findings: Findings) -> list[str]:
    return [finding.problem for finding in findings.items]


def test_two_holders_of_a_code_in_one_year_are_found() -> None:
    lives = [
        Region("130000", name, Level.PROVINCE, "100000", since, until)
        for name, since, until in (("甲", 1981, 1990), ("乙", 1989, None), ("丙", 2000, None))
    ]
    findings = Findings()
    check_regions(Regions(lives), findings)
    assert problems(findings) == [
        "甲 and 乙 hold the code in the same year",
        "乙 and 丙 hold the code in the same year",
    ]


def test_a_matter_without_its_parent_is_found() -> None:
    findings = Findings()
    check_matters(Matters([Matter("010100", "x", "010000", 2, "ZJ")]), findings)
    assert problems(findings) == ["its parent 010000 has no row"]


def test_an_authority_without_a_desk_is_found(data: ReferenceData) -> None:
    findings = Findings()
    units = Units(unit for unit in data.units if unit.unit_id != "131000-desk")
    check_parts(the_parts(data, units=units), findings)
    assert [finding.location for finding in findings.items] == ["authority 131000"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"matter": "041299"}, "matter 041299 is not in the catalogue"),
        ({"region": "120107"}, "region 120107 is retired or was never assigned"),
        ({"region": "999999"}, "region 999999 is retired or was never assigned"),
        ({"effective_to": date(2026, 1, 1)}, "it ends before it begins"),
        ({"source": ""}, "it has no source"),
        ({"lead": UnitRef(kind="FJ")}, "FJ is no unit and no unit has that kind"),
        (
            {"assisting": (parse_unit_ref("131000-JT-7"),)},
            "131000-JT-7 is no unit and no unit has that kind",
        ),
    ],
)
def test_an_entry_that_cannot_work_is_found(
    data: ReferenceData, changes: dict[str, object], problem: str
) -> None:
    findings = Findings()
    check_entry(an_entry(), the_parts(data), findings)
    assert not findings.items
    check_entry(an_entry(**changes), the_parts(data), findings)
    assert problems(findings) == [problem]


def test_entries_that_hold_on_the_same_days_are_found_even_when_not_neighbours() -> None:
    findings = Findings()
    check_overlaps(
        [
            an_entry(entry_id="long"),
            an_entry(
                entry_id="short", effective_from=date(2026, 2, 1), effective_to=date(2026, 3, 1)
            ),
            an_entry(entry_id="later", effective_from=date(2026, 4, 1)),
            an_entry(entry_id="elsewhere", region="130100"),
        ],
        findings,
    )
    assert [finding.location for finding in findings.items] == ["entry short", "entry later"]
    assert {"long" in problem for problem in problems(findings)} == {True}


def test_entries_that_follow_each_other_do_not_overlap() -> None:
    findings = Findings()
    change = date(2026, 7, 1)
    check_overlaps(
        [
            an_entry(entry_id="a", effective_to=change),
            an_entry(entry_id="b", effective_from=change),
        ],
        findings,
    )
    assert not findings.items


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"region": "120107"}, "region 120107 is not in use"),
        ({"matter": "041299"}, "matter 041299 is unknown"),
        ({"ticket_types": (0, 1)}, "ticket types are (0, 1)"),
        ({"urgencies": (3, 5)}, "urgencies are (3, 5)"),
        ({"scope": Scope.BOTH}, "one region's row would bind another province"),
        (
            {"effective_from": date(2026, 3, 2), "effective_to": date(2026, 3, 2)},
            "it ends before it begins",
        ),
        ({"limits": {}}, "it states no limit"),
        ({"urgencies": (1, 2)}, "urgent limit resolve is 7 working_days"),
    ],
)
def test_a_profile_that_cannot_work_is_found(
    data: ReferenceData, changes: dict[str, object], problem: str
) -> None:
    findings = Findings()
    check_profile(a_profile(), the_parts(data), findings)
    assert not findings.items
    check_profile(a_profile(**changes), the_parts(data), findings)
    assert problems(findings) == [problem]


def test_urgent_natural_limits_and_extensions_in_working_days_are_fine(
    data: ReferenceData,
) -> None:
    findings = Findings()
    limits = {
        Step.RESOLVE: Limit(2, LimitUnit.NATURAL_HOURS),
        Step.EXTENSION: Limit(1, LimitUnit.WORKING_DAYS),
    }
    check_profile(a_profile(urgencies=(1,), limits=limits), the_parts(data), findings)
    assert not findings.items
