"""The acts of units and people: acknowledge, assign, sign, contact, resolve, rate, close.

Each act is one unit of work: lock, read within the caller's rows, check, step, ledger row, save,
audit, news to followers, answer. A platform acts for its own units only; people act by their role.
What only the custodian may do goes through custody first, which refuses it everywhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.audit.model import NAME_LENGTH_MAX, AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.codec import Result, answered_referral, result_to_bytes
from gateway.dispatch.guarding import Guarding
from gateway.dispatch.ordered import Ordered
from gateway.dispatch.rendering import Render
from gateway.dispatch.splitting import Splitting
from gateway.kernel.codes import ContactMethod, DispatchMode, TicketPurpose
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.telemetry.traces import ticket_span
from gateway.tickets import machine
from gateway.tickets.children import CLOSED_BASIS
from gateway.tickets.model import Act, Assignment, Rating, Ticket
from gateway.tickets.service import Scope, Tickets
from gateway.trust.call import Call
from gateway.trust.principal import Principal, PrincipalKind, Role

CLOCK_TOLERANCE = timedelta(minutes=5)  # clocks of a platform and of the node differ by less
UNIT_ROLES = (Role.HANDLER, Role.DISPATCHER)
RATING_ROLES = (Role.CLERK, Role.DISPATCHER, Role.SUPERVISOR)  # never who did the work
Step = Callable[[UnitOfWork, Ticket, Act], Awaitable[Ticket]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The ticket an act is about, and the copy that the caller saw."""

    number: TicketNumber
    etag: str = ""
    basis: str = ""


