"""The transition tables of ticket, assignment, return and extension: what is not in them is not.

Rows are (state, event) → state. A followed copy shows what its custodian told and takes no step
of its own. What custody decides (release, take over) is no step here: a copy obeys in any state.
"""

from __future__ import annotations

from enum import Enum

from gateway.kernel.codes import (
    AssignmentState,
    ExtensionState,
    ReturnState,
    TicketState,
    UnitRequestState,
)

_T = TicketState
_A = AssignmentState
_R = ReturnState
_E = ExtensionState
_Q = UnitRequestState


class Step(Enum):
    """What can be done with a ticket."""

    ASSIGN = "assign"
    TRIAGE = "triage"
    OFFER = "offer"
    REFER = "refer"
    REFER_EXTERNALLY = "refer externally"
    SIGN = "sign"
    CONTACT = "contact"
    RESOLVE = "resolve"
    RATE = "rate"
    CLOSE = "close"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"
    END = "end"
    GRANT = "grant"
    REFUSE = "refuse"
    LAPSE = "lapse"
    MERGE = "merge"
    STAND_BY = "stand by"
    COUNTER = "propose another unit"
    ASK = "ask the unit"
    INFORM = "answer the desk"
    AGREE = "agree"
    CLAIM = "claim"
    DISPUTE = "open a case"
    ACCEPT = "accept"
    DECLINE = "decline"
    CLIMB = "climb"
    RUN_OUT = "run out"


TICKET: dict[tuple[TicketState, Step], TicketState] = {
    (_T.RECEIVED, Step.ASSIGN): _T.DISPATCHED,
    (_T.DISPATCHED, Step.ASSIGN): _T.DISPATCHED,
    (_T.HANDLING, Step.ASSIGN): _T.DISPATCHED,  # a desk that signed finds the unit
    (_T.RECEIVED, Step.TRIAGE): _T.DISPATCHED,
    (_T.DISPATCHED, Step.TRIAGE): _T.DISPATCHED,
    (_T.HANDLING, Step.TRIAGE): _T.DISPATCHED,
    (_T.RECEIVED, Step.OFFER): _T.DISPATCHED,
    (_T.DISPATCHED, Step.OFFER): _T.DISPATCHED,
    (_T.HANDLING, Step.OFFER): _T.HANDLING,
    (_T.RECEIVED, Step.REFER): _T.REFERRED,
    (_T.DISPATCHED, Step.REFER): _T.REFERRED,
    (_T.RECEIVED, Step.REFER_EXTERNALLY): _T.DISPATCHED,
    (_T.DISPATCHED, Step.REFER_EXTERNALLY): _T.DISPATCHED,
    (_T.DISPATCHED, Step.SIGN): _T.HANDLING,
    (_T.HANDLING, Step.SIGN): _T.HANDLING,
    (_T.HANDLING, Step.CONTACT): _T.HANDLING,
    (_T.REOPENED, Step.CONTACT): _T.HANDLING,
    (_T.HANDLING, Step.RESOLVE): _T.RESOLVED,
    (_T.REOPENED, Step.RESOLVE): _T.RESOLVED,
    (_T.RESOLVED, Step.RATE): _T.CLOSED,
    (_T.RESOLVED, Step.CLOSE): _T.CLOSED,
    (_T.RESOLVED, Step.REOPEN): _T.REOPENED,
    (_T.REOPENED, Step.ASSIGN): _T.DISPATCHED,
    (_T.REOPENED, Step.TRIAGE): _T.DISPATCHED,  # the unit that resolved it is not there any more
    (_T.RECEIVED, Step.WITHDRAW): _T.WITHDRAWN,
    (_T.DISPATCHED, Step.WITHDRAW): _T.WITHDRAWN,
    (_T.HANDLING, Step.WITHDRAW): _T.WITHDRAWN,
    (_T.REOPENED, Step.WITHDRAW): _T.WITHDRAWN,  # a resolved one is rated or closed instead
    (_T.RECEIVED, Step.MERGE): _T.MERGED,
    (_T.DISPATCHED, Step.MERGE): _T.MERGED,  # nobody signed for it yet
}

