"""Children: tickets that the custodian of another one splits off. Pure.

A child is a ticket of its own: own number, own custody, own clock, which never ends later than its
parent's. An ASSIST child (协办) helps the custodian of the parent: it is anonymous, for the helper
needs the matter and not the caller, and it ends with its result, for nobody rates it.
Help is asked for, never passed on: a child has no children. While a child is open its parent may be
resolved, but not closed, withdrawn or offered away (docs/tickets.md#children).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from gateway.kernel.codes import TicketPurpose, TicketState
from gateway.kernel.errors import QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.tickets import machine
from gateway.tickets.model import CHILDREN_MAX, DEPTH_MAX, FINAL, Act, Change, Child, Ticket

TITLE_PREFIX = "协办："
CLOSED_BASIS = "协助办结"
_UID_DOMAIN = b"lubiao/child/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A child that somebody wants: what for, where, and the texts of it."""

    purpose: TicketPurpose
    region: str
    matter: str
    title: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What only the moment of the split knows."""

    number: TicketNumber
    uid: str
    now: Instant


def check_split(ticket: Ticket, *, existing: int, wanted: int) -> None:
    """Return if `wanted` children may be split off from a ticket that has `existing` ones.

    Raises:
        TransitionNotAllowed: it is itself a child, is final, or is held elsewhere.
        QuotaExceeded: that would be more children than a ruling can follow.
    """
    if ticket.followed or ticket.is_final or ticket.state is TicketState.RESOLVED:
        state = "followed" if ticket.followed else ticket.state.name
        raise TransitionNotAllowed(
            name=ticket.name, state=state, event="split", allowed="split before it is resolved"
        )
    if ticket.depth + 2 > DEPTH_MAX:
        raise TransitionNotAllowed(
            name=ticket.name,
            state=f"a child of tickets/{ticket.parent}",
            event="split",
            allowed="none: help is asked for by the parent's custodian, never passed on",
        )
    if existing + wanted > CHILDREN_MAX:
        raise QuotaExceeded(
            quota=f"children of {ticket.name}", got=existing + wanted, expected=CHILDREN_MAX
        )


def require_done(ticket: Ticket, children: Sequence[Child], event: str) -> None:
    """Return if no child of the ticket is open.

    Raises:
        TransitionNotAllowed: one is; the error names it.
    """
    still_open = [child for child in children if child.state not in FINAL]
    if still_open:
        first = still_open[0]
        raise TransitionNotAllowed(
            name=ticket.name,
            state=f"{ticket.state.name} with open child tickets/{first.number}",
            event=event,
            allowed="wait for the children, or withdraw them",
        )


def uid_of(*, parent: str, scope: str, chain: int, epoch: str, index: int) -> str:
    """Return the UUID of a child: whoever makes the same child again makes the same one."""
    parts = (parent, scope, str(chain), epoch, str(index))
    hashed = hashlib.sha256(_UID_DOMAIN)
    for part in parts:
        raw = part.encode()
        hashed.update(len(raw).to_bytes(4, "big") + raw)
    return str(uuid.UUID(bytes=hashed.digest()[:16], version=5))


def child_of(parent: Ticket, wanted: Wanted, birth: Birth) -> Ticket:
    """Return the new copy of a child, before its clocks are computed."""
    return Ticket(
        authority=parent.authority,
        number=birth.number,
        uid=birth.uid,
        revision=1,
        create_time=birth.now,
        update_time=birth.now,
        followed=False,
        origin=parent.authority,
        platform=None,
        external_id=None,
        state=TicketState.RECEIVED,
        channel=parent.channel,
        type=parent.type,
        matter=wanted.matter or parent.matter,
        urgency=parent.urgency,
        subject_kind=parent.subject_kind,
        risk_tags=parent.risk_tags,
        region=wanted.region,
        anonymous=parent.anonymous or wanted.purpose is TicketPurpose.ASSIST,
        secrecy_required=parent.secrecy_required,
        received_time=birth.now,
        dispatch_due_time=parent.due_time,
        due_time=parent.due_time,
        due_provisional=parent.due_provisional,
        custodian=parent.authority,
        parent=parent.number,
        purpose=wanted.purpose,
        depth=parent.depth + 1,
    )


def note_split(parent: Ticket, act: Act, children: Sequence[Ticket]) -> Change:
    """Record on the parent which children were split off."""
    change = Change(parent)
    for child in children:
        facts = (
            ("child", child.name),
            ("purpose", child.purpose.name),
            ("region", child.region),
        )
        told = machine.note(change.ticket, act, "ticket.split", *facts)
        change = Change(told.ticket, (*change.events, *told.events))
    return change


def note_kept(parent: Ticket, act: Act, children: Sequence[Child]) -> Change:
    """Record which open children stay with this authority when a ruling moves their parent.

    Each has a custody of its own, which no ruling about the parent touches.
    """
    change = Change(parent)
    for child in children:
        if child.state in FINAL:
            continue
        facts = (("child", f"tickets/{child.number}"), ("custodian", child.custodian))
        told = machine.note(change.ticket, act, "child.kept", *facts)
        change = Change(told.ticket, (*change.events, *told.events))
    return change


def note_closed(parent: Ticket, act: Act, child: Ticket) -> Change:
    """Record on the parent that a child is final, so that whoever waits for it tries again."""
    facts = (("child", child.name), ("state", child.state.name), ("custodian", child.custodian))
    return machine.note(parent, act, "child.closed", *facts)
