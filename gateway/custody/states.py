"""The tables of the custody protocol (docs/custody.md#tables); what is not here does not exist.

Local events are what this authority wants; received statements are in `machine.py`, whose branches
are the lines of the second table in their order. Every missing cell is a refusal.
"""

from __future__ import annotations

from enum import Enum

from gateway.custody.model import Holding

_H = Holding


class Local(Enum):
    """What an authority may want to do in a chain."""

    OFFER = "offer"
    REVOKE = "revoke"
    EXCLUSIVE_ACT = "exclusive act"
    CARE_ACT = "care act"
    FILE_CASE = "file a case"
    ACCEPT = "accept"
    DECLINE = "decline"
    STAND_BY = "stand by"
    ASK = "ask who offers"
    INFORM = "answer a question"
    FORKED = "learn that its term is forked"


LOCAL: dict[tuple[Holding, Local], Holding] = {
    (_H.HELD, Local.OFFER): _H.OFFERED,
    (_H.OFFERED, Local.REVOKE): _H.REVOKING,
    (_H.REVOKING, Local.REVOKE): _H.REVOKING,  # the same Revoke again
    (_H.HELD, Local.EXCLUSIVE_ACT): _H.HELD,
    (_H.HELD, Local.CARE_ACT): _H.HELD,
    (_H.OFFERED, Local.CARE_ACT): _H.OFFERED,
    (_H.REVOKING, Local.CARE_ACT): _H.REVOKING,
    (_H.YIELDING, Local.CARE_ACT): _H.YIELDING,
    (_H.HELD, Local.FILE_CASE): _H.HELD,
    (_H.OFFERED, Local.FILE_CASE): _H.OFFERED,
    (_H.REVOKING, Local.FILE_CASE): _H.REVOKING,
    (_H.RELEASED, Local.FILE_CASE): _H.RELEASED,  # a party against one that is silent or unwilling
    (_H.ABSENT, Local.ACCEPT): _H.HELD,
    (_H.RELEASED, Local.ACCEPT): _H.HELD,
    (_H.ABSENT, Local.DECLINE): _H.ABSENT,
    (_H.RELEASED, Local.DECLINE): _H.RELEASED,
    (_H.ABSENT, Local.STAND_BY): _H.ABSENT,  # a person is deciding; the answer comes later
    (_H.RELEASED, Local.STAND_BY): _H.RELEASED,
    (_H.ABSENT, Local.ASK): _H.ABSENT,
    (_H.RELEASED, Local.ASK): _H.RELEASED,
    (_H.OFFERED, Local.INFORM): _H.OFFERED,
    (_H.HELD, Local.FORKED): _H.YIELDING,
    (_H.OFFERED, Local.FORKED): _H.YIELDING,
    (_H.REVOKING, Local.FORKED): _H.YIELDING,
    (_H.YIELDING, Local.FORKED): _H.YIELDING,
}

ANSWER_ACCEPTED: dict[Holding, Holding] = {
    _H.OFFERED: _H.RELEASED,
    _H.REVOKING: _H.RELEASED,
    _H.YIELDING: _H.RELEASED,
    _H.RELEASED: _H.RELEASED,
}
"""What ACCEPTED does to an authority whose pending offer it answers."""

ANSWER_OTHER: dict[Holding, Holding] = {
    _H.OFFERED: _H.HELD,
    _H.REVOKING: _H.HELD,
    _H.YIELDING: _H.YIELDING,
    _H.RELEASED: _H.RELEASED,
}
"""What any other verdict does: the ticket never left."""
