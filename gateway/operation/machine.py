"""What is alarming, and what a person may do about it. Pure.

A statement on which custody rests can never be dropped: the one side has taken its step, and only
the other side's answer, or a further statement, ends it. So such an item may be acknowledged and
sent again, and the remedy for a statement that nobody needs any more is the protocol's own: revoke
the offer, rule, assume. Only statements that merely inform may be discarded, and their bytes stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from gateway.delivery.model import Item, ItemState
from gateway.kernel.errors import TransitionNotAllowed

# Nobody's custody rests on these; whatever is not named here, known or not, may not be discarded.
INFORMING = frozenset(
    {
        "Alarm",
        "DestinationState",
        "Lead",
        "LeadProgress",
        "LedgerHead",
        "MisrouteAnswer",
        "MisrouteReport",
        "PackSummary",
        "PrecedentPublished",
        "ReferenceDataUpdate",
        "RosterUpdate",
        "Supervision",
    }
)
REMEDY = (
    "a statement on which custody rests is never dropped; send it again, or end its matter by the"
    " protocol: revoke the transfer, answer it, or have the case ruled"
)


class Alarm(Enum):
    """How alarming the age of a queue is."""

    NONE = "none"
    WARNING = "warning"
    OVERDUE = "overdue"


class Act(Enum):
    """What a person may do about an item."""

    ACKNOWLEDGE = "acknowledge"
    RESEND = "resend"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPolicy:
    """From which age of the oldest envelope on a queue warns, and waits for a person."""

    warn: timedelta = timedelta(minutes=15)
    alarm: timedelta = timedelta(hours=2)


def alarm_of(age: timedelta, policy: AlarmPolicy) -> Alarm:
    """Return how alarming an age is."""
    if age >= policy.alarm:
        return Alarm.OVERDUE
    return Alarm.WARNING if age >= policy.warn else Alarm.NONE


def acts_of(kind: Item, state: ItemState, statement_kind: str) -> tuple[Act, ...]:
    """Return what may be done about an item."""
    is_kept = kind in (Item.REFUSED, Item.SET_ASIDE)
    if state is ItemState.DISCARDED and is_kept:
        return (Act.RESEND,)  # its bytes are still here: a person may have erred
    if state not in (ItemState.OPEN, ItemState.ACKNOWLEDGED):
        return ()
    if kind is Item.EVIDENCE:
        return (Act.ACKNOWLEDGE, Act.DISCARD)  # nothing waits to be sent; the proof stays
    if is_kept and statement_kind in INFORMING:
        return (Act.ACKNOWLEDGE, Act.RESEND, Act.DISCARD)
    return (Act.ACKNOWLEDGE, Act.RESEND)


def after(act: Act, kind: Item, state: ItemState, statement_kind: str, *, item: str) -> ItemState:
    """Return the state of an item after an act.

    Raises:
        TransitionNotAllowed: the act is none for this item.
    """
    allowed = acts_of(kind, state, statement_kind)
    if act not in allowed:
        raise TransitionNotAllowed(
            name=f"undelivered/{item} ({kind.value} {statement_kind})".replace(" )", ")"),
            state=state.value,
            event=act.value,
            allowed=", ".join(each.value for each in allowed) or "nothing more",
            hint=REMEDY if act is Act.DISCARD and allowed else "",
        )
    match act:
        case Act.ACKNOWLEDGE:
            return ItemState.ACKNOWLEDGED
        case Act.DISCARD:
            return ItemState.DISCARDED
        case Act.RESEND:
            # A queue, or an envelope in one, is tried at once but ends only by being delivered.
            waits = kind in (Item.OVERDUE, Item.STUCK)
            return ItemState.ACKNOWLEDGED if waits else ItemState.RESENT
