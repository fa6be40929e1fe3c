"""Findings say what is odd about a ticket and never refuse it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.kernel.codes import CertificateType, FindingCode
from gateway.kernel.errors import FieldInvalid
from gateway.reference.zones import Zone, Zones
from gateway.tickets.standard import Examined, Stated, examine, is_credit_code
from tests.fixtures.nodes import reference
from tests.unit.tickets.builders import NOW

RIGHT_ID = "11010119900307803X"  # made up; only its check character is right
RIGHT_CREDIT = "91110000600037341L"


def stated(**changes: Any) -> Stated:
    plain = Stated(
        region="120101", as_of_year=0, matter="041200", title="标题", content="内容", received=NOW
    )
    return replace(plain, **changes)


def examined(**changes: Any) -> Examined:
    data = reference()
    return examine(
        stated(**changes), regions=data.regions, matters=data.matters, zones=data.zones, now=NOW
    )


def codes(**changes: Any) -> list[FindingCode]:
    return [item.code for item in examined(**changes).findings]


def test_plain_ticket_has_no_findings() -> None:
    result = examined()
    assert result == Examined((), "120101")


@pytest.mark.parametrize(
    ("region", "found", "today"),
    [
        ("120107", FindingCode.REGION_RETIRED, "120116"),
        ("310108", FindingCode.REGION_RETIRED, "310106"),
        ("330104", FindingCode.REGION_AMBIGUOUS, ""),
    ],
)
def test_old_region_is_resolved_or_left_open(region: str, found: FindingCode, today: str) -> None:
    result = examined(region=region)
    assert [item.code for item in result.findings] == [found]
    assert result.region == today


@pytest.mark.parametrize(
    ("region", "today"), [("320500", "320506"), ("320506", "320506"), ("310000", "310000")]
)
def test_a_zone_without_a_code_is_resolved_to_its_host(region: str, today: str) -> None:
    zones = Zones([Zone("test-park", "测试园区", "320506")])
    data = reference()
    result = examine(
        stated(region=region, zone="test-park"),
        regions=data.regions,
        matters=data.matters,
        zones=zones,
        now=NOW,
    )
    assert result == Examined((), today)


def test_region_that_never_was_is_the_one_refusal() -> None:
    with pytest.raises(FieldInvalid) as caught:
        examined(region="999999")
    assert caught.value.metadata["got"] == "999999"


def test_year_of_the_speaker_decides_what_a_code_meant() -> None:
    assert examined(region="120107", as_of_year=2005).region == "120116"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"matter": "999999"}, FindingCode.MATTER_UNKNOWN),
        ({"title": "长" * 101}, FindingCode.TITLE_LONG),
        ({"content": "长" * 4001}, FindingCode.CONTENT_LONG),
        ({"content": "见1200002026030200000001X0"}, None),
        ({"content": "见工单12000020260302000000010"}, FindingCode.TICKET_NUMBER_CHECK),
        ({"occurred": NOW + timedelta(hours=1)}, FindingCode.OCCURRED_IN_FUTURE),
        ({"phones": ("13800138000", "022-12345678", "+86 138 0013 8000")}, None),
        ({"phones": ("无",)}, FindingCode.PHONE_FORM),
        ({"credit_codes": (RIGHT_CREDIT,)}, None),
        ({"credit_codes": ("91110000600037341M",)}, FindingCode.CREDIT_CODE_CHECK),
    ],
)
def test_each_rule_finds_what_it_is_for(changes: dict[str, Any], code: FindingCode | None) -> None:
    assert codes(**changes) == ([code] if code else [])


@pytest.mark.parametrize(
    ("number", "is_right"),
    [
        (RIGHT_ID, True),
        (RIGHT_ID.lower(), True),
        ("110101199003078031", False),
        ("110101199013078030", False),
        ("12", False),
    ],
)
def test_resident_id_is_checked_by_digit_day_and_province(number: str, is_right: bool) -> None:
    found = codes(certificate_type=CertificateType.RESIDENT_ID, certificate_number=number)
    assert found == ([] if is_right else [FindingCode.ID_CHECK_DIGIT])


def test_no_finding_repeats_a_personal_value() -> None:
    result = examined(
        certificate_type=CertificateType.RESIDENT_ID,
        certificate_number="110101199003078031",
        phones=("没有电话",),
    )
    assert len(result.findings) == 2
    for item in result.findings:
        assert "110101199003078031" not in item.message + item.hint
        assert "没有电话" not in item.message + item.hint


def test_credit_code_check_finds_every_changed_character() -> None:
    assert is_credit_code(RIGHT_CREDIT)
    for position, old in enumerate(RIGHT_CREDIT):
        new = "1" if old != "1" else "2"
        assert not is_credit_code(RIGHT_CREDIT[:position] + new + RIGHT_CREDIT[position + 1 :])
