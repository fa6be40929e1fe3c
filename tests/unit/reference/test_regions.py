"""Regions: levels, ancestors and what an old code means today."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import NATION
from gateway.reference.data import ReferenceData
from gateway.reference.regions import (
    COLUMNS,
    Candidates,
    Level,
    Region,
    Regions,
    Resolution,
    Resolved,
    Successor,
    UnknownRegion,
    parse_regions,
)
from gateway.reference.tables import Findings, read_table

# Each line: code, year of the speaker, what it is today, and why.
GOLDEN: list[tuple[str, int, Resolution, str]] = [
    (
        "371200",
        2018,
        Resolved("370100", ("371200",)),
        "莱芜市 names no heir: both districts to 济南",
    ),
    ("371200", 2000, Resolved("370100", ("371200",)), "also when its districts had other borders"),
    ("371202", 2018, Resolved("370116", ("371202",)), "莱城区 became 莱芜区 in Dec 2018"),
    ("371202", 2006, Resolved("370116", ("371202",)), "the part of [2006] had left by end of 2006"),
    ("371202", 2005, Candidates(("370116", "370117")), "in 2006 a part went to 钢城区, now 370117"),
    ("371202", 2026, Resolved("370116", ("371202",)), "no year given: its last year, 2017"),
    ("371203", 2010, Resolved("370117", ("371203",)), "钢城区 kept its name under 济南"),
    ("330103", 2020, Resolved("330105", ("330103",)), "下城区 went to 拱墅区 in 2021"),
    ("330103", 1990, Resolved("330105", ("330103",)), "拱墅's own loss of 1996 is before 2021"),
    ("330104", 2020, Candidates(("330102", "330114")), "江干区 was split: 上城区 and 钱塘区"),
    ("330104", 1990, Candidates(("330102", "330114")), "its part of 1996 went to 上城区 as well"),
    ("330110", 2020, Candidates(("330110", "330113")), "余杭区 lives on, 临平区 left it in 2021"),
    ("330110", 2021, Resolved("330110"), "as of 2021 the name means what is left"),
    ("310108", 2015, Resolved("310106", ("310108",)), "闸北区 went to 静安区"),
    ("120107", 2008, Resolved("120116", ("120107",)), "塘沽区 went to 滨海新区"),
    ("120107", 2026, Resolved("120116", ("120107",)), "case 10: retired code, no year"),
    ("120110", 1985, Resolved("120110"), "东郊区 was only renamed 东丽区"),
    ("320800", 1999, Resolved("320800"), "淮阴市 was only renamed 淮安市, and names no heir"),
    ("510200", 1990, Resolved("500000", ("510200",)), "重庆市 in 四川: its counties are in 500000"),
    ("341400", 2005, Candidates(("340100", "340200", "340500")), "巢湖市 was shared out in 2011"),
    ("371100", 1990, Resolved("371100"), "a district founded inside 日照市 is within it"),
    ("429001", 1988, Candidates(("421303", "421321")), "随州, four codes long, ends split"),
    ("131082", 2026, Resolved("131082"), "三河市 is in use"),
    ("100000", 2026, Resolved("100000"), "the nation"),
    ("130171", 2026, UnknownRegion("130171"), "a statistics code of a development zone"),
    ("abc", 2026, UnknownRegion("abc"), "not even six digits"),
]


@pytest.mark.parametrize(("code", "year", "expected", "why"), GOLDEN)
def test_an_old_code_means_what_its_history_says(
    data: ReferenceData, code: str, year: int, expected: Resolution, why: str
) -> None:
    assert data.regions.resolve(code, as_of_year=year) == expected, why


def test_every_code_of_every_year_leads_only_to_regions_in_use(data: ReferenceData) -> None:
    regions = data.regions
    for code in regions.codes():
        for life in regions.lives(code):
            for year in {life.since - 1, life.since, (life.until or 2027) - 1, life.until or 2027}:
                answer = regions.resolve(code, as_of_year=year)
                assert not isinstance(answer, UnknownRegion)
                codes = (answer.code,) if isinstance(answer, Resolved) else answer.codes
                assert codes
                assert all(regions.current(each) for each in codes), (code, year)


@pytest.mark.parametrize(
    ("code", "level", "ancestors"),
    [
        ("131082", Level.COUNTY, ("131000", "130000", NATION)),
        ("131000", Level.CITY, ("130000", NATION)),
        ("130000", Level.PROVINCE, (NATION,)),
        (NATION, Level.NATION, ()),
        ("120116", Level.COUNTY, ("120000", NATION)),  # 天津 has no prefectures
        ("310106", Level.COUNTY, ("310000", NATION)),  # nor has 上海
        ("429004", Level.COUNTY, ("420000", NATION)),  # 仙桃: directly below its province
        ("659004", Level.COUNTY, ("650000", NATION)),  # 五家渠
        ("441900", Level.CITY, ("440000", NATION)),  # 东莞: no counties
        ("371202", Level.COUNTY, ("371200", "370000", NATION)),  # retired: as it was
    ],
)
def test_level_and_ancestors_follow_the_administration(
    data: ReferenceData, code: str, level: Level, ancestors: tuple[str, ...]
) -> None:
    assert data.regions.level(code) is level
    assert data.regions.ancestors(code) == ancestors
    assert data.regions.parent(code) == (ancestors[0] if ancestors else None)


@pytest.mark.parametrize("code", ["441900", "442000", "460400", "620200"])
def test_some_prefectures_have_no_counties(data: ReferenceData, code: str) -> None:
    assert data.regions.children(code) == ()


def test_children_are_the_regions_in_use_directly_below(data: ReferenceData) -> None:
    assert data.regions.children("131000") == (
        *("131002", "131003", "131022", "131023", "131024", "131025", "131026"),
        *("131028", "131081", "131082"),
    )
    assert "120107" not in data.regions.children("120000")
    assert "429004" in data.regions.children("420000")
    assert len(data.regions.children(NATION)) == 34


def test_the_table_counts_as_its_source_says(data: ReferenceData) -> None:
    current = [r for code in data.regions.codes() if (r := data.regions.current(code))]
    counts = [sum(r.level is level for r in current) for level in Level]
    assert counts == [1, 34, 333, 2846]


def test_names_are_those_of_today_or_of_a_year(data: ReferenceData) -> None:
    assert data.regions.name("120110") == "东丽区"
    assert data.regions.name("120110", as_of_year=1991) == "东郊区"
    assert data.regions.name("120110", as_of_year=1900) == "东郊区"


def test_province_of_a_county_a_province_and_the_nation(data: ReferenceData) -> None:
    assert data.regions.province_of("131082") == "130000"
    assert data.regions.province_of("130000") == "130000"
    assert data.regions.province_of(NATION) is None


def test_within_means_at_or_below_and_is_false_for_unknown_codes(data: ReferenceData) -> None:
    regions = data.regions
    assert regions.is_within("131082", "131082")
    assert regions.is_within("131082", "130000")
    assert not regions.is_within("130000", "131082")
    assert not regions.is_within("999999", NATION)


def test_nearest_finds_the_authority_of_a_place(data: ReferenceData) -> None:
    joined = {"120000", "130000", "131000"}
    assert data.regions.nearest("131082", among=joined) == "131000"
    assert data.regions.nearest("130202", among=joined) == "130000"
    assert data.regions.nearest("330100", among=joined) is None


def test_retired_is_not_current_and_unknown_is_nothing(data: ReferenceData) -> None:
    regions = data.regions
    assert regions.current("120107") is None
    assert regions.find("120107") is not None
    assert regions.current("999999") is None
    assert regions.lives("999999") == ()
    assert "120107" in regions
    assert "999999" not in regions
    with pytest.raises(ResourceNotFound):
        regions.name("999999", as_of_year=2000)
    with pytest.raises(ResourceNotFound):
        regions.ancestors("999999")


def a_region(code: str, **changes: object) -> Region:
    values: dict[str, object] = {
        "code": code,
        "name": f"region {code}",
        "level": Level.PROVINCE if code.endswith("0000") else Level.CITY,
        "parent": NATION if code.endswith("0000") else code[:2] + "0000",
        "since": 1981,
    }
    return Region(**(values | changes))  # type: ignore[arg-type] # a builder of a frozen value


def test_a_record_holds_from_its_first_year_until_before_its_last() -> None:
    region = a_region("130100", since=1981, until=1990)
    assert [region.holds_in(year) for year in (1980, 1981, 1989, 1990)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_silent_end_without_counties_falls_to_the_region_above() -> None:
    regions = Regions([a_region("130000"), a_region("130100", until=1990)])
    assert regions.resolve("130100", as_of_year=1985) == Resolved("130000", ("130100",))


def test_a_prefecture_whose_county_became_a_prefecture_is_that_prefecture() -> None:
    county = a_region(
        "130101",
        level=Level.COUNTY,
        parent="130100",
        until=1990,
        successors=(Successor("130200", None),),
    )
    regions = Regions(
        [a_region("130000"), a_region("130100", until=1990), a_region("130200"), county]
    )
    assert regions.resolve("130100", as_of_year=1985) == Resolved("130200", ("130100",))


def test_a_shared_out_prefecture_shows_direct_counties_not_their_province() -> None:
    old = {"level": Level.COUNTY, "parent": "130100", "until": 1990}
    regions = Regions(
        [
            a_region("130000"),
            a_region("130100", until=1990),
            a_region("130200"),
            a_region("130101", **old, successors=(Successor("130201", None),)),
            a_region("130102", **old, successors=(Successor("139001", None),)),
            a_region("130201", level=Level.COUNTY, parent="130200", since=1990),
            a_region("139001", level=Level.COUNTY, parent="130000", since=1990),
        ]
    )
    assert regions.resolve("130100", as_of_year=1985) == Candidates(("130200", "139001"))


_CODES = ("130100", "130200", "130300", "130400")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(_CODES),
            st.sampled_from(_CODES),
            st.none() | st.integers(1990, 2000),
        ),
        max_size=12,
    ),
    st.sets(st.sampled_from(_CODES)),
    st.integers(1980, 2030),
)
def test_resolve_ends_even_on_circles_of_successors(
    edges: list[tuple[str, str, int | None]], ended: set[str], year: int
) -> None:
    regions = Regions(
        [a_region("130000")]
        + [
            a_region(
                code,
                until=2000 if code in ended else None,
                successors=tuple(Successor(to, when) for of, to, when in edges if of == code),
            )
            for code in _CODES
        ]
    )
    for code in _CODES:
        answer = regions.resolve(code, as_of_year=year)
        assert not isinstance(answer, UnknownRegion)


@pytest.mark.parametrize(
    "line",
    [
        "13010,河北省,,短码,地级,在用,1981,,",
        "130100,河北省,,无级,乡级,在用,1981,,",
        "130100,河北省,,无年,地级,在用,,,",
        "130100,河北省,,坏年,地级,弃用,1981,二〇〇〇,",
        "130100,河北省,,坏后继,地级,弃用,1981,2000,1302",
        "130100,河北省,,缺后继,地级,弃用,1981,2000,130200",
        "140100,山西省,,缺上级,地级,在用,1981,,",
    ],
)
def test_an_unusable_row_is_named_and_the_rest_is_read(line: str) -> None:
    text = "\ufeff" + ",".join(COLUMNS) + f"\n130000,河北省,,河北省,省级,在用,1981,,\n{line}\n"
    findings = Findings()
    rows = read_table(text, file="areacodes.csv", columns=COLUMNS, findings=findings)
    regions = parse_regions(rows, findings)
    assert [finding.location for finding in findings.items] == ["areacodes.csv:3"]
    assert regions.codes() == (NATION, "130000")
