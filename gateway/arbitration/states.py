"""The transition table of a case: what is not in it does not exist.

Rows are (state, event) → state. REVIEW, CONFERENCE, OBJECTED and WITHDRAWN are states of the
standard whose events come with the full procedure. What custody decides is no wish that could be
refused: a filing adds a party in any state, and a TAKEN of an interim order closes nothing.

A case that is ruled and not taken may be ruled again: the arbiter's only way past a target that is
down is the next ruling (docs/custody.md#rulings).
"""

from __future__ import annotations

from enum import Enum

from gateway.kernel.codes import CaseState

_C = CaseState


class Step(Enum):
    """What can happen to a case."""

    JOIN = "another party files"
    INTERIM = "name somebody for the time being"
    RULE = "rule"
    TAKE = "the target takes the ticket"
    VOID = "its chain goes home or closes, or consent moves the ticket"


CASE: dict[tuple[CaseState, Step], CaseState] = {
    (_C.FILED, Step.JOIN): _C.FILED,
    (_C.RULED, Step.JOIN): _C.RULED,
    (_C.CLOSED, Step.JOIN): _C.CLOSED,
    (_C.FILED, Step.INTERIM): _C.FILED,
    (_C.FILED, Step.RULE): _C.RULED,
    (_C.RULED, Step.RULE): _C.RULED,
    (_C.RULED, Step.TAKE): _C.CLOSED,
    (_C.FILED, Step.VOID): _C.WITHDRAWN,
    (_C.RULED, Step.VOID): _C.CLOSED,
    (_C.WITHDRAWN, Step.JOIN): _C.WITHDRAWN,
}


def allowed_steps(state: CaseState) -> tuple[str, ...]:
    """Return what the panel can do in `state`, for an error that helps."""
    panel = {Step.INTERIM, Step.RULE}
    return tuple(step.value for held, step in CASE if held is state and step in panel)
