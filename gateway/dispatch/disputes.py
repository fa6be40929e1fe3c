"""Disputes of the units of one authority: dispatch opens them, and says when one has no object.

A dispute opens instead of one more move (docs/arbitration.md#levels). The lead unit stays
responsible and every clock runs (I9); the copy shows the case. Who rules is arbitration's, which
is told in codes and names only (I7). When the ticket leaves, ends, or is led by another unit by
consent, nothing is left to rule, and arbitration is told that too, in the same unit of work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from gateway.custody.model import Holding
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.kernel.codes import CaseGround, ReturnReason, TicketState, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.reference.units import desk_id
from gateway.tickets import machine, requests, returns
from gateway.tickets.model import Act, Ticket, TicketEvent
from gateway.tickets.service import Tickets

SYSTEM = "/system/"  # in the name of a principal that is no person


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDispute:
    """What arbitration is told: codes and names only, no text (I7).

    `path` are the units that had the lead, the first receiver first. `reason` is that of the return
    that led to it, `ground` what somebody named. `involved` are the people who filed, judged a
    return or asked: none of them sits on the panel.
    """

    authority: AuthorityCode
    ticket: TicketNumber
    cause: str
    ground: CaseGround | None
    filer: str
    holder: str
    path: tuple[str, ...]
    proposed: tuple[str, ...]
    matter: str
    region: str
    urgency: Urgency
    type: TicketType
    due_time: Instant | None
    reason: ReturnReason | None = None
    involved: tuple[str, ...] = ()


Opened = Callable[[UnitOfWork, UnitDispute, Instant], Awaitable[str]]
"""Takes a dispute and returns the number of its case."""
Ended = Callable[[UnitOfWork, AuthorityCode, TicketNumber, str, Instant], Awaitable[None]]
"""Is told the case of a ticket that is no dispute any more."""
Taken = Callable[[UnitOfWork, AuthorityCode, TicketNumber, int, Instant], Awaitable[None]]
"""Is told that the target of a ruling leads the ticket now."""
Unasked = Callable[[UnitOfWork, AuthorityCode, str, int, Instant], Awaitable[None]]
"""Is told that the body which a ruling of a case asked need not answer any more."""


class Disputes:
    """Opens and ends disputes of units for the authorities of one node."""

    def __init__(self, *, tickets: Tickets, custody: CustodyService, acting: Acting) -> None:
        """Act with these; the composition root sets who is told."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self.opened: Opened | None = None
        self.ended: Ended | None = None
        self.took: Taken | None = None
        self.unasked: Unasked | None = None
        tickets.dispute_ended = self._end

    async def open(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        cause: str,
        filer: str,
        proposed: tuple[str, ...],
        reason: ReturnReason | None,
        ground: CaseGround | None = None,
    ) -> Ticket:
        """Open a dispute and show it on the copy; the lead unit stays responsible.

        Nothing happens while a case of the ticket is open, while it is not held here freely, or
        when it is settled.
        """
        if self.opened is None or not await self.may_open(uow, ticket):
            return ticket
        dispute = UnitDispute(
            authority=ticket.authority,
            ticket=ticket.number,
            cause=cause,
            ground=ground,
            filer=filer,
            holder=self.holder_of(ticket),
            path=path_of(ticket),
            proposed=tuple(dict.fromkeys(unit for unit in proposed if unit.startswith("units/"))),
            matter=ticket.matter,
            region=ticket.region,
            urgency=ticket.urgency,
            type=ticket.type,
            due_time=ticket.due_time,
            reason=reason,
            involved=_people(ticket, act),
        )
        case = await self.opened(uow, dispute, act.now)
        return self._tickets.save(uow, machine.open_case(ticket, act, case=case, cause=cause))

    async def may_open(self, uow: UnitOfWork, ticket: Ticket) -> bool:
        """Tell whether units may dispute a ticket: it is led here, and nobody rules about it."""
        is_settled = ticket.is_final or ticket.state is TicketState.RESOLVED
        if ticket.case or ticket.followed or is_settled:
            return False
        return await self.is_held(uow, ticket)

    async def is_held(self, uow: UnitOfWork, ticket: Ticket) -> bool:
        """Tell whether the ticket is held here and not offered away."""
        view = await self._custody.view(uow, ticket.authority, ticket.number)
        return view is not None and view.holding is Holding.HELD

    async def taken(self, uow: UnitOfWork, ticket: Ticket, *, ruling: int, now: Instant) -> None:
        """Tell that the target of a ruling leads now, when that is later than the ruling."""
        if self.took is not None:
            await self.took(uow, ticket.authority, ticket.number, ruling, now)

    def holder_of(self, ticket: Ticket) -> str:
        """Return the unit that leads, or the desk."""
        lead = ticket.lead
        return lead.unit if lead is not None else f"units/{desk_id(ticket.authority)}"

    def _end(self, uow: UnitOfWork, ticket: Ticket, event: TicketEvent) -> None:
        """Have arbitration told of a case that the copy has no more, before the commit."""
        if event.kind == requests.VOID:
            self._void(uow, ticket, event)
            return
        if self.ended is None:
            return
        case = dict(event.facts)["case"]
        tell = partial(self.ended, uow, ticket.authority, ticket.number, case, event.act.now)
        uow.before_commit(tell)

    def _void(self, uow: UnitOfWork, ticket: Ticket, event: TicketEvent) -> None:
        """Have arbitration told of a request of a ruling that is void: nobody will take it."""
        request = requests.find(ticket, int(dict(event.facts)["request"]))
        if request.ruling and self.unasked is not None:
            tell = partial(
                self.unasked, uow, ticket.authority, request.case, request.ruling, event.act.now
            )
            uow.before_commit(tell)


def path_of(ticket: Ticket) -> tuple[str, ...]:
    """Return the units that had the lead, the first receiver first; no desk received anything."""
    leads = (item for item in ticket.assignments if item.is_lead and not item.is_desk)
    return tuple(dict.fromkeys(item.unit for item in leads))


def _people(ticket: Ticket, act: Act) -> tuple[str, ...]:
    """Return who filed, asked, or judged the return: the panel reviews what they did."""
    names = (*returns.people(ticket), act.actor)
    return tuple(dict.fromkeys(name for name in names if name and SYSTEM not in name))
