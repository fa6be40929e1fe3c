"""What a return that is decided does: the assignment goes on, a body is asked, or a case opens.

Granting ends the assignment in one exclusive act. Four things are no grant: a unit that had the
lead before (`path`) and a third unit by returns (`hops`) make a case of units instead, a vertically
managed body is asked first and the filing unit stays bound (`requests.py`), and an owner that is no
unit here is for the desk to find. Who consents itself, by a claim or by agreeing to the desk's
proposal, moves the ticket without a dispute. Guards are asked in all of them.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.disputes import Disputes
from gateway.dispatch.guarding import Guarding
from gateway.dispatch.requests import Requests
from gateway.dispatch.router import Router
from gateway.kernel.codes import DispatchMode
from gateway.kernel.time import Instant
from gateway.tickets import changes, machine, requests, returns
from gateway.tickets.machine import Commission
from gateway.tickets.model import ASSIGNMENTS_MAX, Act, Assignment, Change, Return, Ticket
from gateway.tickets.service import Tickets


class Succession:
    """Carries out what was decided about returns, for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        guarding: Guarding,
        acting: Acting,
        router: Router,
        requests: Requests,
        disputes: Disputes,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._guarding = guarding
        self._acting = acting
        self._router = router
        self._requests = requests
        self._disputes = disputes

    def is_unit_here(self, ticket: Ticket, name: str) -> bool:
        """Tell whether a name is a unit of the ticket's authority, and no desk."""
        unit = self._router.reference.units.find(name.removeprefix("units/"))
        return unit is not None and not unit.is_desk and unit.authority == ticket.authority

    async def check_unit(
        self, uow: UnitOfWork, ticket: Ticket, unit: str, now: Instant, *, is_asked: bool = True
    ) -> None:
        """Return if no guard forbids a unit; a vertically managed body is only ever asked.

        Raises:
            FieldInvalid: it is no unit of this authority.
            GuardViolated: a guard forbids it.
        """
        is_request = is_asked and self._requests.is_vertical(unit)
        await self._guarding.check_unit(uow, ticket, unit, now, is_request=is_request)

    async def grant(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        decided: Change,
        number: int,
        to: str,
        has_consent: bool = False,
    ) -> Ticket:
        """Carry out a return that was decided for `to`; `decided` is the copy that says so.

        Raises:
            GuardViolated: a guard forbids the unit; the return stays open.
            NotCustodian: the ticket is not held here freely, for example while it is offered.
        """
        found = returns.find(ticket, number)
        assignment = next(each for each in ticket.assignments if each.number == found.assignment)
        is_here = self.is_unit_here(ticket, to)
        if is_here:
            is_asked = assignment.is_lead or has_consent  # nobody is asked to assist
            await self.check_unit(uow, ticket, to, act.now, is_asked=is_asked)
        cause = returns.ground(ticket, number=number, to=to) if is_here and not has_consent else ""
        if cause and await self._disputes.may_open(uow, ticket):
            return await self.dispute(uow, ticket, act, found, cause=cause, proposed=(to,))
        if is_here and assignment.is_lead and self._requests.is_vertical(to) and not has_consent:
            saved = self._tickets.save(uow, decided)
            return await self._requests.ask(uow, saved, act, unit=to, return_number=number)
        return await self._hand_on(uow, ticket, act, assignment, decided=decided, to=to)

    async def dispute(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        found: Return,
        *,
        cause: str,
        proposed: tuple[str, ...],
    ) -> Ticket:
        """Open a case of units about a return, which waits for it; nothing moves."""
        opened = await self._disputes.open(
            uow,
            ticket,
            act,
            cause=cause,
            filer=found.unit,
            proposed=proposed,
            reason=found.reason,
        )
        if not opened.case or not returns.find(opened, found.number).is_open:
            return opened
        return self._tickets.save(
            uow, returns.dispute(opened, act, number=found.number, cause=cause)
        )

    # --- parts --------------------------------------------------------------------------------

    async def _hand_on(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        assignment: Assignment,
        *,
        decided: Change,
        to: str,
    ) -> Ticket:
        heir = self._heir(ticket, act, assignment, to)
        unread = requests.unread(decided.ticket, to)
        moved = machine.hand_on(unread, act, number=assignment.number, to=heir)
        change = changes.then(decided, moved)
        if heir is not None and heir.place == self._acting.desk_of(ticket.authority):
            reason = f"退单准予，建议承办：{to}"
            told = machine.note(
                change.ticket, act, "ticket.triaged", ("unit", heir.place.unit), ("reason", reason)
            )
            change = changes.then(change, told)
        if heir is not None and assignment.is_lead:
            await self._acting.exclusive(
                uow,
                ticket,
                "assignment.lead",
                subject=heir.place.unit.encode(),
                desk=heir.place.unit.removeprefix("units/"),
                now=act.now,
            )
        return self._tickets.save(uow, change)

    def _heir(
        self, ticket: Ticket, act: Act, assignment: Assignment, owner: str
    ) -> Commission | None:
        """Return who has the assignment next; None: nobody assists in its place."""
        has_room = len(ticket.assignments) < ASSIGNMENTS_MAX - 1  # the last one is the desk's
        if has_room and self.is_unit_here(ticket, owner):
            return self._acting.commission_of(
                ticket, owner, role=assignment.role, mode=DispatchMode.MANUAL, now=act.now
            )
        if not assignment.is_lead:
            return None
        return Commission(
            place=self._acting.desk_of(ticket.authority),
            role=assignment.role,
            mode=DispatchMode.MANUAL,
        )
