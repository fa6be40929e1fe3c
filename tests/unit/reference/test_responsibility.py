"""Who answers: entries, the catalogue, the climb and the desk."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level
from gateway.reference.responsibility import (
    ENTRY_COLUMNS,
    Answer,
    Entry,
    Found,
    NotFound,
    Reason,
    Responsibility,
    explain,
    parse_entries,
)
from gateway.reference.tables import Findings, read_table
from gateway.reference.units import parse_unit_ref

ON = date(2026, 3, 2)


def an_entry(entry_id: str, *, matter: str, region: str, lead: str, **changes: object) -> Entry:
    values: dict[str, object] = {
        "entry_id": entry_id,
        "matter": matter,
        "region": region,
        "lead": parse_unit_ref(lead),
        "effective_from": date(2026, 1, 1),
    }
    return Entry(**(values | changes))  # type: ignore[arg-type] # a builder of a frozen value


def a_list(data: ReferenceData, *entries: Entry) -> Responsibility:
    return Responsibility(
        entries,
        regions=data.regions,
        matters=data.matters,
        kinds=data.kinds,
        units=data.units,
    )


def ask(
    responsibility: Responsibility,
    matter: str = "041200",
    region: str = "131082",
    *,
    on: date = ON,
    authorities: Collection[str] | None = None,
) -> Answer:
    return responsibility.responsible_unit(matter, region=region, on=on, authorities=authorities)


def unit_id(answer: Answer) -> str:
    assert isinstance(answer, Found), answer
    return answer.unit.unit_id


# --- the catalogue ----------------------------------------------------------------------------


def test_case_1_a_driving_school_in_sanhe_is_the_countys_transport_unit(
    data: ReferenceData,
) -> None:
    answer = ask(data.responsibility, authorities={"131000"})
    assert unit_id(answer) == "131082-JT-1"
    assert isinstance(answer, Found)
    assert (answer.entry_id, answer.climbed) == ("catalogue:041200", ())


def test_case_10_the_district_that_took_over_answers(data: ReferenceData) -> None:
    assert unit_id(ask(data.responsibility, "020401", "120116")) == "120116-CG-1"


def test_a_kind_that_the_county_lacks_is_sought_in_the_city_then_the_province(
    data: ReferenceData,
) -> None:
    assert unit_id(ask(data.responsibility, "170800")) == "131000-TY-1"
    assert unit_id(ask(data.responsibility, "170500")) == "130000-WW-1"
    assert explain(ask(data.responsibility, "170500")) == (
        "131082 无可派的 WW（依据 catalogue:170500）",
        "131000 无可派的 WW（依据 catalogue:170500）",
        "主办 130000-WW-1 河北省文物局（依据 catalogue:170500）",
    )


def test_a_municipality_has_no_city_to_climb_through(data: ReferenceData) -> None:
    answer = ask(data.responsibility, "170800", "120116")
    assert unit_id(answer) == "120000-TY-1"
    assert isinstance(answer, Found)
    assert [rung.region for rung in answer.climbed] == ["120116"]


def test_a_kind_found_nowhere_falls_back_to_the_lead_of_the_matter_above(
    data: ReferenceData,
) -> None:
    answer = ask(data.responsibility, "011400", "120116")  # 天津 has no LY unit, 住建 leads 01
    assert unit_id(answer) == "120116-ZJ-1"
    assert isinstance(answer, Found)
    assert answer.entry_id == "catalogue:010000"


def test_units_of_other_authorities_never_answer(data: ReferenceData) -> None:
    assert unit_id(ask(data.responsibility, authorities={"130000"})) == "130000-JT-1"
    assert ask(data.responsibility, "170500", authorities={"131000"}) != ask(
        data.responsibility, "170500"
    )
    assert isinstance(ask(data.responsibility, authorities={"120000"}), NotFound)


@pytest.mark.parametrize(
    ("matter", "region", "reason"),
    [
        ("140300", "120116", Reason.BY_RULE),  # case 13: noise of unknown source
        ("230300", "131082", Reason.BY_RULE),
        ("200600", "131082", Reason.OTHER_WAY),  # courts
        ("200700", "131082", Reason.OTHER_WAY),  # arbitration boards
        ("990500", "131082", Reason.OTHER_WAY),  # 110/119/120/122
        ("770000", "131082", Reason.MATTER_UNKNOWN),
        ("driving school", "131082", Reason.MATTER_UNKNOWN),
        ("041200", "999999", Reason.REGION_UNKNOWN),
        ("041200", "330100", Reason.NO_UNIT),
        ("041200", "100000", Reason.NO_UNIT),
    ],
)
def test_what_no_unit_can_answer_goes_to_the_desk_with_a_reason(
    data: ReferenceData, matter: str, region: str, reason: Reason
) -> None:
    answer = ask(data.responsibility, matter, region)
    assert isinstance(answer, NotFound)
    assert answer.reason is reason
    assert explain(answer)[-1].startswith("转研判席：")


def test_a_newer_code_is_answered_by_the_matter_above_it(data: ReferenceData) -> None:
    assert unit_id(ask(data.responsibility, "041299")) == "131082-JT-1"


# --- the list as shipped ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matter", "region", "expected"),
    [
        ("051200", "131082", "131082-JW-1"),  # case 17: never the police itself
        ("021100", "131082", "131082-SF-1"),
        ("041500", "131082", "131082-SF-1"),
        ("130901", "131082", "131082-MZ-1"),
        ("030201", "131082", "131082-GY-2"),
        ("030401", "120116", "120116-GY-4"),
        ("040100", "131082", "131082-GY-6"),
        ("040200", "131082", "131000-GY-7"),
        ("020402", "120116", "120116-CG-1"),  # 城管托底
        ("040800", "131082", "130000-JT-1"),  # motorways are the province's
    ],
)
def test_the_shipped_list_says_who_answers(
    data: ReferenceData, matter: str, region: str, expected: str
) -> None:
    assert unit_id(ask(data.responsibility, matter, region)) == expected


def test_every_matter_flagged_never_to_the_reported_party_avoids_the_leading_kind(
    data: ReferenceData,
) -> None:
    for matter in data.matters:
        if matter.never_to_reported_party:
            answer = ask(data.responsibility, matter.code)
            is_other = isinstance(answer, Found) and answer.unit.kind != matter.lead_kind
            assert is_other or isinstance(answer, NotFound), matter


def test_assisting_units_are_found_where_the_lead_is_sought(data: ReferenceData) -> None:
    answer = ask(data.responsibility, "030102")
    assert isinstance(answer, Found)
    assert [unit.unit_id for unit in answer.assisting] == ["131082-GY-1", "131082-WJ-1"]
    assert explain(answer) == (
        "主办 131082-SW-1 三河市水利局（依据 cn.water-quality），协办 131082-GY-1、131082-WJ-1",
    )


# --- entries ----------------------------------------------------------------------------------


def test_the_smallest_region_wins_over_the_more_exact_matter(data: ReferenceData) -> None:
    responsibility = a_list(
        data,
        an_entry("nation", matter="041200", region="100000", lead="GA"),
        an_entry("city", matter="040000", region="131000", lead="CG"),
    )
    assert unit_id(ask(responsibility)) == "131082-CG-1"


def test_in_one_region_the_more_exact_matter_wins(data: ReferenceData) -> None:
    responsibility = a_list(
        data,
        an_entry("wide", matter="040000", region="131000", lead="CG"),
        an_entry("exact", matter="041200", region="131000", lead="GA"),
    )
    assert unit_id(ask(responsibility)) == "131082-GA-1"


def test_of_equals_the_newest_wins_then_the_id(data: ReferenceData) -> None:
    responsibility = a_list(
        data,
        an_entry("b", matter="041200", region="131000", lead="GA"),
        an_entry("a", matter="041200", region="131000", lead="CG"),
        an_entry(
            "old", matter="041200", region="131000", lead="HB", effective_from=date(2020, 1, 1)
        ),
    )
    assert unit_id(ask(responsibility)) == "131082-CG-1"
    assert unit_id(ask(responsibility, on=date(2025, 6, 1))) == "131082-HB-1"


def test_an_entry_holds_from_its_first_day_until_before_its_last(data: ReferenceData) -> None:
    entry = an_entry(
        "short", matter="041200", region="131000", lead="GA", effective_to=date(2026, 2, 1)
    )
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1)]
    kinds = [unit_id(ask(a_list(data, entry), on=day))[7:9] for day in days]
    assert kinds == ["JT", "GA", "GA", "JT"]
    assert list(a_list(data, entry)) == [entry]


def test_an_entry_may_name_a_unit_and_is_passed_over_when_it_cannot_take_it(
    data: ReferenceData,
) -> None:
    responsibility = a_list(
        data, an_entry("city", matter="041200", region="131000", lead="131000-JT-1")
    )
    assert unit_id(ask(responsibility)) == "131000-JT-1"
    answer = ask(responsibility, authorities={"130000"})
    assert unit_id(answer) == "130000-JT-1"
    assert isinstance(answer, Found)
    assert str(answer.climbed[0].wanted) == "131000-JT-1"
    missing = a_list(data, an_entry("gone", matter="041200", region="131000", lead="131000-JT-9"))
    assert unit_id(ask(missing)) == "131082-JT-1"


@pytest.mark.parametrize(
    ("level", "region", "expected"),
    [
        (Level.CITY, "131082", "131000-JT-1"),
        (Level.PROVINCE, "131082", "130000-JT-1"),
        (Level.COUNTY, "131082", "131082-JT-1"),
        (Level.COUNTY, "131000", "131000-JT-1"),  # the place is known to the city only
        (Level.CITY, "120116", "120000-JT-1"),  # no city level in 天津
    ],
)
def test_an_entrys_level_says_where_the_search_begins(
    data: ReferenceData, level: Level, region: str, expected: str
) -> None:
    entry = an_entry("level", matter="041200", region="100000", lead="JT", level=level)
    assert unit_id(ask(a_list(data, entry), region=region)) == expected


def test_the_lead_and_a_repeated_or_missing_helper_do_not_assist(data: ReferenceData) -> None:
    refs = tuple(parse_unit_ref(text) for text in ("JT", "GA", "131082-GA-1", "TL-9"))
    entry = an_entry("helped", matter="041200", region="100000", lead="JT", assisting=refs)
    answer = ask(a_list(data, entry))
    assert isinstance(answer, Found)
    assert [unit.unit_id for unit in answer.assisting] == ["131082-GA-1"]


@given(
    matter=st.integers(0, 999_999).map("{:06d}".format),
    county=st.integers(0, 4000),
    authorities=st.none() | st.sets(st.sampled_from(["120000", "130000", "131000"])),
)
def test_the_answer_is_total_and_the_same_every_time(
    data: ReferenceData, matter: str, county: int, authorities: set[str] | None
) -> None:
    codes = data.regions.codes()
    region = codes[county % len(codes)]
    answer = ask(data.responsibility, matter, region, authorities=authorities)
    again = ask(data.responsibility, matter, region, authorities=authorities)
    assert answer == again
    if isinstance(answer, Found):
        assert authorities is None or answer.unit.authority in authorities
        assert data.regions.is_within(region, answer.unit.region)
        assert not answer.unit.is_desk


@pytest.mark.parametrize(
    "line",
    [
        "a,041200,131000,,2026-01-01,,JT,,重复",
        ",041200,131000,,2026-01-01,,JT,,无编号",
        "b,041200,131000,,2026-01-01,,jt,,主办不明",
        "b,041200,131000,,2026-01-01,,JT,JT;?,协办不明",
        "b,041200,131000,TOWN,2026-01-01,,JT,,层级不明",
        "b,041200,131000,,2026-13-01,,JT,,起始日不明",
        "b,041200,131000,,2026-01-01,soon,JT,,终止日不明",
    ],
)
def test_an_unusable_entry_is_named_and_the_rest_is_read(line: str) -> None:
    findings = Findings()
    text = (
        ",".join(ENTRY_COLUMNS) + f"\na,041200,131000,CITY,2026-01-01,2027-01-01,JT,GA,x\n{line}\n"
    )
    rows = read_table(text, file="r.csv", columns=ENTRY_COLUMNS, findings=findings)
    entries = parse_entries(rows, findings)
    assert [finding.location for finding in findings.items] == ["r.csv:3"]
    assert [(entry.level, entry.effective_to) for entry in entries] == [
        (Level.CITY, date(2027, 1, 1))
    ]
