"""What a selector is called when it does not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.codes import RiskTag, SubjectKind
from gateway.routing.model import Selectors
from gateway.routing.selecting import unmet
from tests.unit.routing.builders import FROM, a_ticket, on_day


@pytest.mark.parametrize(
    ("selectors", "missing"),
    [
        (Selectors(subject_kinds=frozenset({SubjectKind.LEGAL_PERSON})), "诉求主体"),
        (Selectors(risk_tags=frozenset({RiskTag.MINOR})), "风险标签"),
        (Selectors(zones=frozenset({"zone-1"})), "功能区"),
        (Selectors(reported_kinds=frozenset({"GA"})), "被反映单位类别"),
        (Selectors(reported_unit=True), "被反映承办单位"),
        (Selectors(secrecy_required=True), "要求保密"),
        (Selectors(on_boundary=True), "交界或权属不清"),
    ],
)
def test_a_condition_that_does_not_hold_is_named_and_its_value_is_not(
    selectors: Selectors, missing: str
) -> None:
    holding = replace(
        a_ticket(zone="zone-1", on_boundary=True, reported_units=("131082-GA-1",)),
        subject_kind=SubjectKind.LEGAL_PERSON,
        risk_tags=(RiskTag.GROUP, RiskTag.MINOR),
        secrecy_required=True,
    )

    assert unmet(selectors, a_ticket(), on_day(FROM)) == (missing,)
    assert unmet(selectors, holding, on_day(FROM)) == ()
