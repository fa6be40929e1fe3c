"""What a dispute is about (code DG), out of how it began: one table. Pure.

A filing that names its ground has it. Else the reason of the return that led to it decides; a
dispute of authorities or provinces comes from custody without one, and then its level tells. Left
over from former times (历史遗留) is in no reason's words, so only a person names it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.kernel.codes import CaseGround, CaseLevel, ReturnReason

REFUSALS, HOPS, PATH = "refusals", "hops", "path"
DISCLAIMED, SILENCE, REQUEST = "disclaimed", "silence", "request"
CAUSES_OF_UNITS = (REFUSALS, HOPS, PATH, DISCLAIMED, SILENCE, REQUEST)
"""Why a case of units opens: the second refused return, the third unit, back to one that had it,
two that each name the other, a review that nobody made, or because somebody asks."""
_R, _G = ReturnReason, CaseGround
OF_REASONS: Mapping[ReturnReason, CaseGround] = {
    _R.WRONG_REGION: _G.PLACE,
    _R.PLACE_UNKNOWN: _G.PLACE,
    _R.WRONG_FUNCTION: _G.FUNCTION,
    _R.OVERLAP: _G.FUNCTION,
    _R.WRONG_MATTER: _G.FUNCTION,
    _R.OWNERSHIP_UNCLEAR: _G.OWNERSHIP,
    _R.BEYOND_DUTY: _G.NEW_BUSINESS,
    _R.SUPERIOR: _G.LEVEL,
    _R.VERTICAL: _G.VERTICAL,
    _R.NOT_GRASSROOTS: _G.LINE,
}
OF_CAUSES: Mapping[str, CaseGround] = {DISCLAIMED: _G.NEW_BUSINESS}
"""What a cause tells when no reason does: whom both sides disclaim for nobody is in charge."""
OF_LEVELS: Mapping[CaseLevel, CaseGround] = {
    CaseLevel.UNITS: _G.FUNCTION,
    CaseLevel.AUTHORITIES: _G.PLACE,
    CaseLevel.PROVINCES: _G.CROSS_REGION,
}


def ground_for(cause: str, reason: ReturnReason | None, level: CaseLevel) -> CaseGround:
    """Return what a dispute is about; whose place it is, between provinces, is a ground of its own.

    A reason that says nothing about whose it is (incomplete, duplicate, other) decides nothing.
    """
    found = OF_REASONS.get(reason) if reason is not None else None
    found = found or OF_CAUSES.get(cause) or OF_LEVELS.get(level, _G.FUNCTION)
    is_abroad = found is _G.PLACE and level is CaseLevel.PROVINCES
    return _G.CROSS_REGION if is_abroad else found
