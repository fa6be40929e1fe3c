"""The matter catalogue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reference.data import ReferenceData
from gateway.reference.matters import (
    KIND_COLUMNS,
    MATTER_COLUMNS,
    Management,
    matter_path,
    parse_kinds,
    parse_matters,
)
from gateway.reference.tables import Findings, read_table


def test_the_catalogue_counts_as_its_source_says(data: ReferenceData) -> None:
    levels = [sum(matter.level == level for matter in data.matters) for level in (1, 2, 3)]
    assert (len(data.matters), levels) == (371, [26, 273, 72])
    assert sum(matter.is_cross_province for matter in data.matters) == 32
    assert sum(matter.is_vertical for matter in data.matters) == 18
    assert sum(matter.is_dispute_prone for matter in data.matters) == 42
    assert len(data.kinds) == 70


def test_an_entry_carries_lead_bodies_and_flags(data: ReferenceData) -> None:
    matter = data.matters.find("041200")
    assert matter is not None
    assert (matter.name, matter.parent, matter.lead_kind) == ("驾驶员培训", "040000", "JT")
    assert matter.co_bodies == ("公安局交管", "市监局")
    assert matter.is_cross_province
    assert not matter.is_dispute_prone
    assert data.kinds["TX"].management is Management.VERTICAL


def test_complaints_about_conduct_are_flagged(data: ReferenceData) -> None:
    flagged = [matter.code for matter in data.matters if matter.never_to_reported_party]
    assert flagged == ["021100", "051200", "130901", "230300"]


def test_within_means_at_or_below_also_for_codes_newer_than_the_catalogue(
    data: ReferenceData,
) -> None:
    matters = data.matters
    assert matters.is_within("080101", "080101")
    assert matters.is_within("080101", "080100")
    assert matters.is_within("080101", "080000")
    assert matters.is_within("080199", "080100")
    assert not matters.is_within("080000", "080101")
    assert not matters.is_within("080101", "090000")


def test_a_newer_code_is_read_as_its_nearest_known_ancestor(data: ReferenceData) -> None:
    matters = data.matters
    assert "080199" not in matters
    nearest = [matters.nearest(code) for code in ("080101", "080199", "087700", "770000", "x")]
    codes = [matter.code if matter else None for matter in nearest]
    assert codes == ["080101", "080100", "080000", None, None]


@given(st.integers(0, 999_999).map("{:06d}".format))
def test_a_path_climbs_to_the_first_level_without_repeats(code: str) -> None:
    path = matter_path(code)
    assert path[0] == code
    assert path[-1] == code[:2] + "0000"
    assert len(set(path)) == len(path) <= 3


@pytest.mark.parametrize(
    "line",
    [
        "01010,短码,010000,,2,,,ZJ",
        "010100,层级不符,010000,,3,,,ZJ",
        "010100,上级不符,020000,,2,,,ZJ",
        "010000,重复,,,1,,,ZJ",
        "010100,无此主办,010000,,2,,,QQ",
    ],
)
def test_an_unusable_matter_is_named_and_the_rest_is_read(line: str) -> None:
    findings = Findings()
    text = ",".join(MATTER_COLUMNS) + f"\n010000,住房,,,1,,,ZJ\n{line}\n"
    rows = read_table(text, file="matters.csv", columns=MATTER_COLUMNS, findings=findings)
    matters = parse_matters(rows, kinds={"ZJ"}, findings=findings)
    assert [finding.location for finding in findings.items] == ["matters.csv:3"]
    assert [matter.code for matter in matters] == ["010000"]


@pytest.mark.parametrize(
    "line", ["zj,小写,地方政府部门", "ZJ,重复,地方政府部门", "GA,公安,谁也不管"]
)
def test_an_unusable_kind_is_named_and_the_rest_is_read(line: str) -> None:
    findings = Findings()
    text = ",".join(KIND_COLUMNS) + f"\nZJ,住建,地方政府部门\n{line}\n"
    rows = read_table(text, file="org_kinds.csv", columns=KIND_COLUMNS, findings=findings)
    assert list(parse_kinds(rows, findings)) == ["ZJ"]
    assert [finding.location for finding in findings.items] == ["org_kinds.csv:3"]
