"""A zone without a code lies in the district that hosts it, unless the place says otherwise."""

from __future__ import annotations

import pytest

from gateway.reference.checks import check_zone
from gateway.reference.data import ReferenceData
from gateway.reference.tables import Findings, read_table
from gateway.reference.zones import COLUMNS, Zone, Zones, parse_zones

PARK = Zone("test-park", "测试园区", "320506")


def read(text: str) -> tuple[Zones, Findings]:
    findings = Findings()
    rows = read_table(text, file="zones.csv", columns=COLUMNS, findings=findings)
    return parse_zones(rows, findings), findings


@pytest.mark.parametrize(
    ("zone", "region", "located"),
    [
        ("test-park", "320500", "320506"),  # the host's city
        ("test-park", "320000", "320506"),  # its province
        ("test-park", "", "320506"),
        ("test-park", "320506", "320506"),
        ("test-park", "320505", "320505"),  # another district knows better
        ("test-park", "310000", "310000"),  # another province
        ("unheard-of", "320500", "320500"),
        ("", "320500", "320500"),
        ("", "", ""),
    ],
)
def test_a_place_with_a_zone_lies_in_the_host(
    data: ReferenceData, zone: str, region: str, located: str
) -> None:
    assert Zones([PARK]).locate(zone, region, regions=data.regions) == located


def test_a_retired_host_decides_nothing(data: ReferenceData) -> None:
    zones = Zones([Zone("old", "旧区", "120107")])
    assert zones.locate("old", "120000", regions=data.regions) == "120000"


def test_zones_are_read_as_written() -> None:
    zones, findings = read("zone,name,host,note\ntest-park,测试园区,320506,说明\n")
    assert not findings.items
    assert list(zones) == [Zone("test-park", "测试园区", "320506", "说明")]
    assert "test-park" in zones
    assert zones.find("test-park") == Zone("test-park", "测试园区", "320506", "说明")
    assert zones.find("x") is None


@pytest.mark.parametrize(
    "row", [",名,320506,", "x,,320506,", f"{'x' * 41},名,320506,", "a,名,320506,\na,名,320506,"]
)
def test_a_wrong_row_is_named(row: str) -> None:
    _, findings = read(f"zone,name,host,note\n{row}\n")
    assert next(finding.location for finding in findings.items).startswith("zones.csv:")


@pytest.mark.parametrize(
    ("host", "problems"),
    [
        ("320506", 0),
        ("441900", 0),  # a city without districts
        ("120107", 1),  # retired
        ("999999", 1),
        ("320000", 1),  # a province hosts no zone
        ("100000", 1),
    ],
)
def test_a_host_that_cannot_answer_is_found(data: ReferenceData, host: str, problems: int) -> None:
    findings = Findings()
    check_zone(Zone("z", "区", host), data.regions, findings)
    assert len(findings.items) == problems


def test_the_projects_zones_fit(data: ReferenceData) -> None:
    findings = Findings()
    for zone in data.zones:
        check_zone(zone, data.regions, findings)
    assert not findings.items
