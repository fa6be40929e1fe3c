"""The filter of ListCases: `state = "FILED"`, `overdue = true`, joined with AND.

Both fields are indexed and say nothing of a person; anything else is `FilterInvalid`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.kernel.codes import CaseState
from gateway.kernel.errors import FilterInvalid

_COMPARISON = re.compile(r'\s*(?P<field>[a-z_]+)\s*=\s*(?P<quote>"?)(?P<value>\w+)(?P=quote)\s*')
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """What a list is narrowed to; None: anything."""

    state: CaseState | None = None
    overdue: bool | None = None


def parse_filter(text: str) -> CaseFilter:
    """Return the filter of its text.

    Raises:
        FilterInvalid: it does not parse, names another field, or one twice.
    """
    found = CaseFilter()
    if not text.strip():
        return found
    for part in text.split(" AND "):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise FilterInvalid(got=part.strip() or "the end", expected="field = value")
        found = _narrowed(found, match["field"], match["value"])
    return found


def _narrowed(found: CaseFilter, field: str, value: str) -> CaseFilter:
    if field not in {"state", "overdue"}:
        raise FilterInvalid(got=field, expected="state, overdue")
    if getattr(found, field) is not None:
        raise FilterInvalid(got=f"{field} twice", expected="each field once")
    if field == "overdue":
        if value not in _FLAGS:
            raise FilterInvalid(got=f"{field} = {value}", expected="true or false")
        return replace(found, overdue=_FLAGS[value])
    states = {state.name: state for state in CaseState if state}
    name = value.removeprefix("STATE_")
    if name not in states:
        raise FilterInvalid(got=f"{field} = {value}", expected=f"one of {', '.join(states)}")
    return replace(found, state=states[name])
