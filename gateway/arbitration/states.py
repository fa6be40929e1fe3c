"""The transition table of a case: what is not in it does not exist.

Rows are (state, event) → state. What custody tells is no wish that could be refused: a filing adds
a party in any state, and a TAKEN of an interim order closes nothing.

A case that is ruled and not taken may be ruled again: the arbiter's only way past a target that is
down is the next ruling (docs/custody.md#rulings). An objection suspends nothing: the ticket goes
where the ruling puts it meanwhile, and an answer brings the case back to RULED, from where a ruling
that was taken closes it.
"""

from __future__ import annotations

from enum import Enum

from gateway.kernel.codes import CaseState

_C = CaseState


class Step(Enum):
    """What can happen to a case."""

    JOIN = "another party files"
    STATE = "a party states its position"
    TAKE_UP = "the panel takes it up"
    CONVENE = "the panel convenes the conference"
    RECORD = "the minutes are recorded"
    LAPSE = "the time of the stage is over"
    INTERIM = "name somebody for the time being"
    RULE = "rule"
    TAKE = "the target takes the ticket"
    DECLINE = "the body that it asks declines, or says nothing"
    OBJECT = "a party objects"
    ANSWER = "the objection is answered"
    VOID = "its chain goes home or closes, consent moves the ticket, or a later case rules"


CASE: dict[tuple[CaseState, Step], CaseState] = {
    (_C.FILED, Step.JOIN): _C.FILED,
    (_C.FILED, Step.STATE): _C.FILED,
    (_C.FILED, Step.TAKE_UP): _C.REVIEW,
    (_C.FILED, Step.LAPSE): _C.REVIEW,
    (_C.FILED, Step.CONVENE): _C.CONFERENCE,
    (_C.FILED, Step.INTERIM): _C.FILED,
    (_C.FILED, Step.RULE): _C.RULED,
    (_C.FILED, Step.VOID): _C.WITHDRAWN,
    (_C.REVIEW, Step.JOIN): _C.REVIEW,
    (_C.REVIEW, Step.STATE): _C.REVIEW,
    (_C.REVIEW, Step.CONVENE): _C.CONFERENCE,
    (_C.REVIEW, Step.LAPSE): _C.CONFERENCE,
    (_C.REVIEW, Step.INTERIM): _C.REVIEW,
    (_C.REVIEW, Step.RULE): _C.RULED,
    (_C.REVIEW, Step.VOID): _C.WITHDRAWN,
    (_C.CONFERENCE, Step.JOIN): _C.CONFERENCE,
    (_C.CONFERENCE, Step.STATE): _C.CONFERENCE,
    (_C.CONFERENCE, Step.RECORD): _C.CONFERENCE,
    (_C.CONFERENCE, Step.LAPSE): _C.CONFERENCE,  # heard; what is left is the ruling
    (_C.CONFERENCE, Step.INTERIM): _C.CONFERENCE,
    (_C.CONFERENCE, Step.RULE): _C.RULED,
    (_C.CONFERENCE, Step.VOID): _C.WITHDRAWN,
    (_C.RULED, Step.JOIN): _C.RULED,
    (_C.RULED, Step.RULE): _C.RULED,
    (_C.RULED, Step.TAKE): _C.CLOSED,
    (_C.RULED, Step.DECLINE): _C.CONFERENCE,  # nobody here can bind it: the panel rules otherwise
    (_C.RULED, Step.OBJECT): _C.OBJECTED,
    (_C.RULED, Step.VOID): _C.CLOSED,
    (_C.OBJECTED, Step.JOIN): _C.OBJECTED,
    (_C.OBJECTED, Step.TAKE): _C.OBJECTED,
    (_C.OBJECTED, Step.DECLINE): _C.CONFERENCE,
    (_C.OBJECTED, Step.RULE): _C.RULED,
    (_C.OBJECTED, Step.ANSWER): _C.RULED,
    (_C.OBJECTED, Step.LAPSE): _C.RULED,  # unanswered: the ruling stands
    (_C.OBJECTED, Step.VOID): _C.CLOSED,
    (_C.CLOSED, Step.JOIN): _C.CLOSED,
    (_C.CLOSED, Step.OBJECT): _C.OBJECTED,
    (_C.WITHDRAWN, Step.JOIN): _C.WITHDRAWN,
}

_PANEL = frozenset({Step.TAKE_UP, Step.CONVENE, Step.RECORD, Step.INTERIM, Step.RULE, Step.ANSWER})


def allowed_steps(state: CaseState) -> tuple[str, ...]:
    """Return what the panel can do in `state`, for an error that helps."""
    return tuple(step.value for held, step in CASE if held is state and step in _PANEL)
