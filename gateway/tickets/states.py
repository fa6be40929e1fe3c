"""The transition tables of ticket, assignment, return and extension: what is not in them is not.

Rows are (state, event) → state. A followed copy shows what its custodian told and takes no step
of its own. What custody decides (release, take over) is no step here: a copy obeys in any state.
"""

from __future__ import annotations

from enum import Enum

from gateway.kernel.codes import AssignmentState, ExtensionState, ReturnState, TicketState

_T = TicketState
_A = AssignmentState
_R = ReturnState
_E = ExtensionState


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
    (_R.FILED, Step.LAPSE): _R.LAPSED,  # its assignment ended otherwise
}

EXTENSION: dict[tuple[ExtensionState, Step], ExtensionState] = {
    (_E.ASKED, Step.GRANT): _E.GRANTED,
    (_E.ASKED, Step.REFUSE): _E.REFUSED,
}


def allowed_steps(state: TicketState) -> tuple[str, ...]:
    """Return what can be done with a ticket in `state`, for an error that helps."""
    return tuple(step.value for held, step in TICKET if held is state)
