"""What a ruling between units does to a ticket: the lead moves by one exclusive act, or stays.

Custody is not touched: the authority holds the ticket before and after, and rules about its own
units (docs/arbitration.md#levels). The copy shows the ruling, followers are told who leads. Who has
an assignment by a ruling cannot give it back (`tickets/disputes.py`). A vertically managed body is
asked, and leads only when it accepts (`requests.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.disputes import Disputes
from gateway.kernel.codes import AssignmentRole, DispatchMode, RulingKind, UnitRequestState
from gateway.kernel.errors import FieldInvalid, QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.reference.units import desk_id
from gateway.tickets import changes, disputes, machine, requests, returns, rulings
from gateway.tickets.machine import Commission
from gateway.tickets.model import ASSIGNMENTS_MAX, REQUESTS_MAX, Act, Change, Ticket
from gateway.tickets.service import Tickets

MODES = {RulingKind.DEFAULT: DispatchMode.FIRST_RECEIVER, RulingKind.INTERIM: DispatchMode.MANUAL}
"""How a unit came to it; by a ruling of a panel if not here."""


class CheckUnit(Protocol):
    """Asks the guards about a unit."""

    def __call__(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        name: str,
        now: Instant,
        /,
        *,
        is_request: bool = False,
    ) -> Awaitable[None]:
        """Return if it may have the ticket, or be asked; raise `FieldInvalid`, `GuardViolated`."""
        ...


class Asking(Protocol):
    """Asks vertically managed bodies, which no arbiter of the place can bind."""

    def is_vertical(self, unit: str) -> bool:
        """Tell whether a unit is one of them."""
        ...

    async def ask(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        unit: str,
        ruling: int = 0,
        case: str = "",
    ) -> Ticket:
        """Ask it to take the lead; who leads goes on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOrder:
    """What is ruled about the lead of a ticket."""

    case: str
    ruling: int
    kind: RulingKind
    target: str

    @property
    def basis(self) -> str:
        """What the acts that carry it out rest on; no two rulings have the same."""
        return f"ruling {self.ruling} of case {self.case}"


