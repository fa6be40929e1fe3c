"""Requests (商请) to vertically managed bodies: asked, climbing, accepted, declined.

No arbiter of the local government binds such a body (国家/省垂直管理). A return granted to it, a
ruling for it and a dispatcher's wish become a request: the bound unit keeps the lead and the duty
of care, and the clocks run. Each time the window of the profile is over the request climbs, by the
durable timer `dispatch.request_due`: the body, the units of its kind above its region, the desk of
its province, where a person asks; never the desk of the authority that asks, whose other dispatcher
would say yes to its own wish. An acceptance moves the lead to the body, whoever of its line
gives it; a refusal names reason and clause, and goes back to who decides: the panel of the case, or
a case of units that nobody wants it; where the desk was bound, the desk. So does silence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from gateway.audit.model import NAME_LENGTH_MAX, AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.database.timers import cancel, schedule
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.disputes import Disputes
from gateway.dispatch.guarding import Guarding
from gateway.dispatch.handling import Handling, Target, role_missing
from gateway.dispatch.router import Router
from gateway.kernel.codes import AssignmentRole, DispatchMode, ReturnReason
from gateway.kernel.errors import CasePending, FieldInvalid, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.reference.matters import Management
from gateway.reference.units import Unit, desk_id
from gateway.tickets import changes, machine, requests, returns
from gateway.tickets.life_codec import request_to_pb
from gateway.tickets.model import Act, Ticket, UnitRequest
from gateway.tickets.service import Tickets
from gateway.trust.call import Call
from gateway.trust.principal import Principal, PrincipalKind, Role

REQUEST_TIMER = "dispatch.request_due"
DESK_ROLES = (Role.DISPATCHER, Role.SUPERVISOR)
Failed = Callable[[UnitOfWork, Ticket, Act, UnitRequest], Awaitable[Ticket]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the body, or its line for it, says."""

    is_accepted: bool
    clause: str
    reason: ReturnReason = ReturnReason.UNSPECIFIED


