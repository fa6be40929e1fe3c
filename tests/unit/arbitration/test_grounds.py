"""What a dispute is about follows from its cause, the reason of the return and its level."""

from __future__ import annotations

import pytest

from gateway.arbitration.grounds import CAUSES_OF_UNITS, DISCLAIMED, REQUEST, ground_for
from gateway.kernel.codes import CaseGround, CaseLevel, ReturnReason

_R, _G, _L = ReturnReason, CaseGround, CaseLevel
REASONS = (None, *(reason for reason in _R if reason))
LEVELS = tuple(level for level in _L if level)


@pytest.mark.parametrize(
    ("cause", "reason", "level", "ground"),
    [
        ("refusals", _R.WRONG_REGION, _L.UNITS, _G.PLACE),
        ("refusals", _R.WRONG_REGION, _L.AUTHORITIES, _G.PLACE),
        ("refusals", _R.WRONG_REGION, _L.PROVINCES, _G.CROSS_REGION),
        ("hops", _R.WRONG_FUNCTION, _L.UNITS, _G.FUNCTION),
        ("hops", _R.WRONG_FUNCTION, _L.PROVINCES, _G.FUNCTION),
        ("path", _R.OVERLAP, _L.UNITS, _G.FUNCTION),
        ("silence", _R.OWNERSHIP_UNCLEAR, _L.UNITS, _G.OWNERSHIP),
        ("silence", _R.SUPERIOR, _L.UNITS, _G.LEVEL),
        ("silence", _R.VERTICAL, _L.UNITS, _G.VERTICAL),
        ("silence", _R.NOT_GRASSROOTS, _L.UNITS, _G.LINE),
        (DISCLAIMED, _R.BEYOND_DUTY, _L.UNITS, _G.NEW_BUSINESS),
        (DISCLAIMED, None, _L.UNITS, _G.NEW_BUSINESS),
        (DISCLAIMED, _R.WRONG_FUNCTION, _L.UNITS, _G.FUNCTION),
        (REQUEST, None, _L.UNITS, _G.FUNCTION),
        ("path", None, _L.AUTHORITIES, _G.PLACE),
        ("path", None, _L.PROVINCES, _G.CROSS_REGION),
        ("path", _R.INCOMPLETE, _L.UNITS, _G.FUNCTION),  # says nothing about whose it is
    ],
)
def test_the_words_decide(
    cause: str, reason: ReturnReason | None, level: CaseLevel, ground: CaseGround
) -> None:
    assert ground_for(cause, reason, level) is ground


def test_everything_has_a_ground_and_only_a_person_names_legacy() -> None:
    found = {
        ground_for(cause, reason, level)
        for cause in (*CAUSES_OF_UNITS, "homeward", "ruled")
        for reason in REASONS
        for level in LEVELS
    }
    assert found == set(_G) - {_G.UNSPECIFIED, _G.LEGACY}


def test_no_dispute_inside_a_province_is_one_between_regions() -> None:
    inside = (_L.UNITS, _L.AUTHORITIES)
    found = {ground_for(REQUEST, reason, level) for reason in REASONS for level in inside}
    assert _G.CROSS_REGION not in found