class Handling:
    """Carries out the acts of units and people for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        splitting: Splitting,
        ordered: Ordered,
        guarding: Guarding,
        audit: AuditLog,
        once: Once,
        render: Render,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._splitting = splitting
        self._guarding = guarding
        self._ordered = ordered
        self._audit = audit
        self._once = once
        self._render = render

    async def acknowledge(
        self, call: Call, target: Target, *, external_id: str, number: int = 0
    ) -> bytes:
        """Note that the caller's platform has its assignment on disk (received).

        Raises:
            TransitionNotAllowed: assignment `number` is over, or another platform's.
        """
        if call.principal.kind is not PrincipalKind.PLATFORM:
            raise role_missing(call, "platform")

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            assignment = assignment_of(call, ticket, number=number)
            change = machine.acknowledge(
                ticket, act, number=assignment.number, external_id=external_id
            )
            return self._tickets.save(uow, change) if change.events else ticket

        return await self.run(call, target, step, name="ticket.acknowledge")

    async def assign(self, call: Call, target: Target, *, unit: str) -> bytes:
        """Assign a ticket that waits at the desk to a unit, by a person.

        Raises:
            RoleMissing: the caller is no dispatcher of the authority's own staff.
            GuardViolated: a guard forbids that unit.
        """
        principal = call.principal
        if not principal.has_role(Role.DISPATCHER) or principal.is_outsourced:
            raise role_missing(call, "dispatcher (not outsourced)")

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            lead = ticket.lead
            if lead is not None and not (lead.is_desk and lead.is_open):
                raise TransitionNotAllowed(
                    name=ticket.name,
                    state=f"{ticket.state.name} at {lead.unit}",
                    event="assign",
                    allowed="only a ticket that waits at the desk is assigned by a person",
                )
            await self._guarding.check_unit(uow, ticket, unit, act.now)
            return await self._acting.commission(
                uow, ticket, act, lead=unit, assisting=(), mode=DispatchMode.MANUAL
            )

        return await self.run(call, target, step, name="ticket.assign")

    async def sign(self, call: Call, target: Target) -> bytes:
        """Let a unit take its assignment over."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            number = assignment_of(call, ticket).number
            return self._tickets.save(uow, machine.sign(ticket, act, number=number))

        return await self.run(call, target, step, name="ticket.sign")

    async def contact(
        self, call: Call, target: Target, *, method: ContactMethod, at: Instant | None
    ) -> bytes:
        """Record that the unit contacted the citizen."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            moment = at or act.now
            if moment > act.now + CLOCK_TOLERANCE:
                raise FieldInvalid(
                    field="contact_time", got=moment.isoformat(), expected="not in the future"
                )
            change = machine.contact(
                ticket,
                act,
                number=assignment_of(call, ticket).number,
                method=method.name,
                contact_time=moment,
            )
            await self._custody.care_act(
                uow,
                authority=ticket.authority,
                ticket=ticket.number,
                kind="ticket.contacted",
                digest=await self._tickets.fingerprint(uow, ticket, moment.isoformat().encode()),
                now=act.now,
            )
            return self._tickets.save(uow, change)

        return await self.run(call, target, step, name="ticket.contact")

    async def resolve(self, call: Call, target: Target, *, result: Result) -> bytes:
        """Record the result of the lead unit, or the answer of an external referral."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            referral, lead = ticket.external_referral, ticket.lead
            is_ours = lead is not None and not lead.is_desk  # a unit got it after all
            if referral is not None and referral.answer_time is None and not is_ours:
                return await self._record_answer(uow, call, ticket, act, result)
            number = assignment_of(call, ticket, is_lead=True).number
            await self._ordered.require_answered(uow, ticket)
            change = machine.resolve(ticket, act, number=number, solved=result.solved)
            text = result_to_bytes(result, resolved=act.now)
            await self._acting.exclusive(uow, ticket, "ticket.resolved", subject=text, now=act.now)
            await self._tickets.write_text(uow, ticket, "resolution", text)
            return await self._finished(uow, self._tickets.save(uow, change), act)

        return await self.run(call, target, step, name="ticket.resolve")

    async def rate(self, call: Call, target: Target, *, rating: Rating) -> bytes:
        """Record what the citizen said when called back; that closes the ticket."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            return await self.rate_as(call, uow, ticket, act, rating=rating)

        return await self.run(call, target, step, name="ticket.rate")

    async def rate_as(
        self, call: Call, uow: UnitOfWork, ticket: Ticket, act: Act, *, rating: Rating
    ) -> Ticket:
        """Record a rating of a ticket that is held here."""
        require_closer(call, ticket)
        change = machine.rate(ticket, act, rating=replace(rating, rate_time=act.now))
        await self._splitting.require_done(uow, ticket, "rate")
        await self._acting.exclusive(
            uow, ticket, "ticket.closed", subject=_rating_subject(rating), now=act.now
        )
        return self._tickets.save(uow, change)

    async def close(self, call: Call, target: Target) -> bytes:
        """Close a resolved ticket without a rating."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            require_closer(call, ticket)
            change = machine.close(ticket, act)
            await self._splitting.require_done(uow, ticket, "close")
            await self._acting.exclusive(
                uow, ticket, "ticket.closed", subject=act.basis.encode(), now=act.now
            )
            return self._tickets.save(uow, change)

        return await self.run(call, target, step, name="ticket.close")

    # --- parts --------------------------------------------------------------------------------

    async def run(self, call: Call, target: Target, step: Step, *, name: str) -> bytes:
        """Run one act in one unit of work; return the serialised ticket.

        Raises:
            ResourceNotFound: there is no such ticket for this caller.
            EtagMismatch: the caller saw another revision.
        """
        principal = call.principal

        async def once(uow: UnitOfWork, now: Instant) -> bytes:
            ticket = await self._tickets.get_visible(uow, Scope.of(principal), target.number)
            if target.etag not in ("", ticket.etag):
                raise EtagMismatch(name=ticket.name, got=target.etag, expected=ticket.etag)
            basis = (target.basis or f"requests/{call.request_id}")[:NAME_LENGTH_MAX]
            act = Act(principal.name, principal.acting_role, basis, now)
            with ticket_span(
                ticket.number, name, is_late=ticket.is_overdue(now), authority=ticket.authority
            ):
                saved = await step(uow, ticket, act)
                if saved.is_final and not ticket.is_final:
                    await self._splitting.settled(uow, saved, now)
                await self._custody.publish(
                    uow, authority=saved.authority, ticket=saved.number, now=now
                )
            self._audit.append(
                uow,
                AuditEntry(
                    time=now,
                    principal=act.actor,
                    role=act.role,
                    act=name,
                    subject=ticket.name,
                    basis=basis,
                ),
            )
            return await self._render(uow, saved, now=now)

        return await self._once.run(call, once, locks=(f"ticket/{target.number}",))

    async def _record_answer(
        self,
        uow: UnitOfWork,
        call: Call,
        ticket: Ticket,
        act: Act,
        result: Result,
    ) -> Ticket:
        """Record what the body outside the federation answered; only a person does."""
        if not call.principal.has_role(Role.DISPATCHER, Role.CLERK):
            raise role_missing(call, "dispatcher, clerk")
        await self._ordered.require_answered(uow, ticket)
        change = machine.record_answer(ticket, act, solved=result.solved)
        text = result_to_bytes(result, resolved=act.now)
        await self._acting.exclusive(uow, ticket, "ticket.resolved", subject=text, now=act.now)
        texts = await self._tickets.texts(uow, ticket.authority, ticket.number)
        referral = answered_referral(texts.referral or b"", result.result)
        await self._tickets.write_text(uow, ticket, "referral", referral)
        await self._tickets.write_text(uow, ticket, "resolution", text)
        return await self._finished(uow, self._tickets.save(uow, change), act)

    async def _finished(self, uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
        """Close a resolved ticket that helps another one: nobody rates it."""
        if ticket.purpose is not TicketPurpose.ASSIST:
            return ticket
        change = machine.close(ticket, replace(act, basis=CLOSED_BASIS))
        subject = CLOSED_BASIS.encode()
        await self._acting.exclusive(uow, ticket, "ticket.closed", subject=subject, now=act.now)
        return self._tickets.save(uow, change)


def assignment_of(
    call: Call, ticket: Ticket, *, is_lead: bool = False, number: int = 0
) -> Assignment:
    """Return the assignment that the caller acts for: an open one first, the lead first.

    A platform may serve several units of a ticket; `number` says which assignment it means.

    Raises:
        RoleMissing: the caller's platform serves none of the ticket's units, or the person has no
            role that acts for units.
        TransitionNotAllowed: assignment `number` is over, or another's.
    """
    principal = call.principal
    found = [item for item in ticket.assignments if item.is_standing]
    if principal.kind is PrincipalKind.PLATFORM:
        found = [item for item in found if item.platform == principal.id]
    elif not principal.has_role(*UNIT_ROLES):
        found = []
    if is_lead and any(item.is_lead for item in found):
        found = [item for item in found if item.is_lead]
    if not found:
        raise role_missing(call, "the platform of an assigned unit, handler, dispatcher")
    if number:
        found = [item for item in found if item.number == number]
    if not found:
        raise TransitionNotAllowed(
            name=ticket.name,
            state=f"{ticket.state.name}, assignment {number} is over or another's",
            event="acknowledge",
            allowed="none",
        )
    return min(found, key=lambda item: (not item.is_open, not item.is_lead, item.number))


def require_closer(call: Call, ticket: Ticket) -> None:
    """Return if the caller may say what the citizen said, which closes the ticket.

    Raises:
        RoleMissing: it is neither staff of the desk, nor the platform that handed the message in or
            serves the lead unit; who only assists ends nothing.
    """
    principal, lead = call.principal, ticket.lead
    if principal.kind is PrincipalKind.PLATFORM:
        allowed = principal.id in (ticket.platform, lead.platform if lead is not None else None)
    else:
        allowed = principal.has_role(*RATING_ROLES)
    if not allowed:
        names = ", ".join(role.value for role in RATING_ROLES)
        raise role_missing(call, f"the platform that handed it in or leads, {names}")


def role_missing(call: Call, expected: str) -> RoleMissing:
    """Return the error that says who may do this instead of the caller."""
    principal: Principal = call.principal
    return RoleMissing(
        principal=principal.name,
        method=call.method,
        got=", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value,
        expected=expected,
    )


def _rating_subject(rating: Rating) -> bytes:
    parts = (int(rating.satisfaction), rating.responded, rating.solved, int(rating.method))
    return "/".join(str(part) for part in parts).encode()
