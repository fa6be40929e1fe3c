"""Returns (退单): a unit files one, the desk reviews it, and a late review alarms.

Filing moves nothing: the unit stays responsible and the clock runs (I9). A granted return ends the
assignment in one exclusive act: the proposed unit of this authority has it then, once the guards
are asked; any other owner is the desk's to find, by a person who offers or assigns. No return is a
refusal between authorities (I5): it stays inside one. A review that is late raises an event and
an audit row, and moves nothing.
"""

from __future__ import annotations

import structlog

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.timers import cancel, schedule
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling, Target, assignment_of, role_missing
from gateway.dispatch.router import Router
from gateway.kernel.codes import DispatchMode, ReturnReason
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.reference.regions import Level
from gateway.tickets import changes, machine, returns
from gateway.tickets.machine import Commission
from gateway.tickets.model import ASSIGNMENTS_MAX, Act, Assignment, Change, Return, Ticket
from gateway.tickets.service import Tickets
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind, Role

RETURN_TIMER = "dispatch.return_due"
REVIEWERS = (Role.DISPATCHER, Role.SUPERVISOR)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plea:
    """Why a unit gives its assignment back, on what clause, and whose it is instead."""

    reason: ReturnReason
    clause: str
    proposed_owner: str


class Returning:
    """Takes and reviews returns for the authorities of one node."""

    def __init__(
        self, *, tickets: Tickets, handling: Handling, acting: Acting, router: Router
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._handling = handling
        self._acting = acting
        self._router = router

    async def file(self, call: Call, target: Target, *, plea: Plea) -> bytes:
        """File a return of the caller's assignment; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no platform of an assigned unit, handler or dispatcher.
            FieldInvalid: the reason is one of transfers, or nobody knows the proposed owner.
            TransitionNotAllowed: the window is over, or it was tried before; says what to do.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            assignment = assignment_of(call, ticket)
            self._check_owner(ticket, plea.proposed_owner)
            calendar = self._router.reference.calendar
            filing = returns.Filing(
                assignment=assignment.number,
                reason=plea.reason,
                clause=plea.clause,
                proposed_owner=plea.proposed_owner,
                window_end=returns.window_end(ticket, assignment, calendar),
                review_due=returns.review_due(ticket, act.now, calendar),
            )
            change = returns.file(ticket, act, filing)
            made = change.ticket.returns[-1]
            key = _timer_key(ticket, made.number)
            schedule(uow, kind=RETURN_TIMER, key=key, due=made.review_due_time)
            return self._tickets.save(uow, change)

        about = replace(target, basis=plea.clause)
        return await self._handling.run(call, about, step, name="ticket.return")

    async def review(
        self, call: Call, target: Target, *, number: int, is_granted: bool, basis: str
    ) -> bytes:
        """Grant or refuse a return; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no dispatcher or supervisor of the authority's own staff, or
                filed it.
            ResourceNotFound: there is no such return.
            TransitionNotAllowed: it is decided or lapsed.
            GuardViolated: a guard forbids the proposed unit.
            NotCustodian: the ticket is not held here freely, for example while it is offered.
        """
        require_reviewer(call)

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            require_another(call, returns.find(ticket, number).filer)
            change = returns.review(ticket, act, number=number, is_granted=is_granted, basis=basis)
            cancel(uow, kind=RETURN_TIMER, key=_timer_key(ticket, number))
            if is_granted:
                return await self._hand_on(uow, change.ticket, act, number, before=change)
            return self._tickets.save(uow, change)

        about = replace(target, basis=basis)
        return await self._handling.run(call, about, step, name="ticket.review_return")

    # --- parts --------------------------------------------------------------------------------

    async def _hand_on(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, number: int, *, before: Change
    ) -> Ticket:
        granted = returns.find(ticket, number)
        assignment = next(each for each in ticket.assignments if each.number == granted.assignment)
        to = await self._successor(uow, ticket, act, assignment, granted)
        change = changes.then(before, machine.hand_on(ticket, act, number=assignment.number, to=to))
        if to is not None and to.place == self._acting.desk_of(ticket.authority):
            reason = f"退单准予（{granted.reason.zh}），建议承办：{granted.proposed_owner}"
            told = machine.note(
                change.ticket, act, "ticket.triaged", ("unit", to.place.unit), ("reason", reason)
            )
            change = changes.then(change, told)
        if to is not None and assignment.is_lead:
            await self._acting.exclusive(
                uow,
                ticket,
                "assignment.lead",
                subject=to.place.unit.encode(),
                desk=to.place.unit.removeprefix("units/"),
                now=act.now,
            )
        return self._tickets.save(uow, change)

    async def _successor(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, assignment: Assignment, granted: Return
    ) -> Commission | None:
        """Return who has the assignment next; None: nobody assists in its place."""
        owner = granted.proposed_owner
        has_room = len(ticket.assignments) < ASSIGNMENTS_MAX - 1  # the last one is the desk's
        if has_room and self._is_unit_here(ticket, owner):
            await self._handling.check_unit(uow, ticket, owner, act.now)
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

    def _is_unit_here(self, ticket: Ticket, name: str) -> bool:
        unit = self._router.reference.units.find(name.removeprefix("units/"))
        return unit is not None and not unit.is_desk and unit.authority == ticket.authority

    def _check_owner(self, ticket: Ticket, owner: str) -> None:
        kind, _, code = owner.partition("/")
        if kind == "units" and self._is_unit_here(ticket, owner):
            return
        if kind == "authorities" and code != NATION and self._is_authority(code):
            return
        raise FieldInvalid(
            field="proposed_owner",
            got=owner,
            expected=f"a unit of authority {ticket.authority}, or a province's or city's authority",
        )

    def _is_authority(self, code: str) -> bool:
        """Tell whether an authority has joined, or its region is one that has a hotline."""
        regions = self._router.reference.regions
        is_place = regions.current(code) is not None and regions.level(code) <= Level.CITY
        return is_place or self._router.has_joined(code)


class ReturnAlarm:
    """Tells that a review is late; a `TimerHandler` for `RETURN_TIMER`."""

    def __init__(self, *, tickets: Tickets, acting: Acting, audit: AuditLog) -> None:
        """Tell the ticket's readers, `audit` and the log."""
        self._tickets = tickets
        self._acting = acting
        self._audit = audit

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket in `{authority}/{ticket}/{return}`."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Tell it once; a return that is decided meanwhile is no news."""
        authority, ticket_number, number = key.split("/")
        code = AuthorityCode(authority)
        ticket = await self._tickets.find(uow, code, TicketNumber(ticket_number))
        if ticket is None:
            return
        act = self._acting.act_of(code, f"{ticket.name} return {number}", now)
        change = returns.overdue(ticket, act, number=int(number))
        if not change.events:
            return
        self._tickets.save(uow, change)
        log.warning("return.overdue", ticket=ticket.number, authority=authority)
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=act.actor,
                role=act.role,
                act="return.overdue",
                subject=ticket.name,
                basis="deadline",
            ),
        )


def require_reviewer(call: Call) -> None:
    """Return if the caller may judge what units ask for: own staff of the desk.

    Raises:
        RoleMissing: it may not.
    """
    principal = call.principal
    is_staff = principal.kind is PrincipalKind.STAFF and principal.has_role(*REVIEWERS)
    if not is_staff or principal.is_outsourced:
        raise role_missing(call, "dispatcher, supervisor (not outsourced)")


def require_another(call: Call, filer: str) -> None:
    """Return if the caller is not the one who filed what is to be judged.

    Raises:
        RoleMissing: nobody judges a wish of their own.
    """
    if call.principal.name == filer:
        raise role_missing(call, "dispatcher, supervisor (another person than who filed it)")


def _timer_key(ticket: Ticket, number: int) -> str:
    return f"{ticket.authority}/{ticket.number}/{number}"