class UnitRulings:
    """Carries out rulings between units for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        disputes: Disputes,
        check_unit: CheckUnit,
        asking: Asking,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._disputes = disputes
        self._check_unit = check_unit
        self._asking = asking

    async def find(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> Ticket | None:
        """Return the copy that units of this authority dispute, or None when it has left."""
        ticket = await self._tickets.find(uow, authority, number)
        return None if ticket is None or ticket.followed else ticket

    def holder_of(self, ticket: Ticket) -> str:
        """Return the unit that leads, or the desk."""
        return self._disputes.holder_of(ticket)

    def is_asked(self, ticket: Ticket, unit: str) -> bool:
        """Tell whether a unit is to be asked first: vertically managed, and not leading yet."""
        return unit != self.holder_of(ticket) and self._asking.is_vertical(unit)

    async def check(self, uow: UnitOfWork, ticket: Ticket, unit: str, *, now: Instant) -> None:
        """Return if a unit or the desk may lead a ticket.

        Raises:
            FieldInvalid: it is no unit of this authority.
            GuardViolated: a guard forbids it.
            QuotaExceeded: the ticket has no room for another unit or request.
            TransitionNotAllowed: a body that nobody here can bind did not take it before, or nobody
                is bound meanwhile.
        """
        if unit == self._desk(ticket):
            return
        if not unit.startswith("units/"):
            expected = f"a unit of authority {ticket.authority}"
            raise FieldInvalid(field="target", got=unit, expected=expected)
        # One that leads has accepted. What cannot be asked is refused before anything is done.
        is_request = self._asking.is_vertical(unit)
        await self._check_unit(uow, ticket, unit, now, is_request=is_request)
        if self.is_asked(ticket, unit):
            _require_askable(ticket, unit)
            return
        is_new = unit != self.holder_of(ticket)
        if is_new and len(ticket.assignments) >= ASSIGNMENTS_MAX - 1:  # the last one is the desk's
            raise QuotaExceeded(
                quota=f"assignments of {ticket.name}",
                got=len(ticket.assignments) + 1,
                expected=ASSIGNMENTS_MAX - 1,
            )

    async def require_held(self, uow: UnitOfWork, ticket: Ticket) -> None:
        """Return if the ticket is held here freely, so that it can be ruled about.

        Raises:
            NotCustodian: it is offered away, or another authority holds it.
        """
        await self._custody.acting_term(uow, ticket.authority, ticket.number)

    async def note(self, uow: UnitOfWork, ticket: Ticket, act: Act, order: UnitOrder) -> Ticket:
        """Show the ruling on the copy; after an interim order the case stays open."""
        is_interim = order.kind is RulingKind.INTERIM
        step = rulings.order_meanwhile if is_interim else rulings.close_case
        change = step(ticket, act, case=order.case, ruling=order.ruling, target=order.target)
        if not is_interim:  # or a body that an earlier ruling asked would take it after this one
            unasked, gone = requests.voided(change.ticket, act)
            change = replace(change, ticket=unasked, events=(*change.events, *gone))
        return self._tickets.save(uow, change)

    async def settle(self, uow: UnitOfWork, ticket: Ticket, act: Act, order: UnitOrder) -> Ticket:
        """Let the target lead from now on, or ask it when nobody here can bind it."""
        if self.is_asked(ticket, order.target):
            return await self._asking.ask(
                uow, ticket, act, unit=order.target, ruling=order.ruling, case=order.case
            )
        if order.target == self.holder_of(ticket):
            return self._keep(uow, ticket, act, order)
        return await self._move(uow, ticket, act, order)

    # --- parts --------------------------------------------------------------------------------

    def _keep(self, uow: UnitOfWork, ticket: Ticket, act: Act, order: UnitOrder) -> Ticket:
        """Leave the lead where it is (强制派单); what it wanted to give back stays."""
        if order.kind is RulingKind.INTERIM:
            return ticket
        lead, waiting = ticket.lead, ticket.open_return
        change = disputes.bound(ticket, act, mode=MODES.get(order.kind, DispatchMode.RULING))
        if lead is not None and waiting is not None and waiting.assignment == lead.number:
            refused = returns.review(
                change.ticket, act, number=waiting.number, is_granted=False, basis=act.basis
            )
            change = changes.then(change, refused)
        return self._tickets.save(uow, change) if change.events else ticket

    async def _move(self, uow: UnitOfWork, ticket: Ticket, act: Act, order: UnitOrder) -> Ticket:
        unit, lead = order.target, ticket.lead
        mode = MODES.get(order.kind, DispatchMode.RULING)
        if lead is None:
            return await self._acting.commission(
                uow, ticket, act, lead=unit, assisting=(), mode=mode
            )
        await self._acting.exclusive(
            uow,
            ticket,
            "assignment.lead",
            subject=unit.encode(),
            desk=unit.removeprefix("units/"),
            now=act.now,
        )
        to = self._commission(ticket, act, unit, mode)
        # A lead that changes otherwise ends the dispute; after an interim order it stays open.
        change = machine.hand_on(replace(ticket, case=""), act, number=lead.number, to=to)
        change = _without_help_of(change, act, unit)
        if unit == self._desk(ticket):
            facts = (("unit", unit), ("reason", act.basis))
            told = machine.note(change.ticket, act, "ticket.triaged", *facts)
            change = changes.then(change, told)
        moved = replace(change.ticket, case=ticket.case)
        return self._tickets.save(uow, replace(change, ticket=moved))

    def _commission(self, ticket: Ticket, act: Act, unit: str, mode: DispatchMode) -> Commission:
        role = AssignmentRole.LEAD
        if unit == self._desk(ticket):  # people work at it, by no limit of a unit
            return Commission(place=self._acting.desk_of(ticket.authority), role=role, mode=mode)
        return self._acting.commission_of(ticket, unit, role=role, mode=mode, now=act.now)

    @staticmethod
    def _desk(ticket: Ticket) -> str:
        return f"units/{desk_id(ticket.authority)}"


def _require_askable(ticket: Ticket, unit: str) -> None:
    if ticket.lead is None or not ticket.lead.is_open:
        raise TransitionNotAllowed(
            name=ticket.name,
            state=f"{ticket.state.name}, with nobody bound",
            event=f"ask {unit}",
            allowed="rule for a unit that the authority can bind",
        )
    if len(ticket.unit_requests) >= REQUESTS_MAX:
        raise QuotaExceeded(
            quota=f"requests of {ticket.name}",
            got=len(ticket.unit_requests) + 1,
            expected=REQUESTS_MAX,
        )
    asked = [item.state for item in ticket.unit_requests if item.unit == unit]
    if UnitRequestState.DECLINED in asked or UnitRequestState.UNANSWERED in asked:
        raise TransitionNotAllowed(
            name=ticket.name,
            state=f"{asked[-1].name} by {unit}",
            event="ask it again",
            allowed="rule for a unit that the authority can bind",
        )


def _without_help_of(change: Change, act: Act, unit: str) -> Change:
    """End what the new lead did as an assisting unit: it leads now."""
    for item in change.ticket.assignments:
        if item.unit == unit and item.is_open and not item.is_lead:
            ended = machine.hand_on(change.ticket, act, number=item.number, to=None)
            change = changes.then(change, ended)
    return change
