"""Fallbacks: whom a rule asks next when nobody accepts in time (`unless_accepted_within`).

A plan belongs to one decision and lists who is still to be asked. A unit accepts by signing, an
authority by answering its offer, whose window is the plan's; an offer that comes back without
being accepted goes on to the next. A decision taken anew, a person's assignment or offer, being
overruled and a final ticket make the plan void. When nobody is left the desk has it; a case is
custody's (second silence, docs/custody.md#silence). A unit that a guard forbids by now is left out,
and an authority that a ruling does (`barred.py`).
"""

from __future__ import annotations

from gateway.custody.model import Holding, OfferReason
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.barred import offer_bar
from gateway.dispatch.codec import facts_of
from gateway.dispatch.plans import FALLBACKS, FallbackRow, Offering, keep, window_of
from gateway.dispatch.router import Router
from gateway.kernel.codes import AssignmentState, DispatchMode
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import machine
from gateway.tickets.model import ASSIGNMENTS_MAX, Act, Ticket
from gateway.tickets.service import Tickets

NOBODY_LEFT = "限时内无人接收，备选对象均已问过"


class Fallbacks:
    """Asks the next one; a `TimerHandler` for `FALLBACK_TIMER`."""

    def __init__(
        self, *, tickets: Tickets, custody: CustodyService, acting: Acting, router: Router
    ) -> None:
        """Ask with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._router = router

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket in `{authority}/{ticket}`."""
        return (f"ticket/{key.partition('/')[2]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Ask the next one when the unit that was asked has not signed."""
        authority, _, number = key.partition("/")
        code = AuthorityCode(authority)
        ticket = await self._tickets.find(uow, code, TicketNumber(number))
        row = await uow.get(FALLBACKS, authority, number)
        if ticket is None or row is None:
            return
        view = await self._custody.view(uow, code, ticket.number)
        if view is not None and view.holding in (Holding.OFFERED, Holding.REVOKING):
            return  # an offer has its own window, and comes back by itself
        # Who is overruled cares until the target takes the ticket, and dispatches it no more.
        is_held = view is not None and view.holding is Holding.HELD
        if not is_held or not _belongs(row, ticket) or not _waits_for_a_unit(ticket):
            uow.delete(FALLBACKS, authority, number)
            return
        await self._ask_next(uow, ticket, row, now=now)
        await self._custody.publish(uow, authority=code, ticket=ticket.number, now=now)

    async def came_back(self, uow: UnitOfWork, ticket: Ticket, *, now: Instant) -> Ticket | None:
        """Ask the next one after an offer that nobody accepted; None: no plan says whom."""
        row = await uow.get(FALLBACKS, ticket.authority, ticket.number)
        if row is None or not _belongs(row, ticket) or not row.targets:
            return None
        return await self._ask_next(uow, ticket, row, now=now)

    async def _ask_next(
        self, uow: UnitOfWork, ticket: Ticket, row: FallbackRow, *, now: Instant
    ) -> Ticket:
        act = self._acting.act_of(AuthorityCode(ticket.authority), f"fallback {row.rule}", now)
        targets = list(row.targets)
        while targets:
            target = targets.pop(0)
            if await self._may_have(uow, ticket, target, now=now):
                rest = replace(row, targets=targets)
                keep(uow, rest, now=now, calendar=self._router.reference.calendar)
                return await self._ask(uow, ticket, act, target, rest)
        uow.delete(FALLBACKS, row.authority, row.ticket)
        return self._acting.to_desk(uow, ticket, act, reason=NOBODY_LEFT)

    async def _ask(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, target: str, row: FallbackRow
    ) -> Ticket:
        ticket = self._tickets.save(
            uow, machine.note(ticket, act, "ticket.asked_next", ("target", target))
        )
        if target.startswith("units/"):
            return await self._acting.commission(
                uow, ticket, act, lead=target, assisting=(), mode=DispatchMode.RULE
            )
        offering = Offering(
            target=AuthorityCode(target.removeprefix("authorities/")),
            reason=OfferReason.RULE,
            rule=row.rule,
            trace_digest=row.trace_digest,
            window_end=window_of(row, act.now, self._router.reference.calendar),
        )
        return await self._acting.offer(uow, ticket, act, offering)

    async def _may_have(
        self, uow: UnitOfWork, ticket: Ticket, target: str, *, now: Instant
    ) -> bool:
        """Tell whether a target can be asked: it is there, no guard or ruling forbids it by now."""
        if target.startswith("authorities/"):
            is_there = self._router.has_joined(target.removeprefix("authorities/"))
            return is_there and not await offer_bar(uow, ticket, target)
        unit = self._router.reference.units.find(target.removeprefix("units/"))
        if unit is None or len(ticket.assignments) + 1 >= ASSIGNMENTS_MAX:
            return False
        texts = await self._tickets.texts(uow, AuthorityCode(ticket.authority), ticket.number)
        facts = facts_of(ticket, texts.content)
        await self._router.rules.ready()
        objection = self._router.find_objection(
            AuthorityCode(ticket.authority), facts, unit, now=now
        )
        self._router.rules.hold(uow)
        return objection is None


def _belongs(row: FallbackRow, ticket: Ticket) -> bool:
    """Tell whether a plan is that of the decision that the ticket shows, and not void."""
    decision = ticket.decision
    is_same = decision is not None and decision.trace_digest == row.trace_digest
    return is_same and not ticket.followed and not ticket.is_final and not ticket.case


def _waits_for_a_unit(ticket: Ticket) -> bool:
    lead = ticket.lead
    is_asked = lead is not None and not lead.is_desk and lead.mode is DispatchMode.RULE
    return is_asked and lead is not None and lead.state is AssignmentState.ASSIGNED
