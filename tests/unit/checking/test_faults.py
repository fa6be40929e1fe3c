"""Each check finds its fault in the smallest pack that has it; the findings are pinned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.checking.check import check_all, check_packs
from gateway.checking.model import Check, Finding
from gateway.checking.texts import TEXTS
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level
from gateway.reference.units import Unit, Units
from gateway.routing.conditions import cel_conditions
from gateway.routing.parse import parse_pack
from tests.fixtures.golden import Golden
from tests.unit.checking.faults import FAULTS, Fault, changed
from tests.unit.routing.builders import NOW

CHANGED = {
    Check.REGION_RETIRED,
    Check.MATTER_UNKNOWN,
    Check.ZONE_UNKNOWN,
    Check.UNIT_UNKNOWN,
    Check.UNIT_REGION_RETIRED,
}


def name_of(text: str) -> str:
    return text.partition("\n")[0].removeprefix("pack: ")


def findings_of(fault: Fault, reference: ReferenceData) -> tuple[Finding, ...]:
    if fault.code not in CHANGED:
        return check_packs(
            {name_of(text): text.encode() for text in fault.texts},
            reference=reference,
            conditions=cel_conditions(),
            now=NOW,
            history=fault.history,
            known=fault.known,
        )
    old = Unit(
        unit_id=UnitId("131021-JT-1"),
        name="旧区交通局",
        region="131021",
        level=Level.COUNTY,
        kind="JT",
        platform=None,
        authority=AuthorityCode("131000"),
    )
    after = replace(reference, units=Units([*reference.units, old]))
    packs = [
        changed(fault, pack)
        for text in fault.texts
        if (
            pack := parse_pack(
                text.encode(),
                name=name_of(text),
                reference=reference,
                conditions=cel_conditions(),
            ).pack
        )
    ]
    return check_all(packs, reference=after, now=NOW).items


def test_every_check_has_a_fault() -> None:
    assert {fault.code for fault in FAULTS} == set(Check) == set(TEXTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code.value)
def test_the_fault_is_found_with_a_witness_or_why_there_is_none(
    fault: Fault, reference: ReferenceData
) -> None:
    found = [each for each in findings_of(fault, reference) if each.code is fault.code]

    assert found
    for finding in found:
        assert finding.witness is not None or finding.no_witness
        assert finding.zh
        assert finding.en
        assert finding.advice_zh
        assert finding.advice_en
        assert json.dumps(finding.row())
        assert finding.word in str(finding)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code.value)
def test_the_findings_are_the_pinned_ones(
    fault: Fault, reference: ReferenceData, golden: Golden
) -> None:
    found = [each for each in findings_of(fault, reference) if each.code is fault.code]
    content = {
        "packs": [text.splitlines() for text in fault.texts],
        "findings": [finding.row() for finding in found],
    }
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    golden.check(f"tests/golden/checking/{fault.code.value}.json", text)
