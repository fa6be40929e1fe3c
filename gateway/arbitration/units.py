"""Rulings between units of one authority: its own panel rules, and the assignment moves.

Custody stays where it is, so the authority numbers its rulings of a ticket itself. A ticket that it
does not hold freely cannot be ruled about. Who is named takes the ticket at once; a vertically
managed body is asked instead, and takes it when it accepts (docs/arbitration.md#levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.arbitration.cases import Cases
from gateway.arbitration.model import Case, Order, Part, Party
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.unit_rulings import UnitOrder, UnitRulings
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.errors import FieldInvalid, NotCustodian
from gateway.kernel.time import Instant
from gateway.tickets.model import Act, Ticket

AT_ONCE = frozenset({CaseRulingForm.MERGE, CaseRulingForm.LEGAL, CaseRulingForm.BEYOND_DUTY})
"""Forms that put the ticket where it belongs themselves; nobody takes it afterwards."""


class Ordered(Protocol):
    """Carries out how a ticket is handled besides who leads (`dispatch/ordered.py`)."""

    async def carry_out(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        form: CaseRulingForm,
        parts: Sequence[Part] = (),
        merge_into: str = "",
        reason: str = "",
    ) -> Ticket:
        """Carry it out in this very unit; return the copy."""
        ...


class UnitRuler:
    """The `Ruler` of the level UNITS."""

    def __init__(
        self,
        *,
        cases: Cases,
        rulings: UnitRulings,
        acting: Acting,
        custody: CustodyService,
        ordered: Ordered,
    ) -> None:
        """Let `rulings` settle who leads, and `ordered` what others do."""
        self._cases = cases
        self._rulings = rulings
        self._acting = acting
        self._custody = custody
        self._ordered = ordered

    async def holder(self, uow: UnitOfWork, case: Case) -> Party:
        """Return the unit that leads, or the desk."""
        ticket = await self._rulings.find(uow, case.key.scope, case.ticket)
        return case.responsible if ticket is None else self._rulings.holder_of(ticket)

    async def check(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> None:
        """Return if target and parts are units here that no guard forbids.

        Raises:
            FieldInvalid: one is no unit of this authority, or there are mandates.
            GuardViolated: a guard forbids one.
            QuotaExceeded: the ticket has no room for another unit.
            NotCustodian: the ticket has left.
        """
        if order.mandates or order.offers_allowed:
            raise FieldInvalid(
                field="mandates", got=", ".join(order.mandates) or "offers", expected="none"
            )
        ticket = await self._held(uow, case)
        if order.kind is RulingKind.INTERIM and self._rulings.is_asked(ticket, order.target):
            raise FieldInvalid(
                field="target",
                got=f"{order.target}, which must be asked first",
                expected="a unit that the authority can bind, for the time being",
            )
        for party in (order.target, *(part.party for part in order.parts)):
            await self._rulings.check(uow, ticket, party, now=now)

    async def carry_out(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> int:
        """Let the target lead, and the others do their part; return the number of the ruling."""
        ticket = await self._held(uow, case)
        number = await self._next_number(uow, case)
        ruled = UnitOrder(case=case.key.case, ruling=number, kind=order.kind, target=order.target)
        act = self._acting.act_of(case.key.scope, ruled.basis, now)
        ticket = await self._rulings.note(uow, ticket, act, ruled)
        if order.form not in AT_ONCE:
            ticket = await self._rulings.settle(uow, ticket, act, ruled)
        if order.kind is not RulingKind.INTERIM:
            await self._ordered.carry_out(
                uow,
                ticket,
                act,
                form=order.form,
                parts=order.parts,
                merge_into=order.merge_into,
                reason=order.legal_basis,
            )
        await self._custody.publish(uow, authority=case.key.scope, ticket=case.ticket, now=now)
        return number

    async def is_taken(self, uow: UnitOfWork, case: Case, order: Order) -> bool:
        """Tell whether the target leads already, or nobody is to."""
        return order.form in AT_ONCE or await self.holder(uow, case) == order.target

    async def _next_number(self, uow: UnitOfWork, case: Case) -> int:
        """Return the number of the next ruling about a ticket's units, by whatever case."""
        known = await self._cases.all_on(
            uow, scope=case.key.scope, ticket=case.ticket, chain=case.chain
        )
        return 1 + max((ruling.number for each in known for ruling in each.rulings), default=0)

    async def _held(self, uow: UnitOfWork, case: Case) -> Ticket:
        ticket = await self._rulings.find(uow, case.key.scope, case.ticket)
        if ticket is None:
            raise NotCustodian(
                ticket=case.ticket,
                holding="FOLLOWED",
                event="rule between units",
                custodian="its custodian",
            )
        await self._rulings.require_held(uow, ticket)
        return ticket