EXTERNAL_ANSWER: dict[TicketState, TicketState] = {
    _T.DISPATCHED: _T.RESOLVED,
    _T.HANDLING: _T.RESOLVED,
}
"""What the recorded answer of an external referral does: nobody here signs for the other body."""

ASSIGNMENT: dict[tuple[AssignmentState, Step], AssignmentState] = {
    (_A.ASSIGNED, Step.SIGN): _A.SIGNED,
    (_A.SIGNED, Step.CONTACT): _A.CONTACTED,
    (_A.CONTACTED, Step.CONTACT): _A.CONTACTED,  # citizens are called more than once
    (_A.SIGNED, Step.RESOLVE): _A.DONE,
    (_A.CONTACTED, Step.RESOLVE): _A.DONE,
    (_A.DONE, Step.REOPEN): _A.SIGNED,
    (_A.PROPOSED, Step.END): _A.REASSIGNED,
    (_A.ASSIGNED, Step.END): _A.REASSIGNED,
    (_A.SIGNED, Step.END): _A.REASSIGNED,
    (_A.CONTACTED, Step.END): _A.REASSIGNED,
}

RETURN: dict[tuple[ReturnState, Step], ReturnState] = {
    (_R.FILED, Step.GRANT): _R.GRANTED,
    (_R.FILED, Step.REFUSE): _R.REFUSED,
    (_R.FILED, Step.STAND_BY): _R.STANDING_BY,
    (_R.FILED, Step.COUNTER): _R.COUNTERED,
    (_R.FILED, Step.ASK): _R.FILED,
    (_R.FILED, Step.INFORM): _R.FILED,
    (_R.FILED, Step.CLAIM): _R.ASSUMED,
    (_R.FILED, Step.DISPUTE): _R.DISPUTED,
    (_R.FILED, Step.LAPSE): _R.LAPSED,  # its assignment ended otherwise
    (_R.STANDING_BY, Step.GRANT): _R.GRANTED,
    (_R.STANDING_BY, Step.REFUSE): _R.REFUSED,
    (_R.STANDING_BY, Step.COUNTER): _R.COUNTERED,
    (_R.STANDING_BY, Step.ASK): _R.STANDING_BY,
    (_R.STANDING_BY, Step.INFORM): _R.STANDING_BY,
    (_R.STANDING_BY, Step.CLAIM): _R.ASSUMED,
    (_R.STANDING_BY, Step.DISPUTE): _R.DISPUTED,
    (_R.STANDING_BY, Step.LAPSE): _R.LAPSED,
    (_R.COUNTERED, Step.GRANT): _R.GRANTED,  # as the unit proposed, after all
    (_R.COUNTERED, Step.REFUSE): _R.REFUSED,
    (_R.COUNTERED, Step.AGREE): _R.GRANTED,  # as the desk proposed
    (_R.COUNTERED, Step.INFORM): _R.COUNTERED,
    (_R.COUNTERED, Step.CLAIM): _R.ASSUMED,
    (_R.COUNTERED, Step.DISPUTE): _R.DISPUTED,
    (_R.COUNTERED, Step.LAPSE): _R.LAPSED,
    (_R.DISPUTED, Step.CLAIM): _R.ASSUMED,  # consent ends a dispute of units
    (_R.REFUSED, Step.CLAIM): _R.ASSUMED,  # the same, where refusals led to it
}

REQUEST: dict[tuple[UnitRequestState, Step], UnitRequestState] = {
    (_Q.ASKED, Step.ACCEPT): _Q.ACCEPTED,
    (_Q.ASKED, Step.DECLINE): _Q.DECLINED,
    (_Q.ASKED, Step.CLIMB): _Q.ASKED,  # the next one of its line is asked
    (_Q.ASKED, Step.RUN_OUT): _Q.UNANSWERED,
    (_Q.ASKED, Step.LAPSE): _Q.VOID,  # the bound assignment ended otherwise
}

EXTENSION: dict[tuple[ExtensionState, Step], ExtensionState] = {
    (_E.ASKED, Step.GRANT): _E.GRANTED,
    (_E.ASKED, Step.REFUSE): _E.REFUSED,
}


def allowed_steps(state: TicketState) -> tuple[str, ...]:
    """Return what can be done with a ticket in `state`, for an error that helps."""
    return tuple(step.value for held, step in TICKET if held is state)
