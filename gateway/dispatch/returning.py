"""Returns (退单) at their authority: a unit files, the desk decides, silence opens a case.

Filing moves nothing: the unit stays responsible and the clock runs (I9). How long a unit may file
and the desk may take is the authority's own profile's. A second refused return, two units that each
name the other, and a review whose time is over open a case of units (`disputes.py`); what a granted
one does is `returning_moves.py`'s, other answers than yes or no are `returning_answers.py`'s. No
return is a refusal between authorities (I5): it stays inside one.

A return that is refused as invalid changes nothing, and is recorded all the same, in a unit of
its own: an audit row, and an event on the ticket that names what is missing.
"""

from __future__ import annotations

import hashlib
import uuid

import structlog

from gateway.audit.model import NAME_LENGTH_MAX, AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import cancel, schedule
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling, Target, assignment_of, role_missing
from gateway.dispatch.returning_moves import Succession
from gateway.dispatch.router import Router
from gateway.kernel.codes import ReturnReason
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    LubiaoError,
    QuotaExceeded,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.reference.regions import Level
from gateway.tickets import returns
from gateway.tickets.disputes import BY_RULING
from gateway.tickets.model import Act, Return, Ticket
from gateway.tickets.service import Tickets
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind, Role

RETURN_TIMER = "dispatch.return_due"
REVIEWERS = (Role.DISPATCHER, Role.SUPERVISOR)
INVALID = (
    FieldInvalid,
    TransitionNotAllowed,
    CasePending,
    QuotaExceeded,
    RoleMissing,
    ResourceNotFound,
)
"""Refusals that are the filer's own: the return said too little, too late, twice or wrongly."""
_RECORDS = uuid.UUID("6c756269-616f-5000-8000-72657475726e")  # "lubiao", "return"
_MISSING_LENGTH_MAX = 200
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
        self,
        *,
        tickets: Tickets,
        handling: Handling,
        acting: Acting,
        router: Router,
        succession: Succession,
        audit: AuditLog,
        once: Once,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._handling = handling
        self._acting = acting
        self._router = router
        self._succession = succession
        self._audit = audit
        self._once = once

    async def file(self, call: Call, target: Target, *, plea: Plea) -> bytes:
        """File a return of the caller's assignment; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no platform of an assigned unit, handler or dispatcher.
            FieldInvalid: the reason is one of transfers, or nobody knows the proposed owner.
            CasePending: a case decides already.
            TransitionNotAllowed: the window is over, or it was tried before; says what to do.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            assignment = assignment_of(call, ticket)
            self._check_owner(ticket, plea.proposed_owner)
            profile = self._acting.profile_here(ticket)
            calendar = self._router.reference.calendar
            filing = returns.Filing(
                assignment=assignment.number,
                reason=plea.reason,
                clause=plea.clause,
                proposed_owner=plea.proposed_owner,
                window_end=profile.return_window.end(assignment.assign_time, calendar).instant,
                review_due=profile.return_review.end(act.now, calendar).instant,
            )
            saved = self._tickets.save(uow, returns.file(ticket, act, filing))
            made = saved.returns[-1]
            watch(uow, saved, made)
            if assignment.is_lead and returns.is_disclaimed(saved, made):
                return await self._succession.dispute(
                    uow, saved, act, made, cause="disclaimed", proposed=(made.proposed_owner,)
                )
            return saved

        about = replace(target, basis=plea.clause)
        try:
            return await self._handling.run(call, about, step, name="ticket.return")
        except INVALID as error:
            await self.refused(call, target.number, error)
            raise

    async def review(
        self, call: Call, target: Target, *, number: int, is_granted: bool, basis: str
    ) -> bytes:
        """Grant or refuse a return; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no dispatcher or supervisor of the authority's own staff, or
                filed it.
            ResourceNotFound: there is no such return.
            CasePending: a case decides.
            TransitionNotAllowed: it is decided or lapsed.
            GuardViolated: a guard forbids the proposed unit.
            NotCustodian: the ticket is not held here freely, for example while it is offered.
        """
        require_reviewer(call)

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            found = returns.find(ticket, number)
            require_another(call, found.filer)
            change = returns.review(ticket, act, number=number, is_granted=is_granted, basis=basis)
            if is_granted:
                saved = await self._succession.grant(
                    uow, ticket, act, decided=change, number=number, to=found.proposed_owner
                )
            else:
                saved = await self._refuse(uow, self._tickets.save(uow, change), act, found)
            unwatch(uow, saved, number)
            return saved

        about = replace(target, basis=basis)
        return await self._handling.run(call, about, step, name="ticket.review_return")

    async def refused(self, call: Call, number: TicketNumber, error: LubiaoError) -> None:
        """Record an invalid return, once a request: who tried, and what is missing."""
        principal, missing = call.principal, missing_in(error)
        name = f"{call.request_id}/{hashlib.sha256(call.body).hexdigest()}"
        record = replace(
            call, method=f"{call.method}.invalid", request_id=str(uuid.uuid5(_RECORDS, name))
        )

        async def once(uow: UnitOfWork, now: Instant) -> bytes:
            basis = f"requests/{call.request_id}"[:NAME_LENGTH_MAX]
            act = Act(principal.name, principal.acting_role, basis, now)
            ticket = await self._tickets.find(uow, principal.authority, number)
            if ticket is not None:
                change = returns.invalid(ticket, act, reason=error.reason, missing=missing)
                self._tickets.save(uow, change)
            self._audit.append(
                uow,
                AuditEntry(
                    time=now,
                    principal=act.actor,
                    role=act.role,
                    act="ticket.return",
                    subject=f"tickets/{number}",
                    basis=basis,
                    outcome=error.reason,
                ),
            )
            return b""

        try:
            await self._once.run(record, once, locks=(f"ticket/{number}",))
        except LubiaoError as failure:  # the refusal stands, and is what the caller must learn
            log.warning("return.unrecorded", ticket=number, reason=failure.reason)

    # --- parts --------------------------------------------------------------------------------

    async def _refuse(self, uow: UnitOfWork, ticket: Ticket, act: Act, found: Return) -> Ticket:
        """Leave it with the unit (强制派单); the second time it is a dispute."""
        refused = returns.refusals(ticket)
        held = next(item for item in ticket.assignments if item.number == found.assignment)
        if len(refused) < returns.REFUSALS_MAX or not held.is_lead:
            return ticket
        proposed = tuple(item.proposed_owner for item in refused)
        return await self._succession.dispute(
            uow, ticket, act, found, cause="refusals", proposed=proposed
        )

    def _check_owner(self, ticket: Ticket, owner: str) -> None:
        kind, _, code = owner.partition("/")
        if kind == "units" and self._succession.is_unit_here(ticket, owner):
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
    """Opens a case when the desk was silent; a `TimerHandler` for `RETURN_TIMER`.

    The return of an assisting unit is no question of who leads: its silence is an alarm, and so is
    one while no case can open, because the ticket is offered away; both come again.
    """

    def __init__(
        self,
        *,
        tickets: Tickets,
        acting: Acting,
        router: Router,
        succession: Succession,
        audit: AuditLog,
    ) -> None:
        """Tell the ticket's readers, `audit` and the log; dispute by `succession`."""
        self._tickets = tickets
        self._acting = acting
        self._router = router
        self._succession = succession
        self._audit = audit

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket in `{authority}/{ticket}/{return}`."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Tell it and open a case; a return that is decided meanwhile is no news."""
        authority, ticket_number, number = key.split("/")
        code = AuthorityCode(authority)
        ticket = await self._tickets.find(uow, code, TicketNumber(ticket_number))
        if ticket is None:
            return
        act = self._acting.act_of(code, f"{ticket.name} return {number}", now)
        change = returns.overdue(ticket, act, number=int(number))
        if not change.events:
            return
        saved = self._tickets.save(uow, change)
        found = returns.find(saved, int(number))
        held = next(item for item in saved.assignments if item.number == found.assignment)
        if held.mode in BY_RULING:
            saved = self._tickets.save(
                uow, returns.dispute(saved, act, number=found.number, cause="ruling")
            )
        elif held.is_lead:
            saved = await self._succession.dispute(
                uow, saved, act, found, cause="silence", proposed=(found.successor,)
            )
        if returns.find(saved, found.number).is_open:
            review = self._acting.profile_here(saved).return_review
            again = review.end(now, self._router.reference.calendar).instant
            schedule(uow, kind=RETURN_TIMER, key=key, due=again)
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


def missing_in(error: LubiaoError) -> str:
    """Return what an invalid return lacks: the names of its wrong fields, or the reason."""
    violations = error.violations if isinstance(error, FieldInvalid) else ()
    if violations:
        names = dict.fromkeys(name for name, _ in violations)
        return ",".join(names)[:_MISSING_LENGTH_MAX]
    held = error.metadata.get("field") or error.metadata.get("state") or error.reason
    return str(held)[:_MISSING_LENGTH_MAX]


def watch(uow: UnitOfWork, ticket: Ticket, item: Return) -> None:
    """Have the desk's silence noticed when the review of a return is over."""
    key = _timer_key(ticket, item.number)
    schedule(uow, kind=RETURN_TIMER, key=key, due=item.review_due_time)


def unwatch(uow: UnitOfWork, ticket: Ticket, number: int) -> None:
    """Forget the review of a return, unless it is still open."""
    if returns.find(ticket, number).is_open:
        return
    cancel(uow, kind=RETURN_TIMER, key=_timer_key(ticket, number))


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
