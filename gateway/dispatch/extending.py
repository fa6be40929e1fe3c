"""Extensions (延期): a lead unit asks for more time, the desk reviews it.

A granted wish moves the due time at the custodian, as an exclusive act; followers learn it with the
next news, and a later custodian by the header of the offer. How late it may be is the origin's
profile's longest extension, counted from the present due time. A child is never due later than its
parent, so its time is extended only where the parent's copy is.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling, Target, assignment_of
from gateway.dispatch.returning import require_another, require_reviewer
from gateway.dispatch.router import Router
from gateway.kernel.codes import ExtensionReason
from gateway.kernel.errors import TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.tickets import extensions
from gateway.tickets.clocks import profile_of
from gateway.tickets.model import Act, Ticket
from gateway.tickets.service import Tickets
from gateway.trust.call import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a unit asks for and why."""

    reason: ExtensionReason
    new_due: Instant
    basis: str


class Extending:
    """Takes and reviews wishes for more time for the authorities of one node."""

    def __init__(
        self, *, tickets: Tickets, handling: Handling, acting: Acting, router: Router
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._handling = handling
        self._acting = acting
        self._router = router

    async def ask(self, call: Call, target: Target, *, request: Request) -> bytes:
        """Ask for more time for the caller's lead assignment; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no platform of an assigned unit, handler or dispatcher.
            FieldInvalid: the new due time is no later one, or later than it may be.
            TransitionNotAllowed: too late, not the lead's to ask, or tried before.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            assignment = assignment_of(call, ticket, is_lead=True)
            wish = extensions.Wish(
                assignment=assignment.number,
                reason=request.reason,
                basis=request.basis,
                new_due=request.new_due,
                latest=await self._latest(uow, ticket),
            )
            return self._tickets.save(uow, extensions.ask(ticket, act, wish))

        about = replace(target, basis=request.basis)
        return await self._handling.run(call, about, step, name="ticket.extend")

    async def review(
        self,
        call: Call,
        target: Target,
        *,
        number: int,
        is_granted: bool,
        is_citizen_told: bool,
        basis: str,
    ) -> bytes:
        """Grant or refuse a wish for more time; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no dispatcher or supervisor of the authority's own staff, or
                asked for it.
            ResourceNotFound: there is no such wish.
            TransitionNotAllowed: it is decided, or over by now.
            NotCustodian: the ticket is not held here freely, for example while it is offered.
        """
        require_reviewer(call)

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            require_another(call, extensions.find(ticket, number).filer)
            review = extensions.Review(
                number=number,
                is_granted=is_granted,
                is_citizen_told=is_citizen_told,
                basis=basis,
                latest=await self._parent_due(uow, ticket) if is_granted else None,
            )
            change = extensions.review(ticket, act, review)
            if is_granted:
                subject = change.ticket.due_time.isoformat().encode()
                await self._acting.exclusive(
                    uow, ticket, "ticket.extended", subject=subject, now=act.now
                )
            return self._tickets.save(uow, change)

        about = replace(target, basis=basis)
        return await self._handling.run(call, about, step, name="ticket.review_extension")

    # --- parts --------------------------------------------------------------------------------

    async def _latest(self, uow: UnitOfWork, ticket: Ticket) -> Instant:
        reference = self._router.reference
        profile = profile_of(
            ticket,
            reference,
            region=ticket.origin,
            cross_region=self._acting.was_timed_abroad(ticket),
        )
        latest = profile.extension_max.end(ticket.due_time, reference.calendar).instant
        parent_due = await self._parent_due(uow, ticket)
        return latest if parent_due is None else min(latest, parent_due)

    async def _parent_due(self, uow: UnitOfWork, ticket: Ticket) -> Instant | None:
        """Return when the parent is due; None for a ticket that is no child.

        Raises:
            TransitionNotAllowed: the parent's clock is kept elsewhere.
        """
        if ticket.parent is None:
            return None
        parent = await self._tickets.find(uow, ticket.authority, ticket.parent)
        if parent is None:
            raise TransitionNotAllowed(
                name=ticket.name,
                state=f"a child of tickets/{ticket.parent}, whose clock {ticket.origin} keeps",
                event="extend",
                allowed=f"none here: {ticket.origin} may extend the parent and ask anew",
            )
        return parent.due_time