class Requests:
    """Asks vertically managed bodies for one node; a `TimerHandler` for `REQUEST_TIMER`."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        handling: Handling,
        guarding: Guarding,
        router: Router,
        disputes: Disputes,
        audit: AuditLog,
        once: Once,
    ) -> None:
        """Ask with these; `failed` is who decides again about a request that a ruling made."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._handling = handling
        self._guarding = guarding
        self._router = router
        self._disputes = disputes
        self._audit = audit
        self._once = once
        self.failed: Failed | None = None

    def is_vertical(self, unit: str) -> bool:
        """Tell whether only its own line can bind a unit."""
        found = self._router.reference.units.find(unit.removeprefix("units/"))
        kind = self._router.reference.kinds.get(found.kind) if found is not None else None
        return kind is not None and kind.management is Management.VERTICAL

    async def ask(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        unit: str,
        ruling: int = 0,
        case: str = "",
        return_number: int = 0,
    ) -> Ticket:
        """Ask a body to take a ticket; who is bound stays so until it accepts.

        Raises:
            FieldInvalid: it is no vertically managed unit of this authority.
            GuardViolated: a guard forbids it also to be asked.
            TransitionNotAllowed: a request is open, or it is not led here.
        """
        if not self.is_vertical(unit):
            raise FieldInvalid(
                field="unit", got=unit, expected="a vertically managed body (垂直管理)"
            )
        await self._guarding.check_unit(uow, ticket, unit, act.now, is_request=True)
        wish = requests.Wish(
            place=self._acting.place_of(unit),
            due=self._due(ticket, act.now),
            case=case,
            ruling=ruling,
            return_number=return_number,
        )
        saved = self._tickets.save(uow, requests.ask(ticket, act, wish))
        made = saved.unit_requests[-1]
        schedule(uow, kind=REQUEST_TIMER, key=_key(saved, made), due=made.due_time)
        self._record(uow, act, "request.asked", saved, basis=act.basis)
        return saved

    async def ask_by_person(self, call: Call, target: Target, *, unit: str) -> bytes:
        """Ask a body by a dispatcher; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no dispatcher or supervisor of the authority's own staff.
            CasePending: a case decides.
        """
        _require_desk(call)

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            if ticket.case:
                raise CasePending(ticket=ticket.number, case=ticket.case, event="request")
            return await self.ask(uow, ticket, act, unit=unit)

        return await self._handling.run(call, target, step, name="ticket.request_unit")

    async def answer(self, call: Call, target: Target, *, number: int, answer: Answer) -> bytes:
        """Accept or decline for the body or its line; return the serialised request.

        Raises:
            ResourceNotFound: no request of this ticket asks the caller.
            RoleMissing: the caller does not act for whom it asks, or brought the request about.
            TransitionNotAllowed: it is answered already, or void.
            FieldInvalid: it is declined without a reason.
        """
        principal = call.principal

        async def once(uow: UnitOfWork, now: Instant) -> bytes:
            ticket = await self._asked_of(uow, principal, target.number, number)
            found = requests.find(ticket, number)
            self._require_answerer(call, ticket, found, is_accepted=answer.is_accepted)
            basis = (target.basis or f"requests/{call.request_id}")[:NAME_LENGTH_MAX]
            act = Act(principal.name, principal.acting_role, basis, now)
            cancel(uow, kind=REQUEST_TIMER, key=_key(ticket, found))
            if answer.is_accepted:
                saved = await self._accept(uow, ticket, act, found, clause=answer.clause)
            else:
                declined = requests.decline(
                    ticket, act, number=number, reason=answer.reason, clause=answer.clause
                )
                saved = await self._go_back(
                    uow, self._tickets.save(uow, declined), act, number=number
                )
            kind = "request.accepted" if answer.is_accepted else "request.declined"
            self._record(uow, act, kind, saved, basis=basis)
            await self._custody.publish(
                uow, authority=saved.authority, ticket=saved.number, now=now
            )
            return to_bytes(request_to_pb(requests.find(saved, number)))

        return await self._once.run(call, once, locks=(f"ticket/{target.number}",))

    # --- the timer ----------------------------------------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket in `{authority}/{ticket}/{request}`."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Ask the next one of the line, or let whoever decides go on; void ones are no news."""
        authority, number, which = key.split("/")
        code = AuthorityCode(authority)
        ticket = await self._tickets.find(uow, code, TicketNumber(number))
        waiting = ticket.open_request if ticket is not None else None
        if ticket is None or waiting is None or waiting.number != int(which):
            return
        act = self._acting.act_of(code, f"{ticket.name} request {which}", now)
        line = self.line_of(waiting.unit)
        place = line.index(waiting.asked) + 1 if waiting.asked in line else len(line)
        if place < len(line):
            change = requests.climb(
                ticket, act, number=waiting.number, to=line[place], due=self._due(ticket, now)
            )
            saved = self._tickets.save(uow, change)
            schedule(uow, kind=REQUEST_TIMER, key=key, due=saved.unit_requests[-1].due_time)
            self._record(uow, act, "request.climbed", saved, basis="deadline")
        else:
            change = requests.run_out(ticket, act, number=waiting.number)
            saved = self._tickets.save(uow, change)
            self._record(uow, act, "request.unanswered", saved, basis="deadline")
            saved = await self._go_back(uow, saved, act, number=waiting.number)
        log.warning("request.overdue", ticket=ticket.number, authority=authority)
        await self._custody.publish(uow, authority=code, ticket=ticket.number, now=now)

    def line_of(self, unit: str) -> tuple[str, ...]:
        """Return who is asked, in order: the body, those above of its kind, its province's desk.

        The authority that asks is the body's own, so its desk is none of the line: where it is the
        province's there is none, and silence ends the request one step sooner.
        """
        reference = self._router.reference
        found = self._unit(unit)
        if found is None:
            return (unit,)  # it has left the reference data: nobody is above it
        above = [region for region in reference.regions.path(found.region) if region != NATION]
        line = [unit]
        for region in above:
            units = reference.units.of_kind(region=region, kind=found.kind)
            if region != found.region and units:
                line.append(f"units/{units[0].unit_id}")
        province = above[-1] if above else found.authority
        if province != found.authority and province in self._router.hosted:
            line.append(f"units/{desk_id(province)}")
        return tuple(line)

    # --- parts --------------------------------------------------------------------------------

    async def _accept(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, found: UnitRequest, *, clause: str
    ) -> Ticket:
        """Move the lead to the body: it consented, whoever of its line spoke."""
        taken = requests.accept(ticket, act, number=found.number, clause=clause)
        if ticket.case and ticket.case != found.case:
            raise CasePending(ticket=ticket.number, case=ticket.case, event="accept")
        await self._guarding.check_unit(uow, ticket, found.unit, act.now, is_request=True)
        mode = DispatchMode.RULING if found.ruling else DispatchMode.MANUAL
        to = self._acting.commission_of(
            ticket, found.unit, role=AssignmentRole.LEAD, mode=mode, now=act.now
        )
        moved = machine.hand_on(taken.ticket, act, number=found.bound, to=to)
        await self._acting.exclusive(
            uow,
            ticket,
            "assignment.lead",
            subject=found.unit.encode(),
            desk=found.unit.removeprefix("units/"),
            now=act.now,
        )
        saved = self._tickets.save(uow, changes.then(taken, moved))
        if found.ruling:
            await self._disputes.taken(uow, saved, ruling=found.ruling, now=act.now)
        return saved

    async def _go_back(self, uow: UnitOfWork, ticket: Ticket, act: Act, *, number: int) -> Ticket:
        """Let who decides go on after a refusal or silence; the bound unit stays responsible."""
        found = requests.find(ticket, number)
        if found.ruling and self.failed is not None:
            return await self.failed(uow, ticket, act, found)
        lead = ticket.lead
        if lead is None or lead.is_desk:
            reason = f"商请 {found.unit} 未被承接（{found.state.zh}），由人工确定"
            return self._acting.to_desk(uow, ticket, act, reason=reason)
        return await self._disputes.open(
            uow,
            ticket,
            act,
            cause="disclaimed",
            filer=found.bound_unit,
            proposed=(found.unit,),
            reason=found.reason or None,
        )

    async def _asked_of(
        self, uow: UnitOfWork, principal: Principal, number: TicketNumber, which: int
    ) -> Ticket:
        """Return the copy whose request asks the caller's authority, also another one's copy."""
        own = principal.authority
        for code in sorted(self._router.hosted, key=lambda code: (code != own, code)):
            ticket = await self._tickets.find(uow, AuthorityCode(code), number)
            if ticket is None or ticket.followed:
                continue
            for item in ticket.unit_requests:
                asked = self._unit(item.asked), self._unit(item.unit)
                if item.number == which and any(each.authority == own for each in asked if each):
                    return ticket
        raise ResourceNotFound(kind="request", name=f"tickets/{number} request {which}")

    def _require_answerer(
        self, call: Call, ticket: Ticket, request: UnitRequest, *, is_accepted: bool
    ) -> None:
        """Return if the caller speaks for whom the request asks; the body may always accept.

        Nobody says yes for a body to his own wish: who asked, returned the ticket or judged that,
        and where a ruling asks, who sits on panels. Nor does the desk of the authority that asks,
        to which requests climbed in earlier versions.
        """
        names = {request.asked, request.unit} if is_accepted else {request.asked}
        names.discard(f"units/{desk_id(ticket.authority)}")
        units = (unit for unit in map(self._unit, sorted(names)) if unit is not None)
        is_asked = any(_speaks_for(call.principal, unit) for unit in units)
        principal = call.principal
        is_person = principal.kind is PrincipalKind.STAFF
        has_part = principal.name in returns.people(ticket) or (
            bool(request.ruling) and principal.has_role(Role.PANEL_MEMBER)
        )
        if not is_asked or principal.name == request.filer or (is_person and has_part):
            raise role_missing(
                call,
                f"the platform of {request.asked}, or a handler for it who did not ask, return the"
                " ticket or rule",
            )

    def _unit(self, name: str) -> Unit | None:
        return self._router.reference.units.find(name.removeprefix("units/"))

    def _due(self, ticket: Ticket, now: Instant) -> Instant:
        profile = self._acting.profile_here(ticket)
        return profile.unit_request.end(now, self._router.reference.calendar).instant

    def _record(self, uow: UnitOfWork, act: Act, kind: str, ticket: Ticket, *, basis: str) -> None:
        entry = AuditEntry(
            time=act.now,
            principal=act.actor,
            role=act.role,
            act=kind,
            subject=ticket.name,
            basis=basis[:NAME_LENGTH_MAX] or kind,
        )
        self._audit.append(uow, entry)


def _require_desk(call: Call) -> None:
    principal = call.principal
    is_staff = principal.kind is PrincipalKind.STAFF and principal.has_role(*DESK_ROLES)
    if not is_staff or principal.is_outsourced:
        raise role_missing(call, "dispatcher, supervisor (not outsourced)")


def _speaks_for(principal: Principal, unit: Unit) -> bool:
    """Tell whether somebody answers for a unit; at a desk people do, not its platform."""
    if unit.authority != principal.authority or principal.is_outsourced:
        return False
    if principal.kind is PrincipalKind.PLATFORM:
        return not unit.is_desk and unit.platform == principal.id
    return principal.has_role(*DESK_ROLES) if unit.is_desk else principal.has_role(Role.HANDLER)


def _key(ticket: Ticket, request: UnitRequest) -> str:
    return f"{ticket.authority}/{ticket.number}/{request.number}"
